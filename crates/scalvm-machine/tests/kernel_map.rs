//! The kernel map on page tables that a processor walks: wired memory, guards, submaps, pageable
//! memory.

use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use scalvm::{
    Access, ArenaError, Codec, Fault, FaultError, Frame, FrameLimits, KernelAlloc, KernelMap,
    MapError, MapRequest, OutOfMemory, PAGE_SIZE, Paging, Prot, Vm,
};
use scalvm_machine::{Config, Cpu, Emulated};

/// The frame of the kernel's root table.
const ROOT: Frame = Frame(0x900);
const LOW: usize = 0xffff_9000_0000_0000;
/// 64 pages are pageable, 192 wired.
const PAGEABLE: usize = 64 * PAGE_SIZE;
const MIDDLE: usize = LOW + PAGEABLE;
const HIGH: usize = LOW + 256 * PAGE_SIZE;

fn manager(frames: u64) -> Vm<Emulated> {
    let machine = Emulated::new(Config {
        segments: vec![Frame(0x1000)..Frame(0x1000 + frames)],
        devices: vec![ROOT..Frame(ROOT.0 + 1)],
        kernel_root: Some(ROOT),
        evict_one_in: 50,
        ..Config::default()
    });
    let run = machine.segment(0);
    let vm = Vm::new(machine);
    // SAFETY: the machine's memory, which nobody else uses.
    unsafe { vm.add_segment(run.start, run.end) }.unwrap();
    vm
}

fn kernel_map(vm: &Vm<Emulated>) -> KernelMap<'_, Emulated> {
    vm.new_kernel_map(LOW, HIGH, PAGEABLE).unwrap()
}

fn pages(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE_SIZE, 8).unwrap()
}

fn address(at: NonNull<u8>) -> usize {
    at.addr().get()
}

/// Checks everything, what processors have cached too.
fn check(vm: &Vm<Emulated>, map: &KernelMap<'_, Emulated>) {
    vm.check_invariants();
    map.check_invariants();
    vm.machine().assert_no_stale(ROOT);
}

/// Fills pages with words of their own.
fn fill(cpu: &Cpu, at: usize, count: usize, mark: u64) {
    for n in 0..count * 4 {
        let va = at + n * PAGE_SIZE / 4;
        cpu.store_u64(va, mark ^ va as u64).unwrap();
    }
}

/// Whether they are still there.
fn verify(cpu: &Cpu, at: usize, count: usize, mark: u64) {
    for n in 0..count * 4 {
        let va = at + n * PAGE_SIZE / 4;
        assert_eq!(cpu.load_u64(va), Ok(mark ^ va as u64), "{va:#x}");
    }
}

fn free(map: &KernelMap<'_, Emulated>, at: NonNull<u8>) -> Result<(), ArenaError> {
    // SAFETY: tests use it no more.
    unsafe { map.free(at) }
}

