//! Tests of debug mode.

use core::alloc::Layout;
use core::panic::Location;
use core::ptr::NonNull;
use std::cell::RefCell;
use std::string::ToString;
use std::thread;
use std::vec::Vec;

use super::{Complaint, DebugOptions, Wrong};
use crate::testing::{Random, TestMachine};
use crate::vm::Vm;
use crate::{Leaks, M_ORPHANS, MallocError, MallocFlags, MallocType, TypeError};

crate::malloc_type!(M_WATCHED, "test watched", "of tests in debug mode");
crate::malloc_type!(M_OTHER, "test watched too", "of tests in debug mode");

const NOWAIT: MallocFlags = MallocFlags::NOWAIT;

std::thread_local! {
    /// What was told on this thread.
    static TOLD: RefCell<Vec<Complaint>> = const { RefCell::new(Vec::new()) };
}

fn tell(complaint: &Complaint) {
    TOLD.with_borrow_mut(|told| told.push(*complaint));
}

/// What was told since the last time.
fn told() -> Vec<Complaint> {
    TOLD.take()
}

fn setup(options: DebugOptions) -> Vm<TestMachine> {
    let vm = Vm::new(TestMachine::new(600));
    // SAFETY: the arena is ours.
    unsafe { vm.add_segment(vm.machine.frame(0), vm.machine.frame(600)) }.unwrap();
    vm.set_debug(options).unwrap();
    vm
}

/// Allocates, and tells where.
#[track_caller]
fn malloc(vm: &Vm<TestMachine>, size: usize) -> (NonNull<u8>, &'static Location<'static>) {
    let memory = vm.malloc(&M_WATCHED, size, NOWAIT).unwrap();
    (memory, Location::caller())
}

/// Frees, and tells where.
#[track_caller]
fn free(vm: &Vm<TestMachine>, memory: NonNull<u8>) -> &'static Location<'static> {
    // SAFETY: it may be wrong, and debug mode is there to say so.
    unsafe { vm.free(&M_WATCHED, memory) };
    Location::caller()
}

fn in_use(vm: &Vm<TestMachine>, ty: &'static MallocType) -> u64 {
    vm.type_stats(ty).unwrap().in_use
}

#[test]
fn the_mode_is_chosen_before_the_first_piece_and_once() {
    let vm = setup(DebugOptions::new(tell));
    let again = vm.set_debug(DebugOptions::new(tell));
    assert_eq!(again, Err(TypeError::InUse));
    let late = Vm::new(TestMachine::new(100));
    // SAFETY: the arena is ours.
    unsafe { late.add_segment(late.machine.frame(0), late.machine.frame(100)) }.unwrap();
    for allowed in 0..2 {
        late.machine.allow(allowed);
        let short = late.set_debug(DebugOptions::new(tell));
        assert_eq!(short, Err(TypeError::OutOfMemory));
        late.machine.allow_all();
        late.check_invariants();
    }
    late.malloc(&M_WATCHED, 1, NOWAIT).unwrap();
    let used = late.set_debug(DebugOptions::new(tell));
    assert_eq!(used, Err(TypeError::InUse));
}

#[test]
fn what_is_used_well_is_not_told() {
    let vm = setup(DebugOptions::all(tell));
    let mut random = Random(5);
    let mut held: Vec<(NonNull<u8>, Layout)> = Vec::new();
    for step in 0..4000 {
        if random.below(2) == 0 && !held.is_empty() {
            let (memory, layout) = held.swap_remove(random.below(held.len()));
            // SAFETY: not freed yet.
            unsafe {
                if random.below(2) == 0 {
                    vm.free_sized(&M_WATCHED, memory, layout);
                } else {
                    vm.free(&M_WATCHED, memory);
                }
            }
            continue;
        }
        let align = 1 << random.below(8);
        let layout = Layout::from_size_align(random.below(3000), align).unwrap();
        let flags = [NOWAIT, MallocFlags::ZERO][step % 2];
        let memory = vm.malloc_aligned(&M_WATCHED, layout, flags).unwrap();
        assert_eq!(memory.addr().get() % align, 0);
        let fresh = [DebugOptions::NEW, 0][step % 2];
        for n in 0..layout.size() {
            // SAFETY: so many bytes are ours, and initialised by debug mode.
            unsafe {
                assert_eq!(memory.add(n).read(), fresh);
                memory.add(n).write(step as u8);
            }
        }
        held.push((memory, layout));
        if random.below(100) == 0 {
            vm.check_invariants();
        }
    }
    assert_eq!(in_use(&vm, &M_WATCHED), held.len() as u64);
    for (memory, _) in held {
        free(&vm, memory);
    }
    assert_eq!(told(), []);
    let stats = vm.type_stats(&M_WATCHED).unwrap();
    assert_eq!((stats.in_use, stats.bytes), (0, 0));
    vm.check_invariants();
}

