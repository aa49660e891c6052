//! Tests of malloc and free.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::vec::Vec;

use crate::machine::Machine;
use crate::page::State;
use crate::testing::{Random, TestMachine};
use crate::vm::Vm;
use crate::{MallocError, MallocFlags, MallocType, Paging};

crate::malloc_type!(M_TEST, "test malloc", "of tests");
crate::malloc_type!(
    M_TIGHT,
    "test tight",
    "of tests, with a limit",
    limit = 1000
);

const NOWAIT: MallocFlags = MallocFlags::NOWAIT;

fn setup(frames: u64) -> Vm<TestMachine> {
    let vm = Vm::new(TestMachine::new(frames));
    // SAFETY: the arena is ours.
    unsafe { vm.add_segment(vm.machine.frame(0), vm.machine.frame(frames)) }.unwrap();
    vm
}

fn in_use(vm: &Vm<TestMachine>, ty: &'static MallocType) -> (u64, u64) {
    let stats = vm.type_stats(ty).unwrap();
    (stats.in_use, stats.bytes)
}

#[test]
fn pieces_have_room_and_alignment_and_are_counted_by_size() {
    let vm = setup(300);
    let mut held = Vec::new();
    let mut bytes = 0;
    for size in [0, 1, 16, 17, 100, 512, 2048, 2049, 4096, 5000, 70_000] {
        let memory = vm.malloc(&M_TEST, size, NOWAIT).unwrap();
        assert_eq!(memory.addr().get() % 16, 0);
        // SAFETY: so many bytes are ours.
        unsafe { memory.write_bytes(0xa5, size) };
        held.push(memory);
        let now = in_use(&vm, &M_TEST);
        assert_eq!(now.0, held.len() as u64);
        assert!(now.1 >= bytes + size as u64, "{size}");
        bytes = now.1;
    }
    vm.check_invariants();
    let stats = vm.type_stats(&M_TEST).unwrap();
    assert_eq!((stats.requests, stats.failures), (held.len() as u64, 0));
    assert!(stats.high_water >= bytes);
    let sum: u64 = stats.buckets.iter().map(|bucket| bucket.bytes).sum();
    assert_eq!(sum, bytes);
    assert_eq!(stats.buckets[0].in_use, 3, "0, 1 and 16 bytes");
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TEST, memory) };
    }
    assert_eq!(in_use(&vm, &M_TEST), (0, 0));
    vm.check_invariants();
    assert_eq!(vm.heap.in_use(), 0);
}

#[test]
fn the_heaps_pools_are_named_by_their_sizes() {
    let vm = setup(4000);
    for size in [16, 17, 1000, 4096, 10_000, 65_536] {
        let memory = vm.malloc(&M_TEST, size, NOWAIT).unwrap();
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TEST, memory) };
    }
    let (mut names, mut heap) = (Vec::new(), Vec::new());
    vm.each_pool(&mut |pool| {
        names.push(pool.name);
        if let Some(size) = pool.name.strip_prefix("malloc-") {
            assert_eq!(size.parse(), Ok(pool.size));
            heap.push(pool.size);
        }
    });
    assert_eq!(heap, [16, 32, 1024, 4096, 10_240, 65_536]);
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[test]
fn an_address_where_no_piece_begins_is_ignored() {
    let vm = setup(4000);
    let mut held = Vec::new();
    let mut pieces = 0;
    for size in (0..80).map(|n| 16 + n * 900) {
        let memory = vm.malloc(&M_TEST, size, NOWAIT).unwrap();
        pieces += 1;
        for offset in [1, 8, 16, 4096].into_iter().filter(|&n| n < size) {
            // SAFETY: no piece begins inside of one.
            unsafe { vm.free(&M_TEST, memory.byte_add(offset)) };
        }
        assert_eq!(in_use(&vm, &M_TEST).0, pieces, "{size}");
        held.push(memory);
    }
    let page = vm.frames.alloc_page(&vm.machine, State::Kernel).unwrap();
    let own = vm.machine.frame_ptr(page.frame());
    let mut outside = 0u64;
    for memory in [own, (&raw mut outside).cast()] {
        // SAFETY: no piece begins there.
        unsafe { vm.free(&M_TEST, NonNull::new(memory).unwrap()) };
    }
    vm.frames.free_page(&vm.machine, page);
    vm.check_invariants();
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TEST, memory) };
    }
    assert_eq!(in_use(&vm, &M_TEST), (0, 0));
    vm.check_invariants();
}

