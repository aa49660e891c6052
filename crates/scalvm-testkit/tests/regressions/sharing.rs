//! Memory that passes from one address space to another, and pages that are lent.

use scalvm::{
    Access, Commit, Extract, FaultError, Inherit, Map, MapError, MapRequest, PAGE_SIZE, Place,
    Prot, Share,
};
use scalvm_testkit::Hw;

use crate::common::*;

fn extract<'v>(
    map: &Map<'v, Hw>,
    n: usize,
    pages: usize,
    how: Extract,
) -> Result<scalvm::Passing<'v, Hw>, MapError> {
    map.extract(page(n), pages * PAGE_SIZE, how)
}

/// Eight pages, each with its number.
fn numbered(kit: &scalvm_testkit::Kit) -> Map<'_, Hw> {
    let map = anonymous(kit, 8);
    (0..8).for_each(|n| set(&map, page(n), n as u64));
    map
}

#[test]
fn what_is_shared_is_the_same_memory() {
    let kit = kit();
    let (from, to) = (numbered(&kit), new_map(&kit));
    let mut passing = extract(&from, 2, 3, Extract::Share).expect("extracted");
    assert_eq!(passing.len(), 3 * PAGE_SIZE);
    assert_eq!(to.put(&mut passing, Place::Fixed(page(20))), Ok(page(20)));
    assert!(passing.is_empty());
    assert_eq!(
        to.put(&mut passing, Place::Anywhere),
        Err(MapError::BadRange)
    );
    assert_eq!(get(&to, page(21)), Ok(3));
    set(&to, page(21), 30);
    set(&from, page(4), 40);
    assert_eq!([get(&from, page(3)), get(&to, page(22))], [Ok(30), Ok(40)]);
    // What lies beside it is the source's alone, and gone with it.
    let before = kit.vm().stats().frames_anon;
    assert_eq!(from.unmap(AT, 8 * PAGE_SIZE), Ok(()));
    assert_eq!(kit.vm().stats().frames_anon, before - 5);
    assert_eq!(get(&to, page(22)), Ok(40));
    to.check_invariants();
    drop((passing, from, to));
    nothing_left(&kit);
}

#[test]
fn what_is_copied_is_copied_when_it_is_written() {
    let kit = kit();
    let (from, to) = (numbered(&kit), new_map(&kit));
    let before = kit.vm().stats();
    let mut passing = extract(&from, 2, 3, Extract::Copy).expect("extracted");
    set(&from, page(3), 30);
    assert_eq!(to.put(&mut passing, Place::Fixed(page(3))), Ok(page(3)));
    let now = kit.vm().stats();
    assert_eq!(
        now.frames_anon,
        before.frames_anon + 1,
        "one page was written"
    );
    assert_eq!([get(&to, page(4)), get(&from, page(3))], [Ok(3), Ok(30)]);
    set(&to, page(5), 50);
    assert_eq!(get(&from, page(4)), Ok(4));
    // Of what was not copied nothing is kept.
    assert_eq!(from.unmap(AT, 8 * PAGE_SIZE), Ok(()));
    assert_eq!(kit.vm().stats().frames_anon, 3);
    drop((passing, from, to));
    nothing_left(&kit);
}

#[test]
fn what_moves_is_gone_and_keeps_its_page() {
    let kit = kit();
    let (from, to) = (numbered(&kit), new_map(&kit));
    assert_eq!(from.wire(page(2), PAGE_SIZE), Ok(()));
    let frame = from.hold(page(2), Access::Read).expect("held").frame();
    let mut passing = extract(&from, 1, 4, Extract::Move).expect("extracted");
    assert_eq!(get(&from, page(2)), Err(FaultError::NoMapping));
    assert_eq!(get(&from, page(5)), Ok(5));
    // Back to where it was, and out again.
    assert_eq!(from.put(&mut passing, Place::Free(page(1))), Ok(page(1)));
    assert_eq!(get(&from, page(2)), Ok(2));
    assert_eq!(from.usage().wired_bytes, 0, "wiring is not passed on");
    passing = extract(&from, 1, 4, Extract::Move).expect("extracted");
    let at = to.put(&mut passing, Place::Lowest).expect("put");
    assert_eq!(get(&to, at + PAGE_SIZE), Ok(2));
    assert_eq!(
        to.hold(at + PAGE_SIZE, Access::Read).expect("held").frame(),
        frame
    );
    assert_eq!(kit.vm().stats().cow_copies, 0);
    drop((passing, from, to));
    nothing_left(&kit);
}

