//! Paging as a whole, on the machine for unit tests. The model test of the test kit goes far beyond.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::vec::Vec;

use crate::pager::Runs;
use crate::testing::{Random, TestMachine};
use crate::*;

const LOW: usize = 0x1000;
const HIGH: usize = 0x7fff_ffff_f000;

/// A disk in memory.
struct MemoryDisk {
    pages: Mutex<BTreeMap<u64, Box<[u8]>>>,
    failing: AtomicBool,
    requests: Mutex<Vec<usize>>,
}

impl MemoryDisk {
    fn new() -> &'static MemoryDisk {
        Box::leak(Box::new(MemoryDisk {
            pages: Mutex::default(),
            failing: AtomicBool::new(false),
            requests: Mutex::default(),
        }))
    }
}

impl Pager<TestMachine> for MemoryDisk {
    fn read_pages(&self, vm: &Vm<TestMachine>, io: Io<TestMachine>) {
        let pages = self.pages.lock().unwrap();
        for (at, &frame) in (io.index()..).zip(io.frames()) {
            let to = vm.machine().frame_ptr(frame);
            if let Some(bytes) = pages.get(&at) {
                // SAFETY: the request's frame, a page of memory.
                unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), PAGE_SIZE) };
            }
        }
        drop(pages);
        let failed = self.failing.load(SeqCst);
        vm.io_done(io, if failed { Err(PagerError::Io) } else { Ok(()) });
    }

    fn write_pages(&self, vm: &Vm<TestMachine>, io: Io<TestMachine>) {
        if self.failing.load(SeqCst) {
            return vm.io_done(io, Err(PagerError::Io));
        }
        self.requests.lock().unwrap().push(io.frames().len());
        let mut pages = self.pages.lock().unwrap();
        for (at, &frame) in (io.index()..).zip(io.frames()) {
            let from = vm.machine().frame_ptr(frame);
            // SAFETY: the request's frame, a page of memory.
            let bytes = unsafe { core::slice::from_raw_parts(from, PAGE_SIZE) };
            pages.insert(at, bytes.into());
        }
        drop(pages);
        vm.io_done(io, Ok(()));
    }
}

fn manager(frames: u64, swap: u64) -> (Vm<TestMachine>, &'static MemoryDisk) {
    manager_with(frames, swap, Paging::for_frames(frames))
}

fn manager_with(frames: u64, swap: u64, paging: Paging) -> (Vm<TestMachine>, &'static MemoryDisk) {
    let vm = Vm::new(TestMachine::new(frames));
    let (start, end) = (vm.machine().frame(0), vm.machine().frame(frames));
    // SAFETY: the machine's own memory, used by nobody else.
    unsafe { vm.add_segment(start, end) }.unwrap();
    vm.start_paging(paging).unwrap();
    let disk = MemoryDisk::new();
    if swap > 0 {
        vm.add_swap(disk, 0, swap, SwapOptions::default()).unwrap();
    }
    (vm, disk)
}