#[test]
fn zeros_are_zeros() {
    let vm = setup(100);
    for size in [8, 100, 3000, 20_000] {
        let layout = Layout::from_size_align(size, 16).unwrap();
        let dirty = vm.malloc(&M_TEST, size, NOWAIT).unwrap();
        // SAFETY: so many bytes are ours.
        unsafe {
            dirty.write_bytes(0xff, size);
            vm.free_sized(&M_TEST, dirty, layout);
        }
        let clean = vm.malloc(&M_TEST, size, MallocFlags::ZERO).unwrap();
        // SAFETY: so many bytes are ours, and initialised.
        let bytes = unsafe { core::slice::from_raw_parts(clean.as_ptr(), size) };
        assert!(bytes.iter().all(|&byte| byte == 0));
        // SAFETY: not freed yet.
        unsafe { vm.free_sized(&M_TEST, clean, layout) };
    }
    let layout = Layout::from_size_align(100, 1024).unwrap();
    let aligned = vm.malloc_aligned(&M_TEST, layout, NOWAIT).unwrap();
    assert_eq!(aligned.addr().get() % 1024, 0);
    // SAFETY: not freed yet.
    unsafe { vm.free_sized(&M_TEST, aligned, layout) };
    assert_eq!(in_use(&vm, &M_TEST), (0, 0));
}

#[test]
fn realloc_keeps_the_bytes() {
    let vm = setup(200);
    let mut memory = vm.malloc(&M_TEST, 1, NOWAIT).unwrap();
    let mut size = 1usize;
    let mut random = Random(3);
    // SAFETY: within what is ours at the time.
    unsafe {
        memory.write(0);
        for _ in 0..500 {
            let new = 1 + random.below(10_000);
            memory = vm.realloc(&M_TEST, memory, new, NOWAIT).unwrap();
            for n in 0..new {
                if n < size {
                    assert_eq!(memory.add(n).read(), n as u8);
                }
                memory.add(n).write(n as u8);
            }
            size = new;
        }
        assert_eq!(in_use(&vm, &M_TEST).0, 1);
        // Within one piece nothing moves.
        let at = vm.realloc(&M_TEST, memory, 100, NOWAIT).unwrap();
        assert_eq!(vm.realloc(&M_TEST, at, 110, NOWAIT), Ok(at));
        // What cannot grow stays, and what cannot move to become smaller stays, too.
        vm.machine.allow(0);
        let grown = vm.realloc(&M_TEST, at, 5000, NOWAIT);
        assert_eq!(grown, Err(MallocError::OutOfMemory));
        assert_eq!(vm.realloc(&M_TEST, at, 10, NOWAIT), Ok(at));
        vm.machine.allow_all();
        vm.free(&M_TEST, at);
    }
    assert_eq!(in_use(&vm, &M_TEST), (0, 0));
    let foreign = NonNull::from(&vm).cast();
    // SAFETY: it is not: nothing happens.
    let moved = unsafe { vm.realloc(&M_TEST, foreign, 10, NOWAIT) };
    assert_eq!(moved, Err(MallocError::BadPointer));
    vm.check_invariants();
}

#[test]
fn what_was_not_to_be_had_leaves_no_high_water() {
    let vm = setup(100);
    let memory = vm.malloc(&M_TEST, 100, NOWAIT).unwrap();
    let refused = vm.malloc(&M_TEST, 1 << 20, NOWAIT);
    assert_eq!(refused, Err(MallocError::OutOfMemory));
    let stats = vm.type_stats(&M_TEST).unwrap();
    assert!(stats.bytes <= stats.high_water && stats.high_water < 1 << 20);
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_TEST, memory) };
}