#[test]
fn a_place_that_is_taken_leaves_all_as_it_was() {
    let kit = kit();
    let (from, to) = (numbered(&kit), anonymous(&kit, 2));
    set(&to, page(0), 70);
    assert_eq!(
        extract(&from, 6, 4, Extract::Move).err(),
        Some(MapError::NotMapped),
        "a hole"
    );
    let mut passing = extract(&from, 0, 4, Extract::Move).expect("extracted");
    assert_eq!(
        to.put(&mut passing, Place::Free(page(1))),
        Err(MapError::Occupied)
    );
    assert_eq!(
        to.put(&mut passing, Place::Fixed(HIGH)),
        Err(MapError::BadRange)
    );
    assert_eq!(get(&to, page(0)), Ok(70));
    assert_eq!(from.put(&mut passing, Place::Free(AT)), Ok(AT));
    for n in 0..8 {
        assert_eq!(get(&from, page(n)), Ok(n as u64));
    }
    passing = extract(&from, 0, 4, Extract::Share).expect("extracted");
    assert_eq!(to.put(&mut passing, Place::Fixed(AT)), Ok(AT));
    assert_eq!(get(&to, page(0)), Ok(0), "what was there is replaced");
    drop((passing, from, to));
    nothing_left(&kit);
}

#[test]
fn entries_in_passage_keep_their_promises() {
    let kit = kit();
    let map = numbered(&kit);
    let promised = kit.vm().stats().committed;
    kit.vm().set_commit(Commit::Strict {
        limit_pages: promised + 3,
    });
    assert_eq!(
        extract(&map, 0, 4, Extract::Copy).err(),
        Some(MapError::NotPromised)
    );
    assert_eq!(kit.vm().stats().committed, promised);
    let copy = extract(&map, 0, 3, Extract::Copy).expect("promised");
    assert_eq!(kit.vm().stats().committed, promised + 3);
    let moved = extract(&map, 0, 8, Extract::Move).expect("no more is promised");
    assert_eq!(map.usage().promised_pages, 0);
    assert_eq!(kit.vm().stats().committed, promised + 3);
    drop(copy);
    drop(moved);
    assert_eq!(kit.vm().stats().committed, 0);
    drop(map);
    nothing_left(&kit);
}

#[test]
fn what_is_lent_stays_what_it_was() {
    let kit = kit();
    let map = numbered(&kit);
    let word = |loan: &scalvm::Loan<'_, Hw>| {
        let mut bytes = [0; 8];
        loan.read(0, &mut bytes);
        u64::from_le_bytes(bytes)
    };
    run_on(&kit, 0, &map);
    store(&kit, 0, &map, page(1), 1).expect("stored");
    let frame = map.hold(page(1), Access::Read).expect("held").frame();
    let loan = map.lend(page(1)).expect("lent");
    assert_eq!(loan.frame(), frame, "nothing is copied");
    let second = loan.clone();
    store(&kit, 0, &map, page(1), 11).expect("stored");
    assert_eq!([word(&loan), word(&second)], [1, 1]);
    assert_eq!(get(&map, page(1)), Ok(11));
    assert_eq!(kit.vm().stats().cow_copies, 1);
    store(&kit, 0, &map, page(1), 12).expect("stored");
    assert_eq!(
        kit.vm().stats().cow_copies,
        1,
        "the copy is the map's alone"
    );
    drop((loan, second));
    // A loan that has ended before the next write costs no copy.
    drop(map.lend(page(2)).expect("lent"));
    store(&kit, 0, &map, page(2), 22).expect("stored");
    assert_eq!(kit.vm().stats().cow_copies, 1);
    // It outlives its map.
    let last = map.lend(page(3)).expect("lent");
    let untouched = map
        .map(MapRequest::anonymous(PAGE_SIZE, Prot::RW))
        .map(|at| (at, map.lend(at).expect("lent")))
        .expect("mapped");
    store(&kit, 0, &map, untouched.0, 5).expect("stored");
    assert_eq!(word(&untouched.1), 0);
    take_off(&kit, 0, &map);
    drop(map);
    assert_eq!(word(&last), 3);
    assert_eq!(kit.vm().stats().loans, 2);
    kit.vm().check_invariants();
    drop((last, untouched));
    assert_eq!(kit.vm().stats().loans, 0);
    nothing_left(&kit);
}