#[test]
fn wired_memory_is_pages_one_behind_the_other() {
    let vm = manager(600);
    let map = kernel_map(&vm);
    let (one, two) = (
        vm.machine().processor(0).as_kernel(),
        vm.machine().processor(1),
    );
    // Another processor has a program's space, made later.
    let space = vm.new_map(0x1000, 1 << 40).unwrap();
    two.run(|| space.activate());
    let two_kernel = two.as_kernel();
    // Frames in a row are rare.
    let frames: Vec<_> = (0..300)
        .map(|_| vm.alloc_frames(1, &FrameLimits::NONE).unwrap())
        .collect();
    for frame in frames.iter().step_by(2) {
        // SAFETY: nobody uses it.
        unsafe { vm.free_frames(*frame, 1) };
    }
    let before = vm.stats().frames_kernel;
    let at = map.alloc(pages(40), KernelAlloc::default()).unwrap();
    let va = address(at);
    assert!((MIDDLE..HIGH).contains(&va));
    assert_eq!(map.size_at(va), Some(40 * PAGE_SIZE));
    assert_eq!(map.size_at(va + PAGE_SIZE), None);
    fill(&one, va, 40, 7);
    verify(&two_kernel, va, 40, 7);
    assert!(two.load_u64(va).is_err(), "programs see nothing");
    check(&vm, &map);
    let other = map.alloc(pages(3), KernelAlloc::ZERO).unwrap();
    fill(&two_kernel, address(other), 3, 9);
    verify(&one, va, 40, 7);
    free(&map, at).unwrap();
    for cpu in [&one, &two_kernel] {
        for n in 0..40 {
            assert!(cpu.load_u64(va + n * PAGE_SIZE).is_err());
        }
    }
    check(&vm, &map);
    verify(&one, address(other), 3, 9);
    free(&map, other).unwrap();
    // The same addresses again show the new frames, and those are zero if asked for.
    let again = map.alloc(pages(40), KernelAlloc::ZERO).unwrap();
    assert_eq!(address(again), va);
    for n in 0..40 * 8 {
        assert_eq!(one.load_u64(va + n * PAGE_SIZE / 8), Ok(0));
    }
    check(&vm, &map);
    free(&map, again).unwrap();
    for frame in frames.iter().skip(1).step_by(2) {
        // SAFETY: nobody uses it.
        unsafe { vm.free_frames(*frame, 1) };
    }
    assert_eq!(map.stats().in_use, 0);
    assert!(vm.stats().frames_kernel < before);
    two.park();
    check(&vm, &map);
}

#[test]
fn guards_are_not_mapped_and_alignment_is_kept() {
    let vm = manager(400);
    let map = kernel_map(&vm);
    let cpu = vm.machine().processor(0).as_kernel();
    let mut all = Vec::new();
    for n in 1..8usize {
        let align = PAGE_SIZE << (n % 4);
        let layout = Layout::from_size_align(n * PAGE_SIZE - 5, align).unwrap();
        for how in [KernelAlloc::default(), KernelAlloc::GUARD] {
            let at = map.alloc(layout, how).unwrap();
            let va = address(at);
            assert!(va.is_multiple_of(align), "{va:#x} {align:#x}");
            fill(&cpu, va, n, va as u64);
            if how.contains(KernelAlloc::GUARD) {
                assert!(cpu.load_u64(va - 8).is_err() && cpu.store_u64(va - 8, 1).is_err());
                let end = va + n * PAGE_SIZE;
                assert!(cpu.load_u64(end).is_err() && cpu.store_u64(end, 1).is_err());
                assert_eq!(
                    map.fault_wait(end, Access::Write),
                    Err(FaultError::NoMapping)
                );
            }
            check(&vm, &map);
            all.push((at, n));
        }
    }
    for &(at, n) in &all {
        verify(&cpu, address(at), n, address(at) as u64);
    }
    // In any order.
    for n in [3, 0, 5, 1, 9, 2, 4, 4, 4, 3, 0, 1, 1, 0] {
        let (at, _) = all.remove(n);
        free(&map, at).unwrap();
        assert_eq!(free(&map, at), Err(ArenaError::BadRange), "twice");
        check(&vm, &map);
    }
    assert_eq!(map.stats().in_use, 0);
}

