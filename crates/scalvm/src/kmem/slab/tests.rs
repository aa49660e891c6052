//! Tests of magazines, depots and slabs.

use core::ptr::NonNull;
use std::thread;
use std::vec::Vec;

use super::{RawPool, Reclaim, Use};
use crate::machine::Rank;
use crate::page::{Frames, State};
use crate::testing::{Random, TestMachine};
use crate::{OutOfMemory, PAGE_SIZE};

fn setup(frames: u64) -> (TestMachine, Frames) {
    let machine = TestMachine::new(frames);
    let all = Frames::new();
    // SAFETY: the arena is ours.
    unsafe { all.add_segment(&machine, machine.frame(0), machine.frame(frames)) }.unwrap();
    machine.set_cpu(1);
    (machine, all)
}

fn alloc(pool: &RawPool, machine: &TestMachine, frames: &Frames) -> Option<NonNull<()>> {
    pool.alloc(machine, frames)
}

fn free(pool: &RawPool, machine: &TestMachine, frames: &Frames, slot: NonNull<()>) {
    // SAFETY: the tests free what they have allocated, once.
    unsafe { pool.free(machine, frames, slot) }
}

fn take(pool: &RawPool, machine: &TestMachine, frames: &Frames, count: usize) -> Vec<NonNull<()>> {
    (0..count)
        .map(|_| alloc(pool, machine, frames).unwrap())
        .collect()
}

/// Frames of all slabs.
fn slab_frames(frames: &Frames) -> u64 {
    frames.count(State::Slab) + frames.count(State::Rest)
}

fn check(pool: &RawPool, machine: &TestMachine, frames: &Frames) {
    pool.check_invariants(machine, frames);
    frames.check_invariants(machine);
    assert_eq!(pool.stats("").frames, slab_frames(frames));
}

#[test]
fn slots_of_all_sizes_fill_their_slabs() {
    for size in (16..3000)
        .step_by(72)
        .chain((4096..=65536).step_by(3 * 1024))
    {
        let (machine, frames) = setup(400);
        let pool = RawPool::new(size, Use::Own);
        let slots = take(&pool, &machine, &frames, 20);
        for (n, slot) in slots.iter().enumerate() {
            // SAFETY: a slot that is ours.
            unsafe { slot.cast::<u8>().write_bytes(n as u8, size) };
        }
        for (n, slot) in slots.into_iter().enumerate() {
            // SAFETY: as above.
            let bytes = unsafe { core::slice::from_raw_parts(slot.as_ptr().cast::<u8>(), size) };
            assert!(bytes.iter().all(|byte| *byte == n as u8), "{size}");
            check(&pool, &machine, &frames);
            free(&pool, &machine, &frames, slot);
        }
        check(&pool, &machine, &frames);
        assert_eq!(pool.in_use(), 0);
        let held = slab_frames(&frames);
        assert_eq!(pool.reclaim(&machine, &frames, Reclaim::All), held);
        assert_eq!(frames.free_count(), frames.total());
        check(&pool, &machine, &frames);
    }
}

#[test]
fn a_pair_at_the_edge_of_a_magazine_stays_with_the_processor() {
    let (machine, frames) = setup(50);
    let pool = RawPool::new(64, Use::Own);
    let size = pool.magazine_size() as usize;
    let mut slots = take(&pool, &machine, &frames, 3 * size);
    for _ in 0..2 * size {
        free(&pool, &machine, &frames, slots.pop().unwrap());
    }
    // Both magazines are full. One more slot sends one of them to the depot; from then on neither
    // taking it nor freeing it needs the depot again.
    assert_eq!(pool.stats("").at_hand, 2 * size as u64);
    free(&pool, &machine, &frames, slots.pop().unwrap());
    let locked = machine.asked(Rank::PoolSlabs);
    for _ in 0..10 {
        let pair = take(&pool, &machine, &frames, 2);
        for slot in pair {
            free(&pool, &machine, &frames, slot);
        }
    }
    assert_eq!(machine.asked(Rank::PoolSlabs), locked);
    check(&pool, &machine, &frames);
}

