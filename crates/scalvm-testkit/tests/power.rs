//! The power goes at any moment, and what was synced is on the disk.

mod common;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use common::*;
use scalvm::{Object, PAGE_SIZE, Paging, Share};
use scalvm_machine::Threads;
use scalvm_testkit::program::Rng;
use scalvm_testkit::{Hw, Kit, Order};

/// Processes, each on a processor of its own.
const PROCESSES: usize = 3;
/// Pages of the file, which each process maps.
const PAGES: usize = 6;
/// Words of each page that process 0 stores to, in different sectors; the others store to those behind.
const WORDS: [usize; 3] = [0, 100, 508];

/// For each word of a process the last number that it stored, or that a sync that succeeded found.
type Numbers = [[AtomicU64; WORDS.len()]; PAGES];

/// What one process knows.
#[derive(Default)]
struct Progress {
    stored: Numbers,
    synced: Numbers,
}

/// Where in a page a process has its word.
fn within(cpu: usize, word: usize) -> usize {
    8 * (WORDS[word] + cpu)
}

/// What lies on the disk in a process's word.
fn on_disk(kit: &Kit, cpu: usize, n: usize, word: usize) -> u64 {
    let (page, at) = (kit.disk_page(0, n as u64), within(cpu, word));
    u64::from_le_bytes(page.as_slice()[at..at + 8].try_into().expect("eight"))
}

/// A process: stores ever higher numbers, and syncs a range now and then, until the disk fails.
fn write_until_it_fails(kit: &Kit, cpu: usize, file: &Object<'_, Hw>, seed: u64, my: &Progress) {
    let map = new_map(kit);
    map_object(&map, file, 0, PAGES, Share::Shared);
    run_on(kit, cpu, &map);
    let mut rng = Rng::new(seed);
    'work: loop {
        for _ in 0..rng.below(6) {
            let n = rng.below(PAGES as u64) as usize;
            let word = rng.below(WORDS.len() as u64) as usize;
            let next = my.stored[n][word].load(SeqCst) + 1;
            if store(kit, cpu, &map, page(n) + within(cpu, word), next).is_err() {
                break 'work;
            }
            my.stored[n][word].store(next, SeqCst);
        }
        let first = rng.below(PAGES as u64) as usize;
        let count = 1 + rng.below((PAGES - first) as u64) as usize;
        if map.sync(page(first), count * PAGE_SIZE).is_err() {
            break;
        }
        for n in first..first + count {
            for (synced, stored) in my.synced[n].iter().zip(&my.stored[n]) {
                synced.store(stored.load(SeqCst), SeqCst);
            }
        }
    }
    kit.leave(cpu, &map);
}

/// The page daemon, with the task to let everything leave, always.
fn press(kit: &Kit, stop: &AtomicBool) {
    let marks = Paging {
        low: 0,
        reserve: 0,
        ..Paging::for_frames(512)
    };
    kit.vm().start_paging(marks).expect("memory");
    kit.vm().set_marks(Paging {
        high: 1 << 30,
        ..marks
    });
    while !stop.load(SeqCst) {
        kit.vm().balance();
        std::thread::yield_now();
    }
}

/// Three processes at work, and the page daemon if there is to be pressure; the power cut after some requests, and
/// what is on the disk then. Tells how many numbers were synced, how many reached the disk without, and how
/// many pages had left.
fn cut_at_random(seed: u64, pressure: bool) -> [u64; 3] {
    let mut rng = Rng::new(seed);
    let kit = Kit::with(Order {
        frames: 512,
        slow_disk: true,
        seed,
        runtime: Some(Box::new(Threads::new())),
        ..Order::default()
    });
    for file in 0..PAGES as u64 * PAGE_SIZE as u64 / 8 {
        kit.disk().write_file(0, 8 * file, &[0; 8]);
    }
    let file = kit.open(0, PAGES as u64 * PAGE_SIZE as u64);
    let progress: [Progress; PROCESSES] = Default::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let daemon = scope.spawn(|| pressure.then(|| press(&kit, &stop)));
        let processes: Vec<_> = (0..PROCESSES)
            .map(|cpu| {
                let (kit, file, my, seed) = (&kit, &file, &progress[cpu], rng.draw());
                scope.spawn(move || {
                    kit.on(cpu, || write_until_it_fails(kit, cpu, file, seed, my));
                })
            })
            .collect();
        let (mut left, cut) = (rng.below(60), rng.draw());
        let in_flight = rng.below(3) as usize;
        while left > 0 {
            match kit.pump_one() {
                true => left -= 1,
                false => std::thread::yield_now(),
            }
        }
        // With nothing in flight, or one request, or two, if so many come: one may wait for another's.
        let mut patience = 100;
        while kit.disk().waiting() < in_flight && patience > 0 {
            std::thread::yield_now();
            patience -= 1;
        }
        kit.disk().cut_power(cut);
        while !daemon.is_finished() || !processes.iter().all(|process| process.is_finished()) {
            if processes.iter().all(|process| process.is_finished()) {
                stop.store(true, SeqCst);
            }
            kit.pump(1);
            std::thread::yield_now();
        }
    });
    // What was being read ahead, or written for nobody.
    kit.pump(u32::MAX);
    kit.disk().restart();
    let mut sum = [0, 0, kit.vm().stats().evicted];
    for (cpu, my) in progress.iter().enumerate() {
        for n in 0..PAGES {
            for word in 0..WORDS.len() {
                let is = on_disk(&kit, cpu, n, word);
                let synced = my.synced[n][word].load(SeqCst);
                // The last store may have been done and not noted, where the fault after it failed.
                let stored = my.stored[n][word].load(SeqCst);
                assert!(
                    (synced..=stored).contains(&is),
                    "process {cpu}, page {n}, word {word}: {is} on the disk, {synced} were synced \
                     of {stored}"
                );
                sum[0] += synced;
                sum[1] += is - synced;
            }
        }
    }
    drop(file);
    nothing_left(&kit);
    sum
}

/// Two hundred rounds.
fn survives(pressure: bool) -> [u64; 3] {
    let mut sum = [0; 3];
    for seed in 0..200 {
        let round = cut_at_random(seed, pressure);
        sum.iter_mut()
            .zip(round)
            .for_each(|(sum, here)| *sum += here);
    }
    assert!(
        sum[0] > 2000 && sum[1] > 100,
        "too little was tried: {sum:?}"
    );
    sum
}

#[test]
fn what_was_synced_survives_a_power_cut_at_any_moment() {
    survives(false);
}

#[test]
fn what_was_synced_survives_a_power_cut_while_pages_leave() {
    let [.., left] = survives(true);
    assert!(left > 200, "{left} pages have left");
}