fn get(map: &Map<'_, TestMachine>, at: usize) -> Result<u64, FaultError> {
    let mut bytes = [0; 8];
    map.read(at, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn put(map: &Map<'_, TestMachine>, at: usize, value: u64) -> Result<(), FaultError> {
    map.write(at, &value.to_le_bytes())
}

/// An address space with so many pages of memory, the first of which have their numbers in them.
fn filled(vm: &Vm<TestMachine>, pages: usize, written: usize) -> (Map<'_, TestMachine>, usize) {
    let map = vm.new_map(LOW, HIGH).unwrap();
    let all = MapRequest::anonymous(pages * PAGE_SIZE, Prot::RW);
    let at = map.map(all).unwrap();
    for i in 0..written {
        put(&map, at + i * PAGE_SIZE, i as u64).unwrap();
    }
    (map, at)
}

fn nothing_left(vm: &Vm<TestMachine>) {
    vm.check_invariants();
    let stats = vm.stats();
    assert_eq!((stats.anons, stats.objects, stats.maps), (0, 0, 0));
    assert_eq!(stats.frames_anon + stats.frames_file, 0);
    let mut used = 0;
    vm.each_swap(|swap| used += swap.used);
    assert_eq!(used, 0);
}

#[test]
fn more_memory_than_there_is() {
    let (vm, disk) = manager(200, 1000);
    let pages = 600;
    let (map, at) = filled(&vm, pages, 0);
    for i in 0..pages {
        put(&map, at + i * PAGE_SIZE, i as u64 + 1).unwrap();
    }
    vm.check_invariants();
    for i in 0..pages {
        assert_eq!(get(&map, at + i * PAGE_SIZE), Ok(i as u64 + 1));
    }
    vm.check_invariants();
    let mut random = Random(1);
    let mut values: Vec<u64> = (1..=pages as u64).collect();
    for step in 0..20_000 {
        let i = random.below(pages);
        if random.below(2) == 0 {
            values[i] = step + 10_000;
            put(&map, at + i * PAGE_SIZE, values[i]).unwrap();
        } else {
            assert_eq!(get(&map, at + i * PAGE_SIZE), Ok(values[i]), "page {i}");
        }
        if step % 500 == 0 {
            vm.check_invariants();
        }
    }
    let requests = disk.requests.lock().unwrap().clone();
    let written: usize = requests.iter().sum();
    assert!(
        written > 4 * requests.len(),
        "pages are written in clusters"
    );
    drop(map);
    nothing_left(&vm);
}

/// It went on, with a search for each page behind: mlockall(2) of more than there is did not end.
#[test]
fn bringing_in_what_is_wired_ends_where_memory_does() {
    let (vm, _) = manager(200, 0);
    let pages = 600;
    let (map, at) = filled(&vm, pages, 0);
    map.wire_all(Wire::Now).unwrap();
    let brought = map.bring_wired(at, pages * PAGE_SIZE);
    assert_eq!(brought, Err(FaultError::OutOfMemory));
    let searches = vm.stats().searches;
    assert!((1..10).contains(&searches), "{searches} searches");
    drop(map);
    nothing_left(&vm);
}

/// It put pages of others away for the memory of a process that was to end because there was none.
#[test]
fn no_room_is_made_for_who_is_to_end() {
    let (vm, disk) = manager(200, 1000);
    let (map, at) = filled(&vm, 600, 0);
    vm.machine().ending.store(true, Relaxed);
    let got = (0..600).find(|i| put(&map, at + i * PAGE_SIZE, 1).is_err());
    assert!(got.is_some_and(|got| got < 200), "{got:?}");
    assert_eq!(disk.requests.lock().unwrap().len(), 0);
    vm.machine().ending.store(false, Relaxed);
    put(&map, at + 599 * PAGE_SIZE, 1).unwrap();
    drop(map);
    nothing_left(&vm);
}

/// A sync had the file's object locked while it looked at all its mappings, however many; and did so for a file that
/// nobody could have written.
#[test]
fn a_sync_pauses_where_many_map_the_file() {
    let (vm, disk) = manager(1000, 0);
    let file = vm.new_vnode(disk, 0, PAGE_SIZE as u64).unwrap();
    let map = vm.new_map(LOW, HIGH).unwrap();
    let request = || MapRequest::object(&file, 0, PAGE_SIZE, Prot::RW, Share::Shared);
    let at: Vec<usize> = (0..100).map(|_| map.map(request()).unwrap()).collect();
    let pauses = || vm.machine().pauses.load(Relaxed);
    for &at in &at {
        get(&map, at).unwrap();
    }
    map.sync(at[50], PAGE_SIZE).unwrap();
    assert_eq!(pauses(), 0);
    put(&map, at[0], 1).unwrap();
    map.sync(at[50], PAGE_SIZE).unwrap();
    assert!(pauses() >= 40, "{}", pauses());
    assert_eq!(vm.stats().pageouts, 1);
    drop((map, file));
    nothing_left(&vm);
}

#[test]
fn kernel_memory_that_may_wait_takes_the_frames_of_programs() {
    crate::malloc_type!(M_GREEDY, "test greedy", "of a test of paging");
    let (vm, _) = manager(200, 1000);
    let pages = 300;
    let (map, at) = filled(&vm, pages, pages);
    let malloc = |flags| vm.malloc(&M_GREEDY, 4000, flags);
    let mut held = Vec::new();
    while let Ok(memory) = malloc(MallocFlags::NOWAIT) {
        held.push(memory);
    }
    assert!(held.len() < 60, "programs have the most of it");
    for _ in 0..60 {
        held.push(malloc(MallocFlags::WAIT).unwrap());
    }
    vm.check_invariants();
    assert_eq!(vm.type_stats(&M_GREEDY).unwrap().failures, 1);
    for i in 0..pages {
        assert_eq!(get(&map, at + i * PAGE_SIZE), Ok(i as u64));
    }
    for memory in held {
        // SAFETY: not freed yet.
        unsafe { vm.free(&M_GREEDY, memory) };
    }
    drop(map);
    nothing_left(&vm);
}

#[test]
fn shared_copies_leave_and_return() {
    let (vm, _) = manager(200, 3000);
    let pages = 100;
    let (map, at) = filled(&vm, pages, pages);
    let mut maps = std::vec![map];
    for n in 0..20 {
        let mut room = vm.room();
        let child = loop {
            match maps[n].fork() {
                Ok(child) => break child,
                Err(_) => assert!(vm.make_room(&mut room)),
            }
        };
        for i in 0..pages {
            put(&child, at + i * PAGE_SIZE + 8 * (n + 1), n as u64).unwrap();
        }
        maps.push(child);
    }
    vm.check_invariants();
    for (n, map) in maps.iter().enumerate() {
        for i in 0..pages {
            assert_eq!(get(map, at + i * PAGE_SIZE), Ok(i as u64));
            assert_eq!(get(map, at + i * PAGE_SIZE + 8 * (n + 1)), Ok(0));
            if n > 0 {
                let mine = get(map, at + i * PAGE_SIZE + 8 * n);
                assert_eq!(mine, Ok(n as u64 - 1));
            }
        }
    }
    drop(maps);
    nothing_left(&vm);
}

#[test]
fn the_space_above_its_soft_limit_gives_first() {
    let (vm, _) = manager(400, 1000);
    let maps = [
        vm.new_map(LOW, HIGH).unwrap(),
        vm.new_map(LOW, HIGH).unwrap(),
    ];
    let memory = || MapRequest::anonymous(600 * PAGE_SIZE, Prot::RW);
    let at = [
        maps[0].map(memory()).unwrap(),
        maps[1].map(memory()).unwrap(),
    ];
    maps[1].set_resident_limits(Some(20), None);
    for i in 0..100 {
        put(&maps[0], at[0] + i * PAGE_SIZE, 1).unwrap();
        put(&maps[1], at[1] + i * PAGE_SIZE, 1).unwrap();
    }
    for i in 100..600 {
        put(&maps[1], at[1] + i * PAGE_SIZE, 1).unwrap();
    }
    let resident = [0, 1].map(|n| maps[n].resident().resident);
    assert!(resident[0] >= 90, "{resident:?}");
    vm.check_invariants();
    drop(maps);
    nothing_left(&vm);
}

#[test]
fn without_a_store_memory_ends() {
    let (vm, _) = manager(200, 0);
    let (map, at) = filled(&vm, 600, 0);
    let full = (0..600).find_map(|i| put(&map, at + i * PAGE_SIZE, 1).err());
    assert_eq!(full, Some(FaultError::OutOfMemory));
    vm.check_invariants();
    drop(map);
    nothing_left(&vm);
}

/// Whether the page daemon would run now.
fn is_told(vm: &Vm<TestMachine>) -> bool {
    vm.frames.pressure().load(SeqCst) != 0
}

/// Memory of which nothing can leave, all taken, and known to the daemon as such.
fn all_taken(vm: &Vm<TestMachine>) -> (Map<'_, TestMachine>, usize) {
    let (map, at) = filled(vm, 600, 0);
    let full = (0..600).find_map(|i| put(&map, at + i * PAGE_SIZE, 1).err());
    assert_eq!(full, Some(FaultError::OutOfMemory));
    assert!(is_told(vm));
    assert_eq!(vm.balance(), 0);
    (map, at)
}

#[test]
fn the_daemon_rests_until_something_may_leave() {
    let (vm, disk) = manager(200, 0);
    let (map, at) = all_taken(&vm);
    let rounds = vm.stats().balances;
    for _ in 0..100 {
        assert!(put(&map, at + 599 * PAGE_SIZE, 1).is_err());
        assert!(!is_told(&vm), "nothing has changed");
    }
    // Whoever needs memory searches itself, again and again.
    assert!(vm.stats().searches_vain >= 100);
    assert_eq!(vm.stats().balances, rounds);
    // The device needs a few frames.
    let mut pages = 0..;
    while vm.add_swap(disk, 0, 1000, SwapOptions::default()).is_err() {
        let page = at + pages.next().unwrap() * PAGE_SIZE;
        map.unmap(page, PAGE_SIZE).unwrap();
    }
    assert!(is_told(&vm), "there is a place for pages");
    assert!(vm.balance() > 0);
    assert!(!is_told(&vm));
    put(&map, at + 599 * PAGE_SIZE, 1).unwrap();
    drop(map);
    nothing_left(&vm);
}

#[test]
fn the_daemon_is_told_what_may_leave() {
    let (vm, disk) = manager(200, 0);
    let file = vm.new_vnode(disk, 0, 4 * PAGE_SIZE as u64).unwrap();
    file.write_at(0, &[1; PAGE_SIZE]).unwrap();
    disk.failing.store(true, SeqCst);
    let (map, at) = all_taken(&vm);
    // A page that could not be written.
    assert!(file.sync(0, u64::MAX).is_err());
    assert!(!is_told(&vm));
    disk.failing.store(false, SeqCst);
    file.sync(0, u64::MAX).unwrap();
    assert!(is_told(&vm), "a page is clean");
    assert!(vm.balance() > 0);
    assert_eq!(vm.balance(), 0);
    map.wire(at, 2 * PAGE_SIZE).unwrap();
    map.unwire(at + 2 * PAGE_SIZE, 2 * PAGE_SIZE).unwrap();
    map.unwire(at, PAGE_SIZE).unwrap();
    assert!(!is_told(&vm), "one page of 200 is not worth a search");
    map.unwire(at + PAGE_SIZE, PAGE_SIZE).unwrap();
    assert!(is_told(&vm), "pages are wired no more");
    assert_eq!(vm.balance(), 0);
    map.unmap(at, PAGE_SIZE).unwrap();
    // Where there is a way out for pages, it is told even if it could not be taken.
    let _ = vm.set_compressor(&Runs, 1);
    assert!(is_told(&vm));
    drop((map, file));
    nothing_left(&vm);
}

/// What comes is searched when there is enough of it, though what was there before cannot leave.
#[test]
fn new_pages_are_worth_a_search() {
    let (vm, _) = manager(8000, 0);
    let (map, at) = filled(&vm, 9000, 0);
    let low = vm.frames.low();
    let mut i = 0;
    let mut next = || {
        i += 1;
        map.fault_wait(at + i * PAGE_SIZE, Access::Write)
    };
    while vm.frames.free_count() > low {
        next().unwrap();
    }
    while !is_told(&vm) {
        next().unwrap();
    }
    assert_eq!(vm.balance(), 0);
    let mut pages = 0;
    while !is_told(&vm) {
        next().unwrap();
        pages += 1;
    }
    // Frames are counted when a processor gets a batch of them.
    let enough = (8000 - low) / 128;
    assert!((enough / 2..enough * 2).contains(&pages), "{pages}");
    drop(map);
    nothing_left(&vm);
}

/// What is wired is looked at once, not at each search; and can leave when it is wired no more,
/// whether by munlock, munmap or the other sharers' write.
#[test]
fn wired_pages_are_out_of_the_way() {
    let (vm, _) = manager(1000, 2000);
    let map = vm.new_map(LOW, HIGH).unwrap();
    let all = |pages: usize| MapRequest::anonymous(pages * PAGE_SIZE, Prot::RW);
    let (wired, rest) = (map.map(all(600)).unwrap(), map.map(all(1000)).unwrap());
    map.wire(wired, 600 * PAGE_SIZE).unwrap();
    let touch = |i: usize| put(&map, rest + i % 1000 * PAGE_SIZE, 1).unwrap();
    (0..2000).for_each(touch);
    let before = vm.stats();
    (0..2000).for_each(touch);
    let after = vm.stats();
    let scanned = after.scanned - before.scanned;
    assert!(scanned < 4000, "{scanned}");
    assert_eq!(map.usage().wired_bytes, 600 * PAGE_SIZE as u64);
    assert!(map.resident().resident >= 600);
    map.unwire(wired, 600 * PAGE_SIZE).unwrap();
    (0..2000).for_each(touch);
    let here = |i: &usize| {
        let at = wired + i * PAGE_SIZE;
        map.pmap().query(vm.machine(), at).is_some()
    };
    assert!((0..600).filter(here).count() < 300);
    vm.check_invariants();
    drop(map);
    nothing_left(&vm);
}

/// Each search in vain looked at all that was wired, several times, though nothing had been unwired since the one before:
/// mlockall(2) of all there is held the processor for seconds.
#[test]
fn nothing_to_be_found_is_found_fast() {
    let (vm, _) = manager(1000, 2000);
    let (map, at) = filled(&vm, 2000, 0);
    map.wire_all(Wire::Now).unwrap();
    let scanned = || vm.stats().scanned;
    let bring = || map.bring_wired(at, 2000 * PAGE_SIZE);
    assert_eq!(bring(), Err(FaultError::OutOfMemory));
    // Each page once, and some once more while it was used.
    assert!(scanned() < 1500, "{}", scanned());
    let before = scanned();
    for _ in 0..10 {
        assert_eq!(bring(), Err(FaultError::OutOfMemory));
    }
    assert_eq!(scanned(), before);
    // What is unwired is found, be it as little as can be.
    for i in 0..3 {
        map.unwire(at + i * PAGE_SIZE, PAGE_SIZE).unwrap();
        let before = scanned();
        let more = vm.new_map(LOW, HIGH).unwrap();
        let page = more
            .map(MapRequest::anonymous(PAGE_SIZE, Prot::RW))
            .unwrap();
        put(&more, page, 1).unwrap();
        let found = scanned() - before;
        assert!(found < 1500, "{found}");
    }
    drop(map);
    nothing_left(&vm);
}

/// Pages that a process has wired are its child's when it ends, and can leave.
#[test]
fn what_was_wired_is_found_when_its_process_has_ended() {
    let (vm, _) = manager(300, 1000);
    let (map, at) = filled(&vm, 150, 150);
    map.wire(at, 150 * PAGE_SIZE).unwrap();
    let more = map
        .map(MapRequest::anonymous(400 * PAGE_SIZE, Prot::RW))
        .unwrap();
    for i in 0..400 {
        put(&map, more + i * PAGE_SIZE, 1).unwrap();
    }
    let child = map.fork().unwrap();
    drop(map);
    for i in 0..400 {
        put(&child, more + i * PAGE_SIZE, 2).unwrap();
    }
    for i in 0..150 {
        assert_eq!(get(&child, at + i * PAGE_SIZE), Ok(i as u64));
    }
    drop(child);
    nothing_left(&vm);
}

/// Advice brings what was put back, and what a file has, without a fault that waits.
#[test]
fn what_will_be_needed_comes_before_it_is() {
    let (vm, _) = manager(400, 2000);
    let disk = MemoryDisk::new();
    let file = vm.new_vnode(disk, 0, 100 * PAGE_SIZE as u64).unwrap();
    let map = vm.new_map(LOW, HIGH).unwrap();
    let all = |pages: usize| MapRequest::anonymous(pages * PAGE_SIZE, Prot::RW);
    let (first, more) = (map.map(all(100)).unwrap(), map.map(all(600)).unwrap());
    for i in 0..100 {
        put(&map, first + i * PAGE_SIZE, i as u64).unwrap();
    }
    for i in 0..600 {
        put(&map, more + i * PAGE_SIZE, 1).unwrap();
    }
    let private = MapRequest::object(&file, 0, 100 * PAGE_SIZE, Prot::RW, Share::Private);
    let private = map.map(private).unwrap();
    map.discard(more, 600 * PAGE_SIZE).unwrap();
    let before = vm.stats();
    map.will_need(first, 100 * PAGE_SIZE).unwrap();
    map.will_need(private, 50 * PAGE_SIZE).unwrap();
    let middle = vm.stats();
    assert!(middle.swapins > before.swapins);
    assert_eq!(middle.pageins - before.pageins, 50);
    for i in 0..100 {
        assert_eq!(get(&map, first + i * PAGE_SIZE), Ok(i as u64));
    }
    for i in 0..50 {
        get(&map, private + i * PAGE_SIZE).unwrap();
    }
    let after = vm.stats();
    assert_eq!(
        (after.swapins, after.pageins),
        (middle.swapins, middle.pageins)
    );
    assert_eq!(after.faults_major, middle.faults_major);
    // Behind a hole everything is brought in as well.
    map.unmap(private + 60 * PAGE_SIZE, PAGE_SIZE).unwrap();
    let holed = map.will_need(private, 100 * PAGE_SIZE);
    assert_eq!(holed, Err(MapError::NotMapped));
    let pageins = vm.stats().pageins - after.pageins;
    assert!((49..=50).contains(&pageins), "{pageins}");
    drop((map, file));
    nothing_left(&vm);
}

#[test]
fn pages_are_counted_by_what_goes_on_with_them() {
    let (vm, disk) = manager(400, 0);
    let file = vm.new_vnode(disk, 0, 10 * PAGE_SIZE as u64).unwrap();
    file.write_at(0, &[1; 3 * PAGE_SIZE]).unwrap();
    assert_eq!(vm.page_counts().file_dirty, 3);
    let map = vm.new_map(LOW, HIGH).unwrap();
    let shared = MapRequest::object(&file, 0, 10 * PAGE_SIZE, Prot::RW, Share::Shared);
    let shared = map.map(shared).unwrap();
    let own = map.map(MapRequest::anonymous(10 * PAGE_SIZE, Prot::RW));
    let own = own.unwrap();
    for i in 0..7 {
        map.fault_wait(own + i * PAGE_SIZE, Access::Write).unwrap();
    }
    map.fault_wait(shared + 4 * PAGE_SIZE, Access::Read)
        .unwrap();
    let counts = vm.page_counts();
    assert_eq!(counts.anon_mapped, 7);
    assert!(counts.file_mapped >= 1);
    file.sync(0, u64::MAX).unwrap();
    assert_eq!(vm.page_counts().file_dirty, 0);
    let most = map.resident().resident;
    map.discard(own, 10 * PAGE_SIZE).unwrap();
    map.fault_wait(own, Access::Write).unwrap();
    let resident = map.resident();
    assert_eq!((resident.resident, resident.peak), (most - 6, most));
    drop((map, file));
    nothing_left(&vm);
}

#[test]
fn a_disk_that_fails_loses_nothing() {
    let (vm, disk) = manager(200, 1000);
    let (map, at) = filled(&vm, 600, 300);
    disk.failing.store(true, SeqCst);
    let mut failed = 0;
    for i in 0..300 {
        match get(&map, at + i * PAGE_SIZE) {
            Ok(value) => assert_eq!(value, i as u64),
            Err(FaultError::Pager(PagerError::Io) | FaultError::OutOfMemory) => failed += 1,
            Err(error) => panic!("{error}"),
        }
        vm.check_invariants();
    }
    assert!(failed > 0);
    disk.failing.store(false, SeqCst);
    for i in 0..300 {
        assert_eq!(get(&map, at + i * PAGE_SIZE), Ok(i as u64));
    }
    drop(map);
    nothing_left(&vm);
}

#[test]
fn a_file_larger_than_memory() {
    let (vm, disk) = manager(200, 0);
    let file = vm.new_vnode(disk, 0, 600 * PAGE_SIZE as u64).unwrap();
    for i in 0..600u64 {
        file.write_at(i * PAGE_SIZE as u64, &i.to_le_bytes())
            .unwrap();
    }
    let map = vm.new_map(LOW, HIGH).unwrap();
    let all = MapRequest::object(&file, 0, 600 * PAGE_SIZE, Prot::RW, Share::Shared);
    let at = map.map(all).unwrap();
    for i in 0..600 {
        assert_eq!(get(&map, at + i * PAGE_SIZE), Ok(i as u64));
        put(&map, at + i * PAGE_SIZE + 8, 7).unwrap();
    }
    vm.check_invariants();
    for i in 0..600u64 {
        let mut bytes = [0; 16];
        file.read_at(i * PAGE_SIZE as u64, &mut bytes).unwrap();
        assert_eq!(bytes[..8], i.to_le_bytes());
        assert_eq!(bytes[8], 7);
    }
    file.sync(0, u64::MAX).unwrap();
    drop((map, file));
    nothing_left(&vm);
}

fn fill_and_check(vm: &Vm<TestMachine>, pages: usize) {
    let (map, at) = filled(vm, pages, 0);
    for round in 0..3 {
        for i in 0..pages {
            put(&map, at + i * PAGE_SIZE + 8 * round, i as u64 + 1).unwrap_or_else(|e| {
                panic!("{e} at {i}: {:?} {:?}", vm.stats(), vm.compressor_stats())
            });
        }
        vm.check_invariants();
        for i in 0..pages {
            for word in 0..=round {
                let seen = get(&map, at + i * PAGE_SIZE + 8 * word);
                assert_eq!(seen, Ok(i as u64 + 1), "round {round}, page {i}");
            }
        }
        vm.check_invariants();
    }
    drop(map);
    nothing_left(vm);
    assert_eq!(vm.compressor_stats().entries, 0);
}

#[test]
fn compressed_memory_needs_no_disk() {
    let (vm, _) = manager(300, 0);
    vm.set_compressor(&Runs, 100).unwrap();
    fill_and_check(&vm, 800);
}

/// What cannot be compressed has no place without a disk; that does not keep the rest from leaving.
#[test]
fn incompressible_pages_are_passed_over() {
    // With this policy they are met one after the other.
    let (vm, _) = manager_with(
        300,
        0,
        Paging {
            anonymous: PolicyKind::Clock,
            ..Paging::for_frames(300)
        },
    );
    vm.set_compressor(&Runs, 100).unwrap();
    let (map, at) = filled(&vm, 800, 0);
    let noise: Vec<u8> = (0..PAGE_SIZE).map(|n| (n * 7 % 251) as u8).collect();
    for i in 0..200 {
        map.write(at + i * PAGE_SIZE, &noise).unwrap();
    }
    for i in 200..600 {
        put(&map, at + i * PAGE_SIZE, 1).unwrap();
    }
    vm.check_invariants();
    drop(map);
    nothing_left(&vm);
}

#[test]
fn the_oldest_compressed_pages_go_to_disk() {
    let (vm, _) = manager(300, 1000);
    vm.set_compressor(&Runs, 12).unwrap();
    fill_and_check(&vm, 1000);
    assert!(vm.compressor_stats().spilled > 0);
}
