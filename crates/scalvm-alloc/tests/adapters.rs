//! The adapters, on the emulated machine.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::thread;

use allocator_api2::alloc::{AllocError, Allocator};
use allocator_api2::vec::Vec;
use hashbrown::HashMap;
use scalvm::{Complaint, DebugOptions, MallocFlags, MallocType, TypeStats, Vm, malloc_type};
use scalvm_alloc::{GlobalHeap, KBox, TypedAlloc};
use scalvm_machine::Emulated;

malloc_type!(M_TEST, "test", "of the adapters' tests");
malloc_type!(M_TIGHT, "tight", "the same with a limit", limit = 4096);

fn setup() -> Vm<Emulated> {
    let vm = Vm::new(Emulated::with_frames(1000));
    let frames = vm.machine().segment(0);
    // SAFETY: the machine's memory is this manager's.
    unsafe { vm.add_segment(frames.start, frames.end) }.unwrap();
    vm
}

fn stats(vm: &Vm<Emulated>, ty: &'static MallocType) -> TypeStats {
    vm.type_stats(ty).unwrap()
}

#[test]
fn the_global_heap_is_charged_to_its_type() {
    let vm: &'static Vm<Emulated> = Box::leak(Box::new(setup()));
    let heap = GlobalHeap::new(vm, &M_TEST);
    let layout = Layout::from_size_align(100, 64).unwrap();
    // SAFETY: as GlobalAlloc asks for.
    unsafe {
        let memory = heap.alloc(layout);
        assert!(!memory.is_null() && memory.addr().is_multiple_of(64));
        memory.write_bytes(7, 100);
        assert_eq!(stats(vm, &M_TEST).in_use, 1);
        let moved = heap.realloc(memory, layout, 5000);
        assert!(moved.addr().is_multiple_of(64) && moved.add(99).read() == 7);
        let zeroed = heap.alloc_zeroed(layout);
        assert_eq!(std::slice::from_raw_parts(zeroed, 100), [0; 100]);
        // What cannot grow stays.
        vm.machine().fail_allocations_from(0);
        assert!(heap.realloc(zeroed, layout, 5000).is_null());
        assert!(heap.alloc(layout).is_null());
        vm.machine().stop_failing();
        heap.dealloc(zeroed, layout);
        heap.dealloc(moved, Layout::from_size_align(5000, 64).unwrap());
    }
    let stats = stats(vm, &M_TEST);
    assert_eq!((stats.in_use, stats.bytes, stats.failures), (0, 0, 2));
    vm.check_invariants();
}

#[test]
fn collections_are_charged_to_their_type() {
    let vm = setup();
    let alloc = TypedAlloc::new(&vm, &M_TEST);
    let mut list = Vec::new_in(alloc);
    let mut map = HashMap::new_in(alloc);
    for n in 0..5000u32 {
        list.push(n);
        map.insert(n, n * 2);
    }
    assert!(stats(&vm, &M_TEST).bytes >= 5000 * 12);
    assert_eq!(stats(&vm, &M_TEST).in_use, 2);
    list.truncate(10);
    list.shrink_to_fit();
    map.retain(|n, _| n % 2 == 0);
    map.shrink_to_fit();
    assert_eq!(list.iter().sum::<u32>(), 45);
    assert!((0..5000).all(|n| map.get(&n).copied() == (n % 2 == 0).then_some(n * 2)));
    drop((list, map));
    let stats = stats(&vm, &M_TEST);
    assert_eq!((stats.in_use, stats.bytes), (0, 0));
    vm.check_invariants();
}

#[test]
fn any_layout_grows_and_shrinks() {
    let vm = setup();
    let alloc = TypedAlloc::new(&vm, &M_TEST);
    let layout = |size, align| Layout::from_size_align(size, align).unwrap();
    let layouts =
        [(0, 8), (10, 1), (10, 256), (300, 16), (5000, 4), (0, 64)].map(|(s, a)| layout(s, a));
    for old in layouts {
        for new in layouts {
            let memory = alloc.allocate(old).unwrap();
            assert_eq!(memory.len(), old.size());
            // SAFETY: as Allocator asks for.
            unsafe {
                let bytes = memory.cast::<u8>();
                bytes.write_bytes(9, old.size());
                let moved = if new.size() >= old.size() {
                    alloc.grow_zeroed(bytes, old, new)
                } else {
                    alloc.shrink(bytes, old, new)
                }
                .unwrap();
                assert_eq!(
                    (moved.len(), moved.addr().get() % new.align()),
                    (new.size(), 0)
                );
                for (n, byte) in moved.as_ref().iter().enumerate() {
                    assert_eq!(*byte, if n < old.size() { 9 } else { 0 });
                }
                alloc.deallocate(moved.cast(), new);
            }
        }
    }
    assert_eq!(stats(&vm, &M_TEST).in_use, 0);
    vm.check_invariants();
}

#[test]
fn a_limit_is_an_error_and_not_an_abort() {
    let vm = setup();
    let mut list = Vec::new_in(TypedAlloc::new(&vm, &M_TIGHT));
    list.try_reserve_exact(2000).unwrap();
    list.push(1u8);
    assert!(list.try_reserve_exact(4000).is_err(), "both would be there");
    assert_eq!((list.capacity(), list[0]), (2000, 1));
    let more = KBox::try_new_with(*list.allocator(), || [0u8; 3000]);
    assert_eq!(more.err(), Some(AllocError));
    // Who may wait gets it when the list goes.
    let waiting = list.allocator().waiting();
    thread::scope(|scope| {
        scope.spawn(|| KBox::try_new_with(waiting, || [0u8; 3000]).unwrap());
        while stats(&vm, &M_TIGHT).waits == 0 {
            thread::yield_now();
        }
        drop(list);
    });
    assert_eq!(stats(&vm, &M_TIGHT).in_use, 0);
}