#[test]
fn a_limit_is_exact() {
    let vm = setup(100);
    let malloc = |size| vm.malloc(&M_TIGHT, size, NOWAIT);
    // 1000 bytes are seven pieces of 128 and one of 96, and 8 bytes are left.
    let mut held: Vec<_> = (0..7).map(|_| malloc(128).unwrap()).collect();
    assert_eq!(malloc(128), Err(MallocError::Limit));
    held.push(malloc(96).unwrap());
    assert_eq!(malloc(1), Err(MallocError::Limit));
    let stats = vm.type_stats(&M_TIGHT).unwrap();
    assert_eq!((stats.bytes, stats.high_water), (992, 992));
    assert_eq!((stats.requests, stats.failures), (10, 2));
    assert_eq!(stats.limit, Some(1000));
    // What comes back on another processor is there at once.
    vm.machine.set_cpu(3);
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_TIGHT, held.remove(0)) };
    vm.machine.set_cpu(1);
    held.push(malloc(128).unwrap());
    assert_eq!(malloc(16), Err(MallocError::Limit));
    vm.set_type_limit(&M_TIGHT, Some(1008)).unwrap();
    held.push(malloc(16).unwrap());
    assert_eq!(malloc(16), Err(MallocError::Limit));
    vm.set_type_limit(&M_TIGHT, Some(100)).unwrap();
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_TIGHT, held.remove(0)) };
    assert_eq!(malloc(16), Err(MallocError::Limit), "still above");
    vm.set_type_limit(&M_TIGHT, None).unwrap();
    held.extend((0..100).map(|_| malloc(128).unwrap()));
    vm.check_invariants();
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TIGHT, memory) };
    }
    vm.check_invariants();
    assert_eq!(in_use(&vm, &M_TIGHT), (0, 0));
}

#[test]
fn a_limit_that_is_set_later_is_exact() {
    let vm = setup(400);
    let mut held = Vec::new();
    // Each processor has credit of the type.
    for cpu in 0..4 {
        vm.machine.set_cpu(cpu);
        let some: Vec<_> = (0..100)
            .map(|_| vm.malloc(&M_TEST, 512, NOWAIT).unwrap())
            .collect();
        held.push(some[0]);
        for memory in &some[1..] {
            // SAFETY: not freed yet.
            unsafe { vm.free(&M_TEST, *memory) };
        }
    }
    assert_eq!(in_use(&vm, &M_TEST), (4, 2048));
    vm.set_type_limit(&M_TEST, Some(4096)).unwrap();
    held.extend((0..4).map(|_| vm.malloc(&M_TEST, 512, NOWAIT).unwrap()));
    let more = vm.malloc(&M_TEST, 16, NOWAIT);
    assert_eq!(more, Err(MallocError::Limit));
    vm.check_invariants();
    vm.set_type_limit(&M_TEST, None).unwrap();
    held.extend((0..100).map(|_| vm.malloc(&M_TEST, 512, NOWAIT).unwrap()));
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TEST, memory) };
    }
    assert_eq!(in_use(&vm, &M_TEST), (0, 0));
    vm.check_invariants();
}

#[test]
fn who_waits_at_the_limit_is_served_when_the_use_falls() {
    let vm = setup(100);
    let held: Vec<_> = (0..7)
        .map(|_| vm.malloc(&M_TIGHT, 128, NOWAIT).unwrap())
        .collect();
    let got = AtomicUsize::new(0);
    thread::scope(|scope| {
        let wait = || {
            let memory = vm.malloc(&M_TIGHT, 256, MallocFlags::WAIT).unwrap();
            got.fetch_add(1, SeqCst);
            // SAFETY: not freed yet.
            unsafe { vm.free(&M_TIGHT, memory) };
        };
        let waiters = [0; 3].map(|_| scope.spawn(wait));
        while vm.type_stats(&M_TIGHT).unwrap().waits < 3 {
            assert!(!waiters.iter().any(|waiter| waiter.is_finished()));
            thread::yield_now();
        }
        assert_eq!(got.load(SeqCst), 0, "there is room for 104");
        for memory in held {
            // SAFETY: not freed yet.
            unsafe { vm.free(&M_TIGHT, memory) };
        }
    });
    assert_eq!(in_use(&vm, &M_TIGHT), (0, 0));
    assert!(vm.type_stats(&M_TIGHT).unwrap().high_water <= 1000);
    let more = vm.malloc(&M_TIGHT, 2000, MallocFlags::WAIT);
    assert_eq!(more, Err(MallocError::Limit), "will never be");
    vm.check_invariants();
}