#[test]
fn what_somebody_writes_is_lent_as_a_copy() {
    let kit = kit();
    let map = numbered(&kit);
    let held = map.hold(page(1), Access::Write).expect("held");
    let loan = map.lend(page(1)).expect("lent");
    assert_ne!(loan.frame(), held.frame());
    kit.write(held.frame(), 0, &7u64.to_le_bytes());
    assert_eq!(kit.bytes(loan.frame()).as_slice()[0], 1);
    assert_eq!(kit.vm().stats().lent_copies, 1);
    drop((held, loan, map));
    nothing_left(&kit);
}

#[test]
fn pages_of_files_are_lent_too() {
    let kit = kit();
    let file = kit.open(0, 5 * PAGE_SIZE as u64 - 100);
    let map = new_map(&kit);
    map_object(&map, &file, 0, 4, Share::Shared);
    set(&map, page(1), 1);
    let loans = [
        file.lend(1).expect("lent"),
        map.lend(page(1)).expect("lent"),
    ];
    let frame = loans[0].frame();
    assert_eq!(loans[1].frame(), frame);
    set(&map, page(1), 2);
    assert_eq!(object_word(&file, PAGE_SIZE), 2);
    assert_eq!(file.write_at(PAGE_SIZE as u64, &3u64.to_le_bytes()), Ok(()));
    assert_eq!(get(&map, page(1)), Ok(3));
    assert_eq!(kit.bytes(frame).as_slice()[0], 1);
    // What was lent of the last page is not cut.
    let last = file.lend(4).expect("lent");
    let before = kit.bytes(last.frame());
    assert_eq!(file.set_size(4 * PAGE_SIZE as u64 + 8), Ok(()));
    assert_eq!(kit.bytes(last.frame()), before);
    assert_eq!(file.sync(0, u64::MAX), Ok(()));
    assert_eq!(kit.disk_page(0, 1).as_slice()[0], 3);
    drop((loans, last, map, file));
    kit.pump(u32::MAX);
    nothing_left(&kit);
}

#[test]
fn forced_access_leaves_rights_and_others_alone() {
    let kit = kit();
    let parent = numbered(&kit);
    assert_eq!(parent.protect(AT, 8 * PAGE_SIZE, Prot::READ), Ok(()));
    let child = parent.fork().expect("memory");
    run_on(&kit, 0, &child);
    assert_eq!(load(&kit, 0, &child, page(1)), Ok(1));
    assert_eq!(
        child.hold(page(1), Access::Write).err(),
        Some(FaultError::Protection)
    );
    let held = child.hold_forced(page(1), Access::Write).expect("forced");
    kit.write(held.frame(), 0, &9u64.to_le_bytes());
    drop(held);
    assert_eq!(load(&kit, 0, &child, page(1)), Ok(9));
    assert_eq!(
        store(&kit, 0, &child, page(1), 1),
        Err(FaultError::Protection)
    );
    assert_eq!(get(&parent, page(1)), Ok(1));
    // Shared memory is not written where it may only be read.
    let object = kit.vm().new_anonymous(PAGE_SIZE as u64).expect("memory");
    map_object(&child, &object, 20, 1, Share::Shared);
    assert_eq!(child.protect(page(20), PAGE_SIZE, Prot::empty()), Ok(()));
    assert!(child.hold_forced(page(20), Access::Read).is_ok());
    assert_eq!(
        child.hold_forced(page(20), Access::Write).err(),
        Some(FaultError::Protection)
    );
    take_off(&kit, 0, &child);
    drop((parent, child, object));
    nothing_left(&kit);
}

