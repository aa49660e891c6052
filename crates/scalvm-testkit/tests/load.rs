//! Swap at work: threads that use more memory than there is, while swap devices come and go and the disk does its
//! worst.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use common::*;
use scalvm::{Access, FaultError, Map, PAGE_SIZE, PagerError, SwapError, SwapOptions};
use scalvm_machine::Threads;
use scalvm_testkit::program::{Paging, Rng};
use scalvm_testkit::{CPUS, Hw, Kit, Order, SWAP, Trap};

/// Frames of the machine.
const FRAMES: u64 = 180;
/// Pages that each thread uses.
const PAGES: usize = 100;

fn machine(seed: u64, compressor: u32) -> Kit {
    Kit::with(Order {
        frames: FRAMES,
        slow_disk: true,
        evict_one_in: 50,
        seed,
        paging: Some(Paging {
            room: FRAMES as u32,
            policy: seed as u32,
            compressor,
        }),
        runtime: Some(Box::new(Threads::new())),
        ..Order::default()
    })
}

fn add_swap(kit: &Kit, number: usize, pages: u64) -> Result<(), SwapError> {
    // The memory for its records must come from somewhere.
    let add = || kit.swap_on(SWAP + number, pages, SwapOptions::default());
    let added = kit
        .vm()
        .with_room(add, |error| *error == SwapError::OutOfMemory);
    added.map(|_| ())
}

/// How programs and those who make trouble for them know of each other.
#[derive(Default)]
struct Signs {
    /// The programs are to end.
    stop: AtomicBool,
    /// Memory is short: a program gives up a part of its own.
    short: AtomicBool,
    /// Accesses that each program has done.
    done: [AtomicU64; CPUS],
}

impl Signs {
    /// Waits until each program has done some more accesses, so that all of them are at work; or until one
    /// has ended, which none does by itself.
    fn wait_for(&self, accesses: u64) {
        for done in &self.done {
            let end = done.load(SeqCst) + accesses;
            while done.load(SeqCst) < end && !self.stop.load(SeqCst) {
                std::thread::yield_now();
            }
        }
    }
}

/// An access of a program, with all its faults. A page that cannot be read is tried again; where there is no
/// memory, nothing comes of it.
fn attempt<T>(map: &Map<'_, Hw>, access: impl Fn() -> Result<T, Trap>) -> Option<T> {
    loop {
        let trap = match access() {
            Ok(done) => return Some(done),
            Err(trap) => trap,
        };
        match map.fault_wait(trap.addr, trap.access) {
            Ok(()) => {}
            Err(FaultError::Pager(PagerError::Io)) => std::thread::yield_now(),
            Err(FaultError::OutOfMemory) => return None,
            Err(error) => panic!("{error} at {:#x}", trap.addr),
        }
    }
}

/// A program: stores and loads in its memory, and looks whether it finds what it stored, until it is told to stop;
/// then it looks at all. When memory is short it gives half of its own up.
fn work(kit: &Kit, map: &Map<'_, Hw>, cpu: usize, signs: &Signs) {
    let _ended = StopAtEnd(&signs.stop);
    let mut rng = Rng::new(cpu as u64);
    let mut stored = [0u64; PAGES];
    let place = |n: usize| page(n) + 8 * (n % 500);
    let seen = |n: usize| {
        let bytes = attempt(map, || kit.load(cpu, place(n), Access::Read));
        bytes.map(u64::from_le_bytes)
    };
    run_on(kit, cpu, map);
    while !signs.stop.load(SeqCst) {
        let n = rng.below(PAGES as u64) as usize;
        let done = if rng.below(3) == 0 {
            let value = rng.draw();
            let done = attempt(map, || kit.store(cpu, place(n), value.to_le_bytes()));
            if done.is_some() {
                stored[n] = value;
            }
            done
        } else {
            seen(n).map(|seen| assert_eq!(seen, stored[n], "processor {cpu}, page {n}"))
        };
        if done.is_none() || signs.short.load(SeqCst) {
            let half = PAGES / 2;
            assert_eq!(map.discard(page(half), half * PAGE_SIZE), Ok(()));
            stored[half..].fill(0);
        }
        signs.done[cpu].fetch_add(1, SeqCst);
    }
    for (n, stored) in stored.iter().enumerate() {
        let seen = std::iter::repeat_with(|| seen(n)).find_map(|seen| seen);
        assert_eq!(seen, Some(*stored), "processor {cpu}, page {n}, in the end");
    }
    kit.leave(cpu, map);
}