#[test]
fn what_one_processor_frees_another_gets_from_the_depot() {
    let (machine, frames) = setup(50);
    let pool = RawPool::new(64, Use::Own);
    let size = pool.magazine_size() as usize;
    let slots = take(&pool, &machine, &frames, 4 * size);
    let held = slab_frames(&frames);
    for slot in slots {
        free(&pool, &machine, &frames, slot);
    }
    machine.set_cpu(2);
    let slots = take(&pool, &machine, &frames, 2 * size);
    assert_eq!(slab_frames(&frames), held, "no new slab");
    check(&pool, &machine, &frames);
    for slot in slots {
        free(&pool, &machine, &frames, slot);
    }
    check(&pool, &machine, &frames);
}

#[test]
fn slabs_have_colours() {
    let (machine, frames) = setup(50);
    let pool = RawPool::new(768, Use::Own);
    let mut starts: Vec<_> = take(&pool, &machine, &frames, 20)
        .into_iter()
        .map(|slot| slot.addr().get() % PAGE_SIZE % 768)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    assert_eq!(starts, [0, 256]);
}

#[test]
fn idle_magazines_leave_and_those_in_use_stay() {
    let (machine, frames) = setup(50);
    let pool = RawPool::new(256, Use::Own);
    let size = pool.magazine_size() as usize;
    let slots = take(&pool, &machine, &frames, 5 * size);
    for slot in slots {
        free(&pool, &machine, &frames, slot);
    }
    let at_hand = |magazines: usize| {
        assert_eq!(pool.stats("").at_hand, (magazines * size) as u64);
        check(&pool, &machine, &frames);
    };
    at_hand(5);
    // The first asks what there is; what is not needed until the second leaves then.
    pool.reclaim(&machine, &frames, Reclaim::Idle);
    at_hand(5);
    let slots = take(&pool, &machine, &frames, 3 * size);
    for slot in slots {
        free(&pool, &machine, &frames, slot);
    }
    assert_ne!(pool.reclaim(&machine, &frames, Reclaim::Idle), 0);
    at_hand(3);
    pool.reclaim(&machine, &frames, Reclaim::Idle);
    at_hand(2);
    pool.reclaim(&machine, &frames, Reclaim::All);
    at_hand(0);
    assert_eq!(slab_frames(&frames), 0);
}

#[test]
fn other_processors_give_before_memory_has_ended() {
    let (machine, frames) = setup(6);
    let pool = RawPool::new(64, Use::Own);
    let mut slots = Vec::new();
    while let Some(slot) = alloc(&pool, &machine, &frames) {
        slots.push(slot);
    }
    assert_eq!(pool.stats("").fails, 1);
    for cpu in 2..10 {
        machine.set_cpu(cpu);
        for _ in 0..5 {
            free(&pool, &machine, &frames, slots.pop().unwrap());
        }
    }
    machine.set_cpu(1);
    slots.extend(take(&pool, &machine, &frames, 40));
    assert!(alloc(&pool, &machine, &frames).is_none());
    check(&pool, &machine, &frames);
    for slot in slots {
        free(&pool, &machine, &frames, slot);
    }
    check(&pool, &machine, &frames);
}

#[test]
fn a_reserve_is_there_when_frames_are_not() {
    let (machine, frames) = setup(30);
    let pool = RawPool::new(1000, Use::Own);
    assert!(pool.set_reserve(&machine, &frames, 10_000).is_err());
    check(&pool, &machine, &frames);
    assert!(slab_frames(&frames) <= 1, "nothing is kept of it");
    pool.set_reserve(&machine, &frames, 20).unwrap();
    let mut hog = Vec::new();
    while let Some(page) = frames.alloc_page(&machine, State::Kernel) {
        hog.push(page);
    }
    for round in 0..2 {
        machine.set_cpu(round);
        let slots = take(&pool, &machine, &frames, 20);
        assert!(alloc(&pool, &machine, &frames).is_none());
        for slot in slots {
            free(&pool, &machine, &frames, slot);
        }
        pool.reclaim(&machine, &frames, Reclaim::All);
        assert_eq!(pool.stats("").slots, 20);
        check(&pool, &machine, &frames);
    }
    pool.set_reserve(&machine, &frames, 0).unwrap();
    pool.reclaim(&machine, &frames, Reclaim::All);
    assert_eq!(slab_frames(&frames), 0);
    assert!(alloc(&pool, &machine, &frames).is_some());
    hog.into_iter()
        .for_each(|page| frames.free_page(&machine, page));
}