/// Counts how often it is dropped.
struct Counted<'a>(&'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_box_owns_its_value() {
    let vm = setup();
    let alloc = TypedAlloc::new(&vm, &M_TEST);
    let drops = Cell::new(0);
    let one = KBox::try_new(alloc, Counted(&drops)).unwrap();
    let other = KBox::try_new(alloc, Counted(&drops)).unwrap();
    assert_eq!((stats(&vm, &M_TEST).in_use, drops.get()), (2, 0));
    drop(one);
    assert_eq!((stats(&vm, &M_TEST).in_use, drops.get()), (1, 1));
    let value = other.into_inner();
    assert_eq!((stats(&vm, &M_TEST).in_use, drops.get()), (0, 1));
    drop(value);
    assert_eq!(drops.get(), 2);
    // Through a pointer, and unsized on the way.
    let (value, alloc) = KBox::into_raw(KBox::try_new(alloc, [1, 2, 3]).unwrap());
    // SAFETY: both come from the box.
    let slice: KBox<[i32], _> = unsafe { KBox::from_raw(value, alloc) };
    assert_eq!(slice.iter().sum::<i32>(), 6);
    assert_eq!(format!("{slice:?}"), "[1, 2, 3]");
    drop(slice);
    // Of no size: no memory.
    let nothing = KBox::try_new(alloc, ()).unwrap();
    assert_eq!(stats(&vm, &M_TEST).in_use, 0);
    nothing.into_inner();
    let pinned: Pin<KBox<u64, _>> = {
        let vm: &'static Vm<Emulated> = Box::leak(Box::new(setup()));
        KBox::try_pin(TypedAlloc::new(vm, &M_TEST), 5).unwrap()
    };
    assert_eq!(*pinned, 5);
    vm.check_invariants();
}

#[test]
fn without_memory_nothing_is_made() {
    let vm = setup();
    let alloc = TypedAlloc::new(&vm, &M_TEST);
    let drops = Cell::new(0);
    vm.machine().fail_allocations_from(0);
    let made = KBox::try_new_with(alloc, || panic!("there is no memory"));
    assert_eq!(
        made.map(|it: KBox<(u64, u64), _>| *it).err(),
        Some(AllocError)
    );
    assert!(KBox::try_new(alloc, Counted(&drops)).is_err());
    assert_eq!(drops.get(), 1);
    vm.machine().stop_failing();
    // A constructor that panics leaves nothing behind.
    let panics = catch_unwind(AssertUnwindSafe(|| {
        KBox::try_new_with(alloc, || -> [u64; 8] { panic!("no value") })
    }));
    assert!(panics.is_err());
    assert_eq!(stats(&vm, &M_TEST).in_use, 0);
    vm.check_invariants();
}

thread_local! {
    static TOLD: RefCell<std::vec::Vec<Complaint>> = const { RefCell::new(std::vec::Vec::new()) };
}

#[test]
fn debug_mode_names_the_line_that_made_a_box() {
    let vm = setup();
    let tell = |complaint: &Complaint| TOLD.with_borrow_mut(|told| told.push(*complaint));
    vm.set_debug(DebugOptions::all(tell)).unwrap();
    let alloc = TypedAlloc::new(&vm, &M_TEST);
    let (here, node) = (Location::caller(), KBox::try_new(alloc, 1u64).unwrap());
    assert_eq!(here.file(), Location::caller().file());
    let mut lines = std::vec::Vec::new();
    vm.each_leak(&M_TEST, &mut |leak| {
        lines.extend(leak.site.map(|site| (site.file(), site.line())))
    });
    let line = include_str!("adapters.rs")
        .lines()
        .position(|line| line.contains("(here, node) ="));
    assert_eq!(lines, [(file!(), line.unwrap() as u32 + 1)]);
    // One byte too far.
    let (value, alloc) = KBox::into_raw(node);
    // SAFETY: within the red zone, which is what is tested.
    unsafe {
        value.cast::<u8>().add(8).write(0);
        drop(KBox::from_raw(value, alloc));
    }
    let told = TOLD.take();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].wrong, scalvm::Wrong::WrittenBeyond(8));
    // All collections work in it.
    let mut map = HashMap::new_in(alloc);
    map.extend((0..1000u32).map(|n| (n, [n; 4])));
    let sum: u32 = map.values().map(|it| it[3]).sum();
    assert_eq!(sum, 999 * 500);
    drop(map);
    assert_eq!(TOLD.take(), []);
    assert_eq!(stats(&vm, &M_TEST).in_use, 0);
    vm.check_invariants();
}

#[test]
fn threads_share_a_type() {
    let vm = setup();
    let alloc = TypedAlloc::new(&vm, &M_TEST);
    thread::scope(|scope| {
        for thread in 0..4u64 {
            scope.spawn(move || {
                let mut boxes = Vec::new_in(alloc);
                for n in 0..2000 {
                    boxes.push(KBox::try_new(alloc, (thread, n)).unwrap());
                    if n % 3 == 0 {
                        boxes.swap_remove(n as usize % boxes.len());
                    }
                }
                assert!(boxes.iter().all(|it| it.0 == thread));
            });
        }
    });
    assert_eq!(stats(&vm, &M_TEST).in_use, 0);
    let flags = MallocFlags::NOWAIT;
    assert!(vm.malloc(&M_TEST, 10, flags).is_ok());
    vm.check_invariants();
}