/// Lets programs work, and the disk and a page daemon, while `trouble` runs.
fn under_load(kit: &Kit, trouble: impl FnOnce(&Signs) + Send) {
    let (signs, served) = (Signs::default(), AtomicBool::new(false));
    let maps: Vec<_> = (0..CPUS).map(|_| anonymous(kit, PAGES)).collect();
    std::thread::scope(|scope| {
        let disk = scope.spawn(|| kit.serve(&served));
        let daemon = scope.spawn(|| {
            while !signs.stop.load(SeqCst) {
                kit.vm().balance();
                std::thread::yield_now();
            }
        });
        let mut threads: Vec<_> = (0..CPUS)
            .map(|cpu| {
                let (map, signs) = (&maps[cpu], &signs);
                scope.spawn(move || kit.on(cpu, || work(kit, map, cpu, signs)))
            })
            .collect();
        threads.push(daemon);
        // Whatever is wrong, the others end first: the disk serves them until then.
        let mut results = vec![catch_unwind(AssertUnwindSafe(|| trouble(&signs)))];
        signs.stop.store(true, SeqCst);
        results.extend(threads.into_iter().map(|thread| thread.join()));
        served.store(true, SeqCst);
        results.push(disk.join());
        if let Some(panic) = results.into_iter().find_map(Result::err) {
            resume_unwind(panic);
        }
    });
    kit.pump(u32::MAX);
}

/// Lets the others stop also when something is wrong.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

fn removed_under_load(seed: u64, compressor: u32) {
    let kit = machine(seed, compressor);
    let sizes = [400, 60];
    for (number, pages) in sizes.into_iter().enumerate() {
        add_swap(&kit, number, pages).expect("memory");
    }
    let [mut removed, mut refused] = [0; 2];
    under_load(&kit, |signs| {
        for round in 0..100 {
            let number = round % 2;
            let mut devices = swap_devices(&kit).into_iter();
            let device = devices.find(|device| device.cookie == SWAP + number);
            let device = device.expect("a refusal leaves it there");
            assert_eq!(device.pages, sizes[number]);
            match kit.vm().remove_swap(device.id) {
                Ok(()) => {
                    removed += 1;
                    // Whoever still reads it finds nothing.
                    kit.disk().cut_file(SWAP + number, 0);
                    // Without it there may be no memory for its records, until programs give some up.
                    while let Err(error) = add_swap(&kit, number, sizes[number]) {
                        assert_eq!(error, SwapError::OutOfMemory);
                        assert!(!signs.stop.load(SeqCst), "a program has ended");
                        signs.short.store(true, SeqCst);
                    }
                    signs.short.store(false, SeqCst);
                }
                Err(error) => {
                    assert_eq!(error, SwapError::NoRoom);
                    refused += 1;
                }
            }
            signs.wait_for(20);
        }
    });
    assert_eq!(removed + refused, 100);
    assert!(removed >= 20, "only {removed} were removed");
    let stats = kit.vm().stats();
    assert!(stats.swapouts + stats.decompressed > 100, "{stats:?}");
    nothing_left(&kit);
}

#[test]
fn swap_devices_are_removed_a_hundred_times_under_load() {
    removed_under_load(1, 0);
}

#[test]
fn swap_devices_are_removed_under_load_with_a_compressor() {
    removed_under_load(2, 16);
}

/// One write in ten fails and is torn, one read in twenty fails, and now and then the disk does not answer at all
/// for a while.
#[test]
fn a_disk_that_stops_and_fails_harms_nobody() {
    for seed in 0..3 {
        let kit = machine(seed, 0);
        add_swap(&kit, 0, 600).expect("memory");
        under_load(&kit, |signs| {
            kit.disk().fail_writes_randomly(seed, 10);
            kit.disk().fail_reads_randomly(seed + 1, 20);
            kit.disk().tear_writes(seed);
            kit.disk().delay(seed, 10);
            for _ in 0..30 {
                signs.wait_for(70);
                kit.disk().stop_answering();
                // Until everybody waits, or has made some progress without the disk.
                for _ in 0..200 {
                    std::thread::yield_now();
                }
                kit.disk().go_on();
            }
            kit.disk().stop_failing();
            kit.disk().delay(0, 0);
            signs.wait_for(40);
        });
        assert!(kit.disk().counts().failed_writes > 5);
        assert!(kit.disk().counts().failed > kit.disk().counts().failed_writes);
        nothing_left(&kit);
    }
}

/// Whatever was stored is there when the disk is replaced by memory: all pages come back from a device that is
/// removed after programs have ended, or there is no room and it stays.
#[test]
fn a_device_that_is_too_full_stays_with_every_byte() {
    let kit = machine(5, 0);
    add_swap(&kit, 0, 600).expect("memory");
    let map = anonymous(&kit, 500);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let disk = scope.spawn(|| kit.serve(&stop));
        let ended = StopAtEnd(&stop);
        for n in 0..500 {
            set(&map, page(n), n as u64 + 1);
        }
        let id = swap_devices(&kit)[0].id;
        for _ in 0..5 {
            assert_eq!(kit.vm().remove_swap(id), Err(SwapError::NoRoom));
            kit.vm().check_invariants();
        }
        for n in 0..500 {
            assert_eq!(get(&map, page(n)), Ok(n as u64 + 1));
        }
        // With less there is room.
        assert_eq!(map.unmap(page(100), 400 * PAGE_SIZE), Ok(()));
        assert_eq!(kit.vm().remove_swap(id), Ok(()));
        for n in 0..100 {
            assert_eq!(get(&map, page(n)), Ok(n as u64 + 1));
        }
        drop(ended);
        disk.join().expect("the disk");
    });
    drop(map);
    nothing_left(&kit);
}