#[test]
fn what_cannot_be_is_refused() {
    let vm = manager(400);
    for (low, high, pageable) in [
        (HIGH, LOW, 0),
        (LOW, LOW, 0),
        (LOW + 1, HIGH, 0),
        (LOW, HIGH + 1, 0),
        (LOW, HIGH, HIGH - LOW + PAGE_SIZE),
        (LOW, HIGH, usize::MAX),
    ] {
        let made = vm.new_kernel_map(low, high, pageable);
        assert_eq!(made.err(), Some(ArenaError::BadRange));
    }
    let map = kernel_map(&vm);
    let none = Layout::from_size_align(0, 1).unwrap();
    assert_eq!(
        map.alloc(none, KernelAlloc::default()),
        Err(ArenaError::BadSize)
    );
    let much = Layout::from_size_align(isize::MAX as usize & !4095, 4096).unwrap();
    for how in [KernelAlloc::GUARD, KernelAlloc::WAIT] {
        assert_eq!(map.alloc(much, how), Err(ArenaError::Full));
    }
    // That would be for ever: there is room for it, but not for its guards.
    let guarded = map.alloc(pages(191), KernelAlloc::GUARD | KernelAlloc::WAIT);
    assert_eq!(guarded, Err(ArenaError::Full));
    assert_eq!(
        map.alloc(pages(193), KernelAlloc::default()),
        Err(ArenaError::Full)
    );
    let at = map.alloc(pages(2), KernelAlloc::GUARD).unwrap();
    for wrong in [
        address(at) + PAGE_SIZE,
        address(at) + 8,
        address(at) - PAGE_SIZE,
        address(at) + 2 * PAGE_SIZE,
        LOW,
        HIGH,
        0x1000,
        usize::MAX & !4095,
    ] {
        let wrong = NonNull::new(std::ptr::without_provenance_mut(wrong)).unwrap();
        assert_eq!(free(&map, wrong), Err(ArenaError::BadRange));
    }
    check(&vm, &map);
    free(&map, at).unwrap();
    // A second one is not taken, and the first one stays.
    let low = LOW + (1 << 39);
    let second = vm.new_kernel_map(low, low + 16 * PAGE_SIZE, 0).unwrap();
    assert!(vm.kernel_map().is_none());
    assert!(vm.set_kernel_map(map).is_ok());
    assert!(vm.set_kernel_map(second).is_err());
    let map = vm.kernel_map().unwrap();
    let at = map.alloc(pages(1), KernelAlloc::default()).unwrap();
    assert!(address(at) < HIGH);
    drop(map);
    vm.check_invariants();
    assert_eq!(
        vm.kernel_map().unwrap().size_at(address(at)),
        Some(PAGE_SIZE)
    );
}

/// Tries `act` with each of its allocations failing, until it needs no more; tells how many.
fn sweep<T>(
    vm: &Vm<Emulated>,
    mut act: impl FnMut() -> Result<T, ArenaError>,
    mut unchanged: impl FnMut(),
) -> (T, u64) {
    for n in 0.. {
        vm.machine().fail_allocation(n);
        let result = act();
        vm.machine().stop_failing();
        match result {
            Err(error) => assert_eq!(error, ArenaError::OutOfMemory),
            Ok(done) => return (done, n),
        }
        unchanged();
    }
    unreachable!()
}