#[test]
fn a_second_free_names_all_three_places() {
    for options in [DebugOptions::new(tell), DebugOptions::all(tell)] {
        let vm = setup(options);
        let (memory, allocated) = malloc(&vm, 100);
        let freed = free(&vm, memory);
        assert_eq!(told(), []);
        let noticed = free(&vm, memory);
        let complaint = Complaint {
            wrong: Wrong::FreedTwice,
            address: memory.addr().get(),
            size: 100,
            ty: Some("test watched"),
            allocated: Some(allocated),
            freed: Some(freed),
            noticed,
        };
        assert_eq!(told(), [complaint]);
        let text = complaint.to_string();
        for site in [allocated, freed, noticed] {
            assert!(text.contains(&site.to_string()), "{text}");
        }
        assert_eq!(in_use(&vm, &M_WATCHED), 0);
        vm.check_invariants();
    }
}

#[test]
fn what_was_never_allocated_is_told_and_left_alone() {
    let vm = setup(DebugOptions::all(tell));
    let (memory, _) = malloc(&vm, 100);
    // SAFETY: within the piece.
    let inside = unsafe { memory.add(16) };
    for foreign in [inside, NonNull::from(&vm).cast(), NonNull::dangling()] {
        let noticed = free(&vm, foreign);
        let complaint = told().pop().unwrap();
        assert_eq!(complaint.wrong, Wrong::NotAllocated);
        assert_eq!((complaint.noticed, complaint.allocated), (noticed, None));
    }
    // SAFETY: it is wrong, and debug mode says so.
    let moved = unsafe { vm.realloc(&M_WATCHED, inside, 10, NOWAIT) };
    assert_eq!(moved, Err(MallocError::BadPointer));
    assert_eq!(told().len(), 1);
    free(&vm, memory);
    assert_eq!(told(), []);
    vm.check_invariants();
}

#[test]
fn a_wrong_type_or_layout_is_told_and_the_right_account_credited() {
    let vm = setup(DebugOptions::all(tell));
    let (memory, allocated) = malloc(&vm, 100);
    let layout = Layout::from_size_align(50, 16).unwrap();
    // SAFETY: neither the type nor the layout is right, and debug mode says so.
    unsafe { vm.free_sized(&M_OTHER, memory, layout) };
    let told = told();
    let wrong: Vec<_> = told.iter().map(|complaint| complaint.wrong).collect();
    assert_eq!(
        wrong,
        [Wrong::WrongType("test watched too"), Wrong::WrongSize(50)]
    );
    assert_eq!(told[0].ty, Some("test watched"));
    assert_eq!(told[0].allocated, Some(allocated));
    assert_eq!((in_use(&vm, &M_WATCHED), in_use(&vm, &M_OTHER)), (0, 0));
    vm.check_invariants();
}