#[test]
fn who_waits_for_the_limit_is_served_when_it_is_raised() {
    let vm = setup(100);
    let memory = vm.malloc(&M_TIGHT, 1000 - 1000 % 16, NOWAIT);
    assert_eq!(memory, Err(MallocError::Limit), "a slot of 1024");
    let first = vm.malloc(&M_TIGHT, 768, NOWAIT).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let second = vm.malloc(&M_TIGHT, 768, MallocFlags::WAIT).unwrap();
            // SAFETY: not freed yet.
            unsafe { vm.free(&M_TIGHT, second) };
        });
        while vm.type_stats(&M_TIGHT).unwrap().waits == 0 {
            thread::yield_now();
        }
        vm.set_type_limit(&M_TIGHT, Some(2000)).unwrap();
    });
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_TIGHT, first) };
    vm.check_invariants();
}

#[test]
fn running_out_of_memory_is_told_and_counted_wherever_it_happens() {
    let vm = setup(200);
    for allowed in 0.. {
        vm.machine.allow(allowed);
        let result = vm.malloc(&M_TEST, 100, NOWAIT);
        vm.machine.allow_all();
        vm.check_invariants();
        let stats = vm.type_stats(&M_TEST).unwrap();
        match result {
            Ok(memory) => {
                assert_eq!((stats.in_use, stats.requests - stats.failures), (1, 1));
                // SAFETY: not freed yet.
                unsafe { vm.free(&M_TEST, memory) };
                break;
            }
            Err(error) => {
                assert_eq!(error, MallocError::OutOfMemory);
                assert_eq!((stats.in_use, stats.bytes), (0, 0));
            }
        }
    }
    // With all memory gone, too.
    let mut held = Vec::new();
    while let Ok(memory) = vm.malloc(&M_TEST, 4096, NOWAIT) {
        held.push(memory);
    }
    assert!(held.len() > 180);
    // Who may wait gets what pools have not needed.
    let wait = loop {
        match vm.malloc(&M_TEST, 4096, MallocFlags::WAIT) {
            Ok(memory) => held.push(memory),
            Err(error) => break error,
        }
    };
    assert_eq!(wait, MallocError::OutOfMemory, "no page daemon");
    assert!(vm.type_stats(&M_TEST).unwrap().failures >= 2);
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TEST, memory) };
    }
    let large = vm.malloc(&M_TEST, 1 << 40, NOWAIT);
    assert_eq!(large, Err(MallocError::TooLarge));
    assert_eq!(
        vm.malloc(&M_TEST, usize::MAX, NOWAIT),
        Err(MallocError::TooLarge)
    );
    assert_eq!(in_use(&vm, &M_TEST), (0, 0));
    vm.check_invariants();
}

#[test]
fn who_may_wait_gets_what_others_free() {
    let vm = setup(100);
    vm.start_paging(Paging::for_frames(100)).unwrap();
    let mut held = Vec::new();
    while let Ok(memory) = vm.malloc(&M_TEST, 4096, NOWAIT) {
        held.push(memory);
    }
    // There is nothing that could leave, so it fails, and does not wait forever.
    let wait = vm.malloc(&M_TEST, 4096, MallocFlags::WAIT);
    assert_eq!(wait, Err(MallocError::OutOfMemory));
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_TEST, memory) };
    }
    let memory = vm.malloc(&M_TEST, 4096, MallocFlags::WAIT).unwrap();
    // SAFETY: not freed yet.
    unsafe { vm.free(&M_TEST, memory) };
    vm.check_invariants();
}