#[test]
fn a_failed_allocation_anywhere_is_undone() {
    let vm = manager(400);
    let (map, count) = sweep(
        &vm,
        || vm.new_kernel_map(LOW, HIGH, PAGEABLE),
        || {
            vm.check_invariants();
            assert_eq!(vm.stats().maps, 0);
        },
    );
    assert!(
        count >= 5,
        "a table, a space, an arena, two tags, the map: {count}"
    );
    let tables = vm.stats().frames_tables;
    vm.reclaim_kmem();
    let free_before = vm.stats().frames_free;
    for (n, how) in [
        (1, KernelAlloc::default()),
        (40, KernelAlloc::GUARD | KernelAlloc::ZERO),
    ] {
        let (at, count) = sweep(
            &vm,
            || map.alloc(pages(n), how),
            || {
                check(&vm, &map);
                assert_eq!(map.stats().in_use, 0);
                assert_eq!(vm.stats().frames_tables, tables);
                // A frame lost each time would show soon; a slab or two of the records' may come.
                vm.reclaim_kmem();
                assert!(vm.stats().frames_free + 4 >= free_before);
            },
        );
        assert!(count >= n as u64, "each frame is asked for: {count}");
        // Freeing needs nothing.
        vm.machine().fail_allocations_from(0);
        free(&map, at).unwrap();
        vm.machine().stop_failing();
        check(&vm, &map);
    }
    let (submap, _) = sweep(
        &vm,
        || map.submap("part", 20 * PAGE_SIZE, 4 * PAGE_SIZE),
        || assert_eq!(map.stats().in_use, 0),
    );
    let _ = sweep(
        &vm,
        || submap.alloc(pages(4), KernelAlloc::default()),
        || {
            assert_eq!(submap.in_use(), 0);
            check(&vm, &map);
        },
    );
    drop(submap);
    let mapped = sweep(
        &vm,
        || match map.map(MapRequest::anonymous(PAGE_SIZE, Prot::RW)) {
            Err(MapError::OutOfMemory) => Err(ArenaError::OutOfMemory),
            mapped => Ok(mapped.unwrap()),
        },
        || check(&vm, &map),
    );
    let touched = || match map.fault(mapped.0, Access::Write) {
        Fault::Resolved => Ok(()),
        _ => Err(ArenaError::OutOfMemory),
    };
    let _ = sweep(&vm, touched, || check(&vm, &map));
    check(&vm, &map);
    drop(map);
    nothing_is_left(&vm);
}

/// No kernel map is left, nor anything that it had but its table, which all spaces share.
fn nothing_is_left(vm: &Vm<Emulated>) {
    vm.check_invariants();
    vm.machine().assert_no_stale(ROOT);
    let stats = vm.stats();
    assert_eq!((stats.maps, stats.entries, stats.frames_anon), (0, 0, 0));
    assert_eq!(stats.frames_tables, 1);
    let mut arenas = 0;
    vm.each_arena(&mut |_| arenas += 1);
    assert_eq!(arenas, 0);
}

#[test]
fn what_is_left_ends_with_the_map() {
    let vm = manager(400);
    let map = kernel_map(&vm);
    let cpu = vm.machine().processor(0).as_kernel();
    let submap = map.submap("part", 8 * PAGE_SIZE, 8 * PAGE_SIZE).unwrap();
    let at = map.map(MapRequest::anonymous(PAGE_SIZE, Prot::RW)).unwrap();
    map.fault_wait(at, Access::Write).unwrap();
    for at in [
        submap.alloc(pages(3), KernelAlloc::default()).unwrap(),
        map.alloc(pages(70), KernelAlloc::GUARD).unwrap(),
    ] {
        fill(&cpu, address(at), 3, 1);
    }
    let free_before = vm.stats().frames_free;
    drop(submap);
    check(&vm, &map);
    assert_eq!(vm.stats().frames_free, free_before + 3);
    drop(map);
    nothing_is_left(&vm);
    // And it can be made again, for the same range.
    let map = kernel_map(&vm);
    let at = map.alloc(pages(1), KernelAlloc::ZERO).unwrap();
    assert_eq!(cpu.load_u64(address(at)), Ok(0));
    check(&vm, &map);
}

/// An access of the kernel's, with its handler of faults.
fn touch(map: &KernelMap<'_, Emulated>, cpu: &Cpu, at: usize, value: Option<u64>) -> u64 {
    loop {
        let done = match value {
            Some(value) => cpu.store_u64(at, value).map(|()| value),
            None => cpu.load_u64(at),
        };
        match done {
            Ok(value) => return value,
            Err(fault) => map.fault_wait(fault.addr, fault.access).unwrap(),
        }
    }
}