#[test]
fn bytes_around_a_piece_are_watched() {
    let vm = setup(DebugOptions::all(tell));
    // SAFETY: within what the heap gave, and debug mode says so.
    let spoil = |memory: NonNull<u8>, n: isize| unsafe { memory.offset(n).write(0) };
    for (n, wrong) in [
        (-1, Wrong::WrittenBefore(1)),
        (-32, Wrong::WrittenBefore(32)),
        (100, Wrong::WrittenBeyond(100)),
        (131, Wrong::WrittenBeyond(131)),
    ] {
        let (memory, allocated) = malloc(&vm, 100);
        spoil(memory, n);
        let noticed = free(&vm, memory);
        let complaint = told().pop().unwrap();
        assert_eq!(complaint.wrong, wrong);
        assert_eq!(
            (complaint.allocated, complaint.noticed),
            (Some(allocated), noticed)
        );
    }
    assert_eq!(in_use(&vm, &M_WATCHED), 0);
    // Without zones nothing is seen.
    let vm = setup(DebugOptions::new(tell));
    let (memory, _) = malloc(&vm, 100);
    spoil(memory, 100);
    free(&vm, memory);
    assert_eq!(told(), []);
}

#[test]
fn a_write_to_free_memory_is_told_before_it_is_used_again() {
    let vm = setup(DebugOptions {
        quarantine: 0,
        ..DebugOptions::all(tell)
    });
    let (memory, allocated) = malloc(&vm, 100);
    let freed = free(&vm, memory);
    // SAFETY: the piece is in quarantine, and debug mode says so.
    unsafe { memory.add(42).write(1) };
    let others: Vec<_> = (0..20).map(|_| malloc(&vm, 100).0).collect();
    assert!(!others.contains(&memory), "not used again yet");
    assert_eq!(told(), []);
    for other in others {
        free(&vm, other);
    }
    let told = told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].wrong, Wrong::WrittenWhileFree(42));
    assert_eq!(
        (told[0].allocated, told[0].freed),
        (Some(allocated), Some(freed))
    );
    vm.check_invariants();
}

#[test]
fn the_quarantine_is_given_up_before_memory_runs_out() {
    let vm = setup(DebugOptions {
        quarantine: usize::MAX,
        ..DebugOptions::all(tell)
    });
    // Many times what there is.
    for _ in 0..5000 {
        let memory = vm.malloc(&M_WATCHED, 4000, NOWAIT).unwrap();
        free(&vm, memory);
    }
    vm.check_invariants();
    // Wherever it ends: nothing is lost.
    for allowed in 0..4 {
        vm.machine.allow(allowed);
        let result = vm.malloc(&M_WATCHED, 4000, NOWAIT);
        vm.machine.allow_all();
        vm.check_invariants();
        if let Ok(memory) = result {
            free(&vm, memory);
        }
        assert_eq!(in_use(&vm, &M_WATCHED), 0);
    }
    assert_eq!(told(), []);
}

#[test]
fn realloc_moves_and_keeps_the_bytes() {
    let vm = setup(DebugOptions::all(tell));
    let (memory, _) = malloc(&vm, 10);
    // SAFETY: within what is ours at the time; the old memory is used once too often in the end.
    unsafe {
        memory.write_bytes(7, 10);
        let moved = vm.realloc(&M_WATCHED, memory, 12, NOWAIT).unwrap();
        assert_ne!(moved, memory);
        let bytes = core::slice::from_raw_parts(moved.as_ptr(), 12);
        assert_eq!(bytes, [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0xa5, 0xa5]);
        assert_eq!(told(), []);
        let again = vm.realloc(&M_WATCHED, memory, 12, NOWAIT);
        assert_eq!(again, Err(MallocError::BadPointer));
        assert_eq!(told().pop().unwrap().wrong, Wrong::FreedTwice);
        free(&vm, moved);
    }
    vm.check_invariants();
}

/// What a module does that is loaded, leaks, and is unloaded.
mod module {
    use super::*;

    crate::malloc_type!(dynamic pub M_MODULE, "test module", "buffers of a module that leaks");

    pub fn load(vm: &Vm<TestMachine>) {
        vm.attach_type(&M_MODULE).unwrap();
    }

    pub fn buffer(vm: &Vm<TestMachine>, size: usize) -> NonNull<u8> {
        vm.malloc(&M_MODULE, size, NOWAIT).unwrap() // line of buffers
    }

    pub fn header(vm: &Vm<TestMachine>) -> NonNull<u8> {
        vm.malloc(&M_MODULE, 40, NOWAIT).unwrap() // line of headers
    }