/// Random pieces, some of which go to other threads; a type with a limit among others.
#[test]
fn threads_add_up() {
    let vm = setup(600);
    crate::malloc_type!(M_SOME, "test some", "of threads");
    crate::malloc_type!(M_MORE, "test more", "of threads", limit = 20_000);
    let types: [&'static MallocType; 2] = [&M_SOME, &M_MORE];
    type Held = Vec<(usize, NonNull<u8>, Layout)>;
    struct Given(std::sync::Mutex<Held>);
    // SAFETY: memory of the manager may be freed by any thread.
    unsafe impl Sync for Given {}
    let given = Given(std::sync::Mutex::new(Vec::new()));
    let free = |(ty, memory, layout): (usize, NonNull<u8>, Layout), sized| {
        // SAFETY: taken out of where it was, so not freed yet.
        unsafe {
            assert_eq!(memory.read(), layout.size() as u8);
            if sized {
                vm.free_sized(types[ty], memory, layout);
            } else {
                vm.free(types[ty], memory);
            }
        }
    };
    thread::scope(|scope| {
        for seed in 1..6 {
            let (given, free, vm, types) = (&given, &free, &vm, &types);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut held: Held = Vec::new();
                for _ in 0..20_000 {
                    if random.below(2) == 0 && !held.is_empty() {
                        let one = held.swap_remove(random.below(held.len()));
                        if random.below(4) == 0 {
                            given.0.lock().unwrap().push(one);
                        } else {
                            free(one, random.below(2) == 0);
                        }
                        continue;
                    }
                    let ty = random.below(2);
                    let most = if random.below(50) == 0 { 10_000 } else { 500 };
                    let layout = Layout::from_size_align(1 + random.below(most), 16).unwrap();
                    if let Ok(memory) = vm.malloc_aligned(types[ty], layout, NOWAIT) {
                        // SAFETY: it is ours.
                        unsafe { memory.write(layout.size() as u8) };
                        held.push((ty, memory, layout));
                    }
                    if random.below(8) == 0
                        && let Some(one) = given.0.lock().unwrap().pop()
                    {
                        held.push(one);
                    }
                }
                held.into_iter().for_each(|one| free(one, true));
            });
        }
    });
    vm.check_invariants();
    let left = given.0.into_inner().unwrap();
    let counted: u64 = types.iter().map(|ty| in_use(&vm, ty).0).sum();
    assert_eq!(counted, left.len() as u64);
    let small: u64 = types
        .iter()
        .flat_map(|ty| vm.type_stats(ty).unwrap().buckets)
        .filter(|bucket| bucket.size != 0)
        .map(|bucket| bucket.in_use)
        .sum();
    assert_eq!(vm.heap.in_use(), small);
    left.into_iter().for_each(|one| free(one, false));
    for ty in types {
        assert_eq!(in_use(&vm, ty), (0, 0));
    }
    let stats = vm.type_stats(&M_MORE).unwrap();
    assert!(stats.failures > 0 && stats.high_water <= 20_000);
    vm.check_invariants();
    assert_eq!(vm.heap.in_use(), 0);
}

#[test]
fn the_high_water_mark_is_above_the_truth_by_no_more_than_credit() {
    let vm = setup(2000);
    crate::malloc_type!(M_HIGH, "test high", "of a test of the high-water mark");
    let mut random = Random(11);
    let (mut held, mut most, mut cpus) = (Vec::new(), 0, [false; 4]);
    for step in 0..30_000 {
        let cpu = random.below(4);
        vm.machine.set_cpu(cpu);
        cpus[cpu] = true;
        // It grows and shrinks as a whole.
        let grows = random.below(10) < if step / 3000 % 2 == 0 { 6 } else { 4 };
        if grows {
            let large = random.below(500) == 0;
            let size = random.below(if large { 200_000 } else { 1000 });
            held.push(vm.malloc(&M_HIGH, size, NOWAIT).unwrap());
        } else if !held.is_empty() {
            let memory = held.swap_remove(random.below(held.len()));
            // SAFETY: not freed yet.
            unsafe { vm.free(&M_HIGH, memory) };
        }
        most = most.max(in_use(&vm, &M_HIGH).1);
        let high = vm.type_stats(&M_HIGH).unwrap().high_water;
        let credit = cpus.iter().filter(|&&used| used).count() as u64 * (512 << 10);
        assert!(high >= most && high <= most + credit, "{high}, {most}");
    }
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_HIGH, memory) };
    }
    vm.check_invariants();
}
