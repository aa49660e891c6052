//! Swap at work: threads that use more memory than there is, while swap devices come and go and the disk does its
//! worst.

mod common;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use common::*;
use scalvm::{Access, FaultError, Map, PAGE_SIZE, PagerError, SwapError, SwapOptions};
use scalvm_machine::Threads;
use scalvm_testkit::program::{Paging, Rng};
use scalvm_testkit::{CPUS, Hw, Kit, Order, SWAP};

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
    })
}

fn add_swap(kit: &Kit, number: usize, pages: u64) {
    // The memory for its records must come from somewhere.
    let added = kit.vm().with_room(
        || kit.swap_on(SWAP + number, pages, SwapOptions::default()),
        |error| *error == SwapError::OutOfMemory,
    );
    assert!(added.is_ok(), "{added:?}");
}

/// An access of a program, with all its faults. Where memory is short for a while, or a page cannot be read, it is
/// tried again.
fn persist<T>(map: &Map<'_, Hw>, attempt: impl Fn() -> Result<T, scalvm_testkit::Trap>) -> T {
    loop {
        let trap = match attempt() {
            Ok(done) => return done,
            Err(trap) => trap,
        };
        match map.fault_wait(trap.addr, trap.access) {
            Ok(()) => {}
            Err(FaultError::OutOfMemory | FaultError::Pager(PagerError::Io)) => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error} at {:#x}", trap.addr),
        }
    }
}

/// A program: stores and loads in its memory, and looks whether it finds what it stored, until it is told to stop;
/// then it looks at all.
fn work(kit: &Kit, map: &Map<'_, Hw>, cpu: usize, signs: (&AtomicBool, &AtomicU64)) {
    let (stop, done) = signs;
    let mut rng = Rng::new(cpu as u64);
    let mut stored = [0u64; PAGES];
    let place = |n: usize| page(n) + 8 * (n % 500);
    let seen = |n: usize| {
        let bytes = persist(map, || kit.load(cpu, place(n), Access::Read));
        u64::from_le_bytes(bytes)
    };
    run_on(kit, cpu, map);
    while !stop.load(SeqCst) {
        let n = rng.below(PAGES as u64) as usize;
        if rng.below(3) == 0 {
            stored[n] = rng.draw();
            let bytes = stored[n].to_le_bytes();
            persist(map, || kit.store(cpu, place(n), bytes));
        } else {
            assert_eq!(seen(n), stored[n], "processor {cpu}, page {n}");
        }
        done.fetch_add(1, SeqCst);
    }
    for (n, stored) in stored.iter().enumerate() {
        assert_eq!(seen(n), *stored, "processor {cpu}, page {n}, in the end");
    }
    kit.leave(cpu, map);
}

/// Lets programs work, and the disk and a page daemon, while `trouble` runs.
fn under_load(kit: &Kit, trouble: impl FnOnce(&AtomicU64) + Send) {
    let [stop, served] = [const { AtomicBool::new(false) }; 2];
    let done = AtomicU64::new(0);
    let maps: Vec<_> = (0..CPUS).map(|_| anonymous(kit, PAGES)).collect();
    std::thread::scope(|scope| {
        let disk = scope.spawn(|| kit.serve(&served));
        let daemon = scope.spawn(|| {
            while !stop.load(SeqCst) {
                kit.vm().balance();
                std::thread::yield_now();
            }
        });
        let mut threads: Vec<_> = (0..CPUS)
            .map(|cpu| {
                let (map, signs) = (&maps[cpu], (&stop, &done));
                scope.spawn(move || kit.on(cpu, || work(kit, map, cpu, signs)))
            })
            .collect();
        let ended = StopAtEnd(&stop);
        trouble(&done);
        drop(ended);
        threads.push(daemon);
        let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        served.store(true, SeqCst);
        disk.join().expect("the disk");
        results
            .into_iter()
            .for_each(|result| result.expect("a thread"));
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

/// Waits until the programs have done some more accesses.
fn wait_for(done: &AtomicU64, accesses: u64) {
    let end = done.load(SeqCst) + accesses;
    while done.load(SeqCst) < end {
        std::thread::yield_now();
    }
}

fn removed_under_load(seed: u64, compressor: u32) {
    let kit = machine(seed, compressor);
    let sizes = [400, 60];
    for (number, pages) in sizes.into_iter().enumerate() {
        add_swap(&kit, number, pages);
    }
    let [mut removed, mut refused] = [0; 2];
    under_load(&kit, |done| {
        for round in 0..100 {
            let number = round % 2;
            let mut device = None;
            kit.vm().each_swap(|swap| {
                if swap.cookie == SWAP + number {
                    device = Some(swap);
                }
            });
            let device = device.expect("a refusal leaves it there");
            assert_eq!(device.pages, sizes[number]);
            match kit.vm().remove_swap(device.id) {
                Ok(()) => {
                    removed += 1;
                    // Whoever still reads it finds nothing.
                    kit.disk().cut_file(SWAP + number, 0);
                    add_swap(&kit, number, sizes[number]);
                }
                Err(error) => {
                    assert_eq!(error, SwapError::NoRoom);
                    refused += 1;
                }
            }
            wait_for(done, 50);
        }
    });
    assert_eq!(removed + refused, 100);
    assert!(removed > 0, "{refused} times refused");
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
        add_swap(&kit, 0, 600);
        under_load(&kit, |done| {
            kit.disk().fail_writes_randomly(seed, 10);
            kit.disk().fail_reads_randomly(seed + 1, 20);
            kit.disk().tear_writes(seed);
            kit.disk().delay(seed, 10);
            for _ in 0..30 {
                wait_for(done, 200);
                kit.disk().stop_answering();
                // Until everybody waits, or has made some progress without the disk.
                for _ in 0..200 {
                    std::thread::yield_now();
                }
                kit.disk().go_on();
            }
            kit.disk().stop_failing();
            kit.disk().delay(0, 0);
            wait_for(done, 100);
        });
        nothing_left(&kit);
    }
}

/// Whatever was stored is there when the disk is replaced by memory: all pages come back from a device that is
/// removed after programs have ended, or there is no room and it stays.
#[test]
fn a_device_that_is_too_full_stays_with_every_byte() {
    let kit = machine(5, 0);
    add_swap(&kit, 0, 600);
    let map = anonymous(&kit, 500);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let disk = scope.spawn(|| kit.serve(&stop));
        let ended = StopAtEnd(&stop);
        for n in 0..500 {
            set(&map, page(n), n as u64 + 1);
        }
        let mut id = None;
        kit.vm().each_swap(|swap| id = Some(swap.id));
        let id = id.expect("a device");
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