#[test]
fn magazines_grow_where_the_depot_is_contended() {
    let (machine, frames) = setup(2000);
    let pool = RawPool::new(64, Use::Own);
    let size = pool.magazine_size();
    let mut most = size;
    for _ in 0..200 {
        let held = pool.slabs.lock(&machine);
        let asked = machine.asked(Rank::PoolSlabs);
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                machine.set_cpu(2);
                let slots = take(&pool, &machine, &frames, 400);
                for slot in slots {
                    free(&pool, &machine, &frames, slot);
                }
            });
            // It cannot end while the lock is held: the depot has nothing for it.
            while machine.asked(Rank::PoolSlabs) == asked {
                thread::yield_now();
            }
            drop(held);
            other.join().unwrap();
        });
        assert!(pool.magazine_size() >= most);
        most = pool.magazine_size();
        pool.reclaim(&machine, &frames, Reclaim::All);
    }
    assert_eq!(most, 4 * size, "as large as they may become");
    check(&pool, &machine, &frames);
}

/// Threads that share processors, allocate, free what others have, reclaim, and set the reserve.
#[test]
fn threads_lose_no_slot_and_share_none() {
    let (machine, frames) = setup(120);
    let pools = [64, 3072, 20480].map(|size| RawPool::new(size, Use::Own));
    thread::scope(|scope| {
        for seed in 1..7u64 {
            let (machine, frames, pools) = (&machine, &frames, &pools);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut held: Vec<(usize, NonNull<()>, u64)> = Vec::new();
                for step in 0..8_000u64 {
                    machine.set_cpu(random.below(3));
                    let which = random.below(pools.len());
                    let pool = &pools[which];
                    match random.below(100) {
                        0 => drop(pool.reclaim(machine, frames, Reclaim::All)),
                        1 => drop(pool.reclaim(machine, frames, Reclaim::Idle)),
                        2 => {
                            let slots = random.below(20) as u32;
                            let _: Result<(), OutOfMemory> =
                                pool.set_reserve(machine, frames, slots);
                        }
                        3..50 if !held.is_empty() => {
                            let (which, slot, mark) = held.swap_remove(random.below(held.len()));
                            // SAFETY: ours, and written below.
                            assert_eq!(unsafe { slot.cast::<u64>().read() }, mark);
                            free(&pools[which], machine, frames, slot);
                        }
                        _ => {
                            if let Some(slot) = alloc(pool, machine, frames) {
                                let mark = seed << 32 | step;
                                // SAFETY: ours, and large enough.
                                unsafe { slot.cast::<u64>().write(mark) };
                                held.push((which, slot, mark));
                            }
                        }
                    }
                }
                for (which, slot, mark) in held {
                    // SAFETY: as above.
                    assert_eq!(unsafe { slot.cast::<u64>().read() }, mark);
                    free(&pools[which], machine, frames, slot);
                }
            });
        }
    });
    for pool in &pools {
        pool.check_invariants(&machine, &frames);
        assert_eq!(pool.in_use(), 0);
        pool.set_reserve(&machine, &frames, 0).unwrap();
        pool.reclaim(&machine, &frames, Reclaim::All);
    }
    frames.check_invariants(&machine);
    assert_eq!(frames.free_count(), frames.total());
}

#[test]
fn what_a_magazine_has_at_first_is_bounded() {
    for size in (16..=64 << 10).step_by(16) {
        let pool = RawPool::new(size, Use::Own);
        let slots = pool.magazine_size() as usize;
        let bytes = slots * size;
        assert!((1..=64).contains(&slots), "{slots} of {size}");
        let large = slots <= 8 && bytes <= 128 << 10;
        assert!(bytes <= 32 << 10 || large, "{slots} of {size}");
        // Nor is it much less.
        assert!(bytes + size > 32 << 10 || slots == 64, "{slots} of {size}");
    }
}