#[test]
fn pageable_memory_comes_when_it_is_touched() {
    let vm = manager(400);
    let map = kernel_map(&vm);
    let cpus = [vm.machine().processor(0), vm.machine().processor(1)];
    let (cpu, other) = (cpus[0].as_kernel(), cpus[1].as_kernel());
    let at = map
        .map(MapRequest::anonymous(10 * PAGE_SIZE, Prot::RW))
        .unwrap();
    assert!((LOW..MIDDLE).contains(&at) && at + 10 * PAGE_SIZE <= MIDDLE);
    let before = vm.stats().frames_anon;
    assert!(cpu.load_u64(at).is_err());
    assert_eq!(touch(&map, &cpu, at, None), 0);
    assert_eq!(vm.stats().frames_anon, before, "zeros are shared");
    for n in 0..5 {
        touch(&map, &cpu, at + n * PAGE_SIZE, Some(n as u64 + 1));
    }
    assert_eq!(vm.stats().frames_anon, before + 5);
    for n in 0..5 {
        assert_eq!(other.load_u64(at + n * PAGE_SIZE), Ok(n as u64 + 1));
        assert!(
            cpus[1].load_u64(at + n * PAGE_SIZE).is_err(),
            "programs see nothing"
        );
    }
    check(&vm, &map);
    map.wire(at, 10 * PAGE_SIZE).unwrap();
    assert_eq!(other.load_u64(at + 9 * PAGE_SIZE), Ok(0));
    map.unwire(at, 10 * PAGE_SIZE).unwrap();
    let beyond = map.map(MapRequest::anonymous(60 * PAGE_SIZE, Prot::RW));
    assert_eq!(beyond, Err(MapError::NoSpace));
    map.unmap(at, 10 * PAGE_SIZE).unwrap();
    for cpu in [&cpu, &other] {
        assert!(cpu.load_u64(at).is_err());
    }
    assert_eq!(map.fault_wait(at, Access::Read), Err(FaultError::NoMapping));
    check(&vm, &map);
    assert_eq!(vm.stats().frames_anon, before);
}

/// Compresses nothing: pages of one word need no codec.
struct Plain;

impl Codec for Plain {
    fn compress(
        &self,
        _page: &[u8; PAGE_SIZE],
        _out: &mut [u8],
        _scratch: &mut [MaybeUninit<u8>],
    ) -> Option<usize> {
        None
    }

    fn decompress(&self, _data: &[u8], _page: &mut [u8; PAGE_SIZE]) -> bool {
        false
    }

    fn scratch(&self) -> usize {
        0
    }
}

#[test]
fn pageable_memory_leaves_when_frames_are_short_and_wired_memory_does_not() {
    let vm = manager(300);
    let map = kernel_map(&vm);
    let cpu = vm.machine().processor(0).as_kernel();
    vm.set_compressor(&Plain, 8).unwrap();
    vm.start_paging(Paging::for_frames(vm.stats().frames_total))
        .unwrap();
    let wired = map.alloc(pages(40), KernelAlloc::default()).unwrap();
    fill(&cpu, address(wired), 40, 3);
    let at = map
        .map(MapRequest::anonymous(50 * PAGE_SIZE, Prot::RW))
        .unwrap();
    let word = |n: usize| 0x0101_0101_0101_0101 * (n as u64 + 1);
    for n in 0..50 {
        for offset in (0..PAGE_SIZE).step_by(8) {
            touch(&map, &cpu, at + n * PAGE_SIZE + offset, Some(word(n)));
        }
    }
    // All that is left, and then some.
    let mut taken = Vec::new();
    let mut room = vm.room();
    while vm.stats().frames_anon > 10 {
        match vm.alloc_frames(1, &FrameLimits::NONE) {
            Ok(frame) => taken.push(frame),
            Err(OutOfMemory) => assert!(vm.make_room(&mut room), "something can leave"),
        }
    }
    check(&vm, &map);
    assert!(vm.stats().pageouts + vm.stats().evicted >= 40);
    verify(&cpu, address(wired), 40, 3);
    for frame in taken {
        // SAFETY: nobody uses it.
        unsafe { vm.free_frames(frame, 1) };
    }
    for n in 0..50 {
        let last = at + (n + 1) * PAGE_SIZE - 8;
        assert_eq!(touch(&map, &cpu, last, None), word(n));
    }
    check(&vm, &map);
}