#[test]
fn a_hole_is_punched_for_all_but_private_copies() {
    let kit = kit();
    let object = kit
        .vm()
        .new_anonymous(4 * PAGE_SIZE as u64)
        .expect("memory");
    let map = new_map(&kit);
    map_object(&map, &object, 0, 4, Share::Shared);
    map_object(&map, &object, 10, 4, Share::Private);
    (0..4).for_each(|n| set(&map, page(n), 1 + n as u64));
    set(&map, page(11) + 8, 7);
    let resident = object.resident();
    let half = PAGE_SIZE as u64 / 2;
    assert_eq!(object.punch(half, 2 * PAGE_SIZE as u64), Ok(()));
    assert_eq!(object.resident(), resident - 1);
    assert_eq!(
        [0, 1, 2, 3].map(|n| get(&map, page(n))),
        [Ok(1), Ok(0), Ok(0), Ok(4)]
    );
    assert_eq!(
        [get(&map, page(11)), get(&map, page(11) + 8)],
        [Ok(2), Ok(7)]
    );
    assert_eq!(get(&map, page(12)), Ok(0));
    set(&map, page(1), 5);
    assert_eq!(object_word(&object, PAGE_SIZE), 5);
    drop((map, object));
    nothing_left(&kit);
}

/// FreeBSD's test of this name, for its CVE-2021-29626: several processes share memory of which others have
/// copies, made earlier; one of those that share writes, and all of them must see it, also where the copies are
/// gone, all pages were written before, or the memory is wired.
#[test]
fn shared_shadow_inval() {
    for processes in [4, 5] {
        for ways in 0..8u32 {
            let [collapse, full, wired] = [0, 1, 2].map(|bit| ways >> bit & 1 == 1);
            for writer in 0..2 {
                shadow(processes, collapse, full, wired, writer);
            }
        }
    }
}

fn shadow(processes: usize, collapse: bool, full: bool, wired: bool, writer: usize) {
    const PAGES: usize = 4;
    let kit = kit();
    let first = anonymous(&kit, PAGES);
    (0..PAGES).for_each(|n| set(&first, page(n), 1));
    // A copy, which others may share among themselves.
    let copy = first.fork().expect("memory");
    set_inherit(&first, 0, PAGES, Inherit::Share);
    if wired {
        assert_eq!(first.wire(AT, PAGES * PAGE_SIZE), Ok(()));
    }
    let mut sharers = vec![first];
    let mut copies = vec![copy];
    while sharers.len() < 3 {
        sharers.push(sharers[0].fork().expect("memory"));
    }
    while sharers.len() + copies.len() < processes {
        copies.push(copies[0].fork().expect("memory"));
    }
    let written: Vec<usize> = (0..PAGES).filter(|n| full || n % 2 == 0).collect();
    for (cpu, map) in sharers.iter().enumerate() {
        run_on(&kit, cpu, map);
        (0..PAGES).for_each(|n| assert_eq!(load(&kit, cpu, map, page(n)), Ok(1)));
    }
    if collapse {
        copies.clear();
    }
    for &n in &written {
        store(&kit, writer, &sharers[writer], page(n), 2).expect("stored");
    }
    for (cpu, map) in sharers.iter().enumerate() {
        for n in 0..PAGES {
            let must = if written.contains(&n) { 2 } else { 1 };
            assert_eq!(
                load(&kit, cpu, map, page(n)),
                Ok(must),
                "{processes} {collapse} {full} {wired} {writer}: {cpu} {n}"
            );
        }
        take_off(&kit, cpu, map);
    }
    for map in &copies {
        (0..PAGES).for_each(|n| assert_eq!(get(map, page(n)), Ok(1)));
    }
    drop((sharers, copies));
    nothing_left(&kit);
}