    pub fn free(vm: &Vm<TestMachine>, memory: NonNull<u8>) {
        // SAFETY: the module's, not freed yet.
        unsafe { vm.free(&M_MODULE, memory) };
    }
}

#[test]
fn a_module_that_leaks_is_told_where() {
    let line_of = |what: &str| {
        let lines = include_str!("tests.rs").lines();
        let mark = std::format!("// line of {what}");
        lines.take_while(|line| !line.ends_with(&mark)).count() as u32 + 1
    };
    let vm = setup(DebugOptions::new(tell));
    module::load(&vm);
    let buffers: Vec<_> = (0..5).map(|_| module::buffer(&vm, 100)).collect();
    module::buffer(&vm, 1000);
    let header = module::header(&vm);
    module::free(&vm, buffers[0]);
    module::free(&vm, buffers[3]);

    let mut leaks = Vec::new();
    let refused = vm.detach_type(&module::M_MODULE, Leaks::Refuse, &mut |leak| {
        let site = leak.site.map(|site| (site.file(), site.line()));
        leaks.push((leak.size, leak.pieces, leak.bytes, site));
    });
    assert_eq!(refused, Err(TypeError::InUse));
    let here = |what| Some((file!(), line_of(what)));
    let expected = [
        (48, 1, 48, None),
        (112, 3, 336, None),
        (1024, 1, 1024, None),
        (48, 1, 48, here("headers")),
        (112, 3, 336, here("buffers")),
        (1024, 1, 1024, here("buffers")),
    ];
    assert_eq!(leaks, expected);

    vm.detach_type(&module::M_MODULE, Leaks::Orphan, &mut |_| ())
        .unwrap();
    vm.check_invariants();
    let mut orphans = Vec::new();
    vm.each_leak(&M_ORPHANS, &mut |leak| {
        let site = leak.site.map(|site| (site.file(), site.line()));
        orphans.push((leak.size, leak.pieces, leak.bytes, site));
    });
    assert_eq!(orphans, expected);
    // Somebody had them still.
    module::free(&vm, header);
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_ORPHANS, buffers[1]) };
    assert_eq!(told(), []);
    free(&vm, buffers[2]);
    assert_eq!(told()[0].wrong, Wrong::WrongType("test watched"));
    assert_eq!(in_use(&vm, &M_ORPHANS), 2);
    vm.check_invariants();
}

#[test]
fn limits_hold_as_they_do_else() {
    let vm = setup(DebugOptions::all(tell));
    vm.set_type_limit(&M_WATCHED, Some(1000)).unwrap();
    // Zones included: 192 bytes each.
    let held: Vec<_> = (0..5).map(|_| malloc(&vm, 100).0).collect();
    let more = vm.malloc(&M_WATCHED, 100, NOWAIT);
    assert_eq!(more, Err(MallocError::Limit));
    assert_eq!(vm.type_stats(&M_WATCHED).unwrap().high_water, 960);
    for memory in held {
        free(&vm, memory);
    }
    free(&vm, malloc(&vm, 100).0);
    assert_eq!(told(), []);
    vm.check_invariants();
}

#[test]
fn threads_are_watched() {
    let vm = setup(DebugOptions::all(tell));
    thread::scope(|scope| {
        for seed in 1..5 {
            let vm = &vm;
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut held = Vec::new();
                for _ in 0..3000 {
                    if random.below(2) == 0 && !held.is_empty() {
                        free(vm, held.swap_remove(random.below(held.len())));
                    } else if let Ok(memory) =
                        vm.malloc(&M_WATCHED, random.below(500), MallocFlags::ZERO)
                    {
                        held.push(memory);
                    }
                }
                held.into_iter().for_each(|memory| {
                    free(vm, memory);
                });
                assert_eq!(told(), []);
            });
        }
    });
    assert_eq!(in_use(&vm, &M_WATCHED), 0);
    vm.check_invariants();
}

#[test]
#[should_panic(expected = "is freed twice")]
fn a_hook_may_panic() {
    let vm = setup(DebugOptions::new(Complaint::panic));
    let (memory, _) = malloc(&vm, 100);
    free(&vm, memory);
    free(&vm, memory);
}