#[test]
fn a_submap_has_a_budget_and_waits_for_it() {
    let vm = manager(400);
    let map = kernel_map(&vm);
    let submap = map.submap("part", 30 * PAGE_SIZE, 6 * PAGE_SIZE).unwrap();
    let (start, len) = submap.range();
    let mut held = Vec::new();
    for _ in 0..3 {
        let at = submap.alloc(pages(2), KernelAlloc::GUARD).unwrap();
        assert!(address(at) > start && address(at) < start + len);
        held.push(at);
    }
    assert_eq!(submap.in_use(), 6 * PAGE_SIZE);
    let how = KernelAlloc::default();
    assert_eq!(
        submap.alloc(pages(1), how),
        Err(ArenaError::Full),
        "the budget"
    );
    assert_eq!(
        submap.alloc(pages(7), KernelAlloc::WAIT),
        Err(ArenaError::Full),
        "never"
    );
    assert_eq!(
        free(&map, held[0]),
        Err(ArenaError::BadRange),
        "it is the submap's"
    );
    let outside = map.alloc(pages(1), how).unwrap();
    assert!(address(outside) < start || address(outside) >= start + len);
    // SAFETY: it is used no more.
    let foreign = unsafe { submap.free(outside) };
    assert_eq!(
        foreign,
        Err(ArenaError::BadRange),
        "and not the other way round"
    );
    check(&vm, &map);
    let got = AtomicUsize::new(0);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let at = submap.alloc(pages(2), KernelAlloc::WAIT).unwrap();
                    got.fetch_add(1, SeqCst);
                    // SAFETY: it is used no more.
                    unsafe { submap.free(at) }.unwrap();
                })
            })
            .collect();
        while submap.stats().waits < 3 {
            thread::yield_now();
        }
        assert_eq!(got.load(SeqCst), 0);
        // SAFETY: it is used no more.
        unsafe { submap.free(held[1]) }.unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
    assert_eq!((got.load(SeqCst), submap.in_use()), (3, 4 * PAGE_SIZE));
    check(&vm, &map);
    drop(submap);
    assert_eq!(map.stats().in_use, PAGE_SIZE as u64);
    check(&vm, &map);
}

#[test]
fn processors_use_it_at_the_same_time() {
    let vm = manager(500);
    let map = kernel_map(&vm);
    thread::scope(|scope| {
        for number in 0..4usize {
            let (vm, map) = (&vm, &map);
            scope.spawn(move || {
                let cpu = vm.machine().processor(number);
                cpu.run(|| {
                    let kernel = cpu.as_kernel();
                    let mut held: Vec<(NonNull<u8>, usize)> = Vec::new();
                    let mut random = scalvm_machine::Rng::new(number as u64 + 1);
                    for _ in 0..1500 {
                        if random.below(2) == 0 && !held.is_empty() {
                            let nth = random.below(held.len() as u64) as usize;
                            let (at, count) = held.swap_remove(nth);
                            verify(&kernel, address(at), count, number as u64);
                            free(map, at).unwrap();
                        } else {
                            let count = 1 + random.below(12) as usize;
                            let how = match random.below(2) {
                                0 => KernelAlloc::GUARD,
                                _ => KernelAlloc::default(),
                            };
                            let Ok(at) = map.alloc(pages(count), how) else {
                                continue;
                            };
                            fill(&kernel, address(at), count, number as u64);
                            held.push((at, count));
                        }
                    }
                    for (at, count) in held {
                        verify(&kernel, address(at), count, number as u64);
                        free(map, at).unwrap();
                    }
                });
            });
        }
    });
    check(&vm, &map);
    assert_eq!(map.stats().in_use, 0);
    drop(map);
    nothing_is_left(&vm);
}
