//! The manager as a whole, on the machine for unit tests: what a newcomer would try first. The
//! model test of the test kit goes far beyond.

use crate::testing::TestMachine;
use crate::*;

const LOW: usize = 0x1000;
const HIGH: usize = 0x7fff_ffff_f000;

pub(crate) fn manager(frames: u64) -> Vm<TestMachine> {
    let vm = Vm::new(TestMachine::new(frames));
    let (start, end) = (vm.machine().frame(0), vm.machine().frame(frames));
    // SAFETY: the machine's own memory, used by nobody else.
    unsafe { vm.add_segment(start, end) }.unwrap();
    vm
}

fn get(map: &Map<'_, TestMachine>, at: usize) -> u64 {
    let mut bytes = [0; 8];
    map.read(at, &mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

fn put(map: &Map<'_, TestMachine>, at: usize, value: u64) {
    map.write(at, &value.to_le_bytes()).unwrap();
    map.check_invariants();
}

#[test]
fn a_fork_sees_what_was_and_not_what_comes() {
    let vm = manager(256);
    let parent = vm.new_map(LOW, HIGH).unwrap();
    let at = parent
        .map(MapRequest::anonymous(8 * PAGE_SIZE, Prot::RW))
        .unwrap();
    assert_eq!(get(&parent, at), 0);
    put(&parent, at, 1);
    let child = parent.fork().unwrap();
    put(&parent, at, 2);
    assert_eq!(get(&child, at), 1);
    put(&child, at, 3);
    let grandchild = child.fork().unwrap();
    assert_eq!(
        (get(&parent, at), get(&child, at), get(&grandchild, at)),
        (2, 3, 3)
    );
    put(&grandchild, at + PAGE_SIZE, 4);
    assert_eq!(get(&child, at + PAGE_SIZE), 0);
    vm.check_invariants();
    drop((parent, child, grandchild));
    vm.check_invariants();
    let stats = vm.stats();
    assert_eq!(
        [
            stats.anons,
            stats.amaps,
            stats.nodes,
            stats.families,
            stats.objects,
            stats.entries,
            stats.maps
        ],
        [0; 7]
    );
    assert_eq!(stats.frames_anon, 0);
}

#[test]
fn shared_memory_is_one_and_private_copies_are_many() {
    let vm = manager(256);
    let object = vm.new_anonymous(4 * PAGE_SIZE as u64).unwrap();
    let (a, b) = (
        vm.new_map(LOW, HIGH).unwrap(),
        vm.new_map(LOW, HIGH).unwrap(),
    );
    let shared = |map: &Map<'_, _>| {
        let all = 4 * PAGE_SIZE;
        map.map(MapRequest::object(&object, 0, all, Prot::RW, Share::Shared))
            .unwrap()
    };
    let (at_a, at_b) = (shared(&a), shared(&b));
    let private = b
        .map(MapRequest::object(
            &object,
            0,
            4 * PAGE_SIZE,
            Prot::RW,
            Share::Private,
        ))
        .unwrap();
    put(&a, at_a, 7);
    assert_eq!((get(&b, at_b), get(&b, private)), (7, 7));
    put(&b, private, 8);
    put(&a, at_a, 9);
    assert_eq!((get(&b, at_b), get(&b, private)), (9, 8));
    object
        .write_at(PAGE_SIZE as u64, &5u64.to_le_bytes())
        .unwrap();
    assert_eq!(
        (get(&a, at_a + PAGE_SIZE), get(&b, private + PAGE_SIZE)),
        (5, 5)
    );
    vm.check_invariants();
    object.set_size(PAGE_SIZE as u64 / 2).unwrap();
    assert_eq!(
        a.fault_wait(at_a + PAGE_SIZE, Access::Read),
        Err(FaultError::BeyondEnd)
    );
    assert_eq!(
        b.fault_wait(private + PAGE_SIZE, Access::Read),
        Err(FaultError::BeyondEnd)
    );
    assert_eq!(get(&b, private), 8);
    vm.check_invariants();
}

#[test]
fn unmapping_the_middle_frees_it() {
    let vm = manager(256);
    let map = vm.new_map(LOW, HIGH).unwrap();
    let at = map
        .map(MapRequest::anonymous(4 * PAGE_SIZE, Prot::RW))
        .unwrap();
    for i in 0..4 {
        put(&map, at + i * PAGE_SIZE, i as u64);
    }
    map.unmap(at + PAGE_SIZE, 2 * PAGE_SIZE).unwrap();
    map.check_invariants();
    vm.check_invariants();
    assert_eq!(vm.stats().anons, 2);
    assert_eq!(
        map.fault_wait(at + PAGE_SIZE, Access::Read),
        Err(FaultError::NoMapping)
    );
    let again = map
        .map(MapRequest::anonymous(2 * PAGE_SIZE, Prot::RW).at(Place::Free(at + PAGE_SIZE)))
        .unwrap();
    assert_eq!((get(&map, again), get(&map, at + 3 * PAGE_SIZE)), (0, 3));
    assert_eq!(map.usage().entries, 1);
    map.protect(at, PAGE_SIZE, Prot::READ).unwrap();
    assert_eq!(map.usage().entries, 2);
    assert_eq!(
        map.fault_wait(at, Access::Write),
        Err(FaultError::Protection)
    );
    map.protect(at, PAGE_SIZE, Prot::RW).unwrap();
    assert_eq!(map.usage().entries, 1);
    let moved = map
        .remap(at, PAGE_SIZE, 8 * PAGE_SIZE, Remap::MayMove)
        .unwrap();
    map.check_invariants();
    assert_ne!(moved, at);
    assert_eq!((get(&map, moved), get(&map, moved + PAGE_SIZE)), (0, 0));
    map.discard(at + 3 * PAGE_SIZE, PAGE_SIZE).unwrap();
    assert_eq!(get(&map, at + 3 * PAGE_SIZE), 0);
    vm.check_invariants();
}

/// A move to the place right above needs one split where two were set aside.
#[test]
fn a_move_to_the_place_right_above_leaks_no_entry() {
    let vm = manager(256);
    let map = vm.new_map(LOW, HIGH).unwrap();
    let at = 0x4000_0000;
    map.map(MapRequest::anonymous(12 * PAGE_SIZE, Prot::RW).at(Place::Fixed(at)))
        .unwrap();
    put(&map, at, 1);
    let to = at + 5 * PAGE_SIZE;
    map.remap(at, 5 * PAGE_SIZE, 5 * PAGE_SIZE, Remap::Fixed(to))
        .unwrap();
    map.check_invariants();
    assert_eq!(get(&map, to), 1);
    assert_eq!(vm.stats().entries, map.usage().entries);
}

#[test]
fn shared_memory_is_mapped_again_and_private_memory_is_not() {
    let vm = manager(256);
    let map = vm.new_map(LOW, HIGH).unwrap();
    let object = vm.new_anonymous(4 * PAGE_SIZE as u64).unwrap();
    let at = map
        .map(MapRequest::object(
            &object,
            0,
            4 * PAGE_SIZE,
            Prot::RW,
            Share::Shared,
        ))
        .unwrap();
    put(&map, at + PAGE_SIZE, 1);
    let again = map
        .map_again(at + PAGE_SIZE, 2 * PAGE_SIZE, Place::Anywhere)
        .unwrap();
    assert_eq!(get(&map, again), 1);
    put(&map, again, 2);
    assert_eq!(get(&map, at + PAGE_SIZE), 2);
    let private = map.map(MapRequest::anonymous(PAGE_SIZE, Prot::RW)).unwrap();
    let refused = map.map_again(private, PAGE_SIZE, Place::Anywhere);
    assert_eq!(refused, Err(MapError::BadRange));
    let refused = map.map_again(LOW, PAGE_SIZE, Place::Anywhere);
    assert_eq!(refused, Err(MapError::NotMapped));
    vm.check_invariants();
}
