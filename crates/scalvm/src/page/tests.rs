//! Tests of [`Frames`].

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::vec::Vec;

use super::buddy::MAX_ORDER;
use super::*;
use crate::testing::{Random, TestMachine};

fn setup(frames: u64) -> (TestMachine, Frames) {
    let machine = TestMachine::new(frames);
    let all = Frames::new();
    // SAFETY: the arena is ours.
    unsafe { all.add_segment(&machine, machine.frame(0), machine.frame(frames)) }.unwrap();
    (machine, all)
}

#[test]
fn every_frame_once_then_none() {
    let (machine, frames) = setup(1000);
    let total = frames.total();
    assert_eq!(total, 1000 - 10);
    let mut seen = BTreeSet::new();
    let mut pages = Vec::new();
    while let Some(page) = frames.alloc_page(&machine, State::Anon) {
        assert!(seen.insert(page.frame().0));
        assert_eq!(page.state(), State::Anon);
        assert!(page.owner::<u8>().is_none());
        // SAFETY: the frame is ours; it must not be one that holds descriptors, which the checks
        // would find.
        unsafe {
            machine
                .frame_ptr(page.frame())
                .write_bytes(0xff, crate::PAGE_SIZE)
        };
        pages.push(page);
    }
    assert_eq!(pages.len() as u64, total);
    assert_eq!((frames.free_count(), frames.count(State::Anon)), (0, total));
    frames.check_invariants(&machine);
    for page in pages {
        frames.free_page(&machine, page);
    }
    assert_eq!((frames.free_count(), frames.count(State::Anon)), (total, 0));
    frames.check_invariants(&machine);
}

#[test]
fn a_page_is_found_by_frame_and_by_address() {
    let (machine, frames) = setup(300);
    let page = frames.alloc_page(&machine, State::Table).unwrap();
    assert_eq!(frames.page(page.frame()), Some(page));
    let bytes = machine.frame_ptr(page.frame()).addr();
    assert_eq!(frames.page_at(bytes), Some(page));
    assert_eq!(frames.page_at(bytes + crate::PAGE_SIZE - 1), Some(page));
    assert_ne!(frames.page_at(bytes + crate::PAGE_SIZE), Some(page));
    assert_eq!(frames.page(machine.frame(0)), None, "holds descriptors");
    assert_eq!(frames.page(machine.frame(300)), None);
    assert_eq!(frames.page(Frame::NONE), None);
    page.word().store(u64::MAX, Relaxed);
    frames.free_page(&machine, page);
    let again = frames.alloc_page(&machine, State::Table).unwrap();
    assert_eq!((again, again.word().load(Relaxed)), (page, 0));
}

#[test]
fn blocks_are_aligned_and_join_again() {
    let (machine, frames) = setup(5000);
    for order in 0..=MAX_ORDER {
        let mut blocks = Vec::new();
        while let Some(page) = frames.alloc_block(&machine, order, None, State::Kernel) {
            assert_eq!(page.frame().0 % (1 << order), 0);
            assert_eq!(page.order(), order);
            blocks.push(page);
        }
        assert!(blocks.len() as u64 >= (frames.total() >> order) - 2);
        assert_eq!(frames.count(State::Kernel), (blocks.len() as u64) << order);
        frames.check_invariants(&machine);
        // From both ends, so that both buddies come first somewhere.
        while let Some(page) = blocks.pop() {
            frames.free_block(&machine, page);
            if !blocks.is_empty() {
                frames.free_block(&machine, blocks.remove(0));
            }
        }
        assert_eq!(frames.free_count(), frames.total());
        frames.check_invariants(&machine);
    }
}

#[test]
fn a_run_has_as_many_frames_as_were_asked_for() {
    let (machine, frames) = setup(1000);
    let total = frames.total();
    let mut runs = Vec::new();
    for count in (1..20).chain([31, 32, 33, 63, 100]) {
        let first = frames.take_run(&machine, count, State::Slab).unwrap();
        let start = first.frame().0;
        assert_eq!(start % u64::from(count.next_power_of_two()), 0);
        for n in 0..u64::from(count) {
            let page = frames.page(Frame(start + n)).unwrap();
            assert_eq!(frames.first_of(page), Some(first), "frame {n} of {count}");
            // SAFETY: the frame is ours.
            unsafe {
                machine
                    .frame_ptr(page.frame())
                    .write_bytes(count as u8, crate::PAGE_SIZE)
            };
        }
        runs.push((first, count));
        frames.check_invariants(&machine);
        let sum: u32 = runs.iter().map(|(_, count)| count).sum();
        let used = frames.count(State::Slab) + frames.count(State::Rest);
        assert_eq!(used, u64::from(sum));
        assert_eq!(frames.free_count(), total - used);
    }
    // Every other one, then the rest.
    for step in [2, 1] {
        let mut n = 0;
        while n < runs.len() {
            let (first, count) = runs.remove(n);
            for at in 0..u64::from(count) {
                let bytes = machine.frame_ptr(Frame(first.frame().0 + at));
                // SAFETY: the frame is ours.
                let byte = unsafe { bytes.add(crate::PAGE_SIZE - 1).read() };
                assert_eq!(byte, count as u8);
            }
            frames.free_run(&machine, first, count);
            assert_eq!(frames.first_of(first), None);
            frames.check_invariants(&machine);
            n += step - 1;
        }
    }
    assert_eq!(frames.free_count(), total);
    assert!(frames.take_run(&machine, 1000, State::Kernel).is_none());
    assert!(frames.take_run(&machine, u32::MAX, State::Kernel).is_none());
}

#[test]
fn cached_frames_are_given_back_when_a_block_is_needed() {
    let (machine, frames) = setup(1026);
    // Its usable part has no block of the highest order unless every single frame of it is in the
    // lists.
    let pages: Vec<_> = (0..40)
        .map(|n| {
            machine.set_cpu(n % 4);
            frames.alloc_page(&machine, State::Anon).unwrap()
        })
        .collect();
    for (n, page) in pages.into_iter().enumerate() {
        machine.set_cpu((n + 1) % 64);
        frames.free_page(&machine, page);
    }
    assert!(frames.caches.iter().any(|cache| cache.count() != 0));
    let blocks: Vec<_> =
        core::iter::from_fn(|| frames.alloc_block(&machine, 3, None, State::Kernel)).collect();
    assert!(
        frames.free_count() < 16,
        "{} frames are left over",
        frames.free_count()
    );
    assert!(blocks.len() as u64 * 8 + frames.free_count() == frames.total());
    frames.check_invariants(&machine);
}

#[test]
fn a_processor_gets_what_others_have_cached() {
    let (machine, frames) = setup(20);
    machine.set_cpu(1);
    let page = frames.alloc_page(&machine, State::Anon).unwrap();
    frames.free_page(&machine, page);
    machine.set_cpu(2);
    let pages = core::iter::from_fn(|| frames.alloc_page(&machine, State::Anon)).count();
    assert_eq!(pages as u64, frames.total());
}

#[test]
fn limits_hold_and_are_exhausted() {
    let (machine, frames) = setup(4096);
    let limit = machine.frame(200);
    for order in [0, 2, 5] {
        let mut blocks = Vec::new();
        while let Some(page) = frames.alloc_block(&machine, order, Some(limit), State::Kernel) {
            assert!(page.frame().0 + (1 << order) <= limit.0);
            blocks.push(page);
        }
        let below = 200 - (4096 - frames.total());
        assert!(
            blocks.len() as u64 >= (below >> order) - 1,
            "{} of {below}",
            blocks.len()
        );
        frames.check_invariants(&machine);
        for page in blocks {
            frames.free_block(&machine, page);
        }
    }
    assert_eq!(frames.free_count(), frames.total());
    frames.check_invariants(&machine);
}

#[test]
fn ordinary_frames_leave_the_low_ones_to_devices() {
    let (machine, frames) = setup(8192);
    for _ in 0..frames.total() / 2 {
        frames.alloc_page(&machine, State::Anon).unwrap();
    }
    let limit = machine.frame(4096);
    for _ in 0..2 {
        assert!(
            frames
                .alloc_block(&machine, MAX_ORDER, Some(limit), State::Kernel)
                .is_some()
        );
    }
}

#[test]
fn segments_are_refused_with_the_reason() {
    let machine = TestMachine::new(64);
    let frames = Frames::new();
    // SAFETY: the arena is ours.
    let add = |a, b| unsafe { frames.add_segment(&machine, a, b) };
    let at = |n| machine.frame(n);
    assert_eq!(add(at(5), at(5)), Err(SegmentError::TooSmall));
    assert_eq!(add(at(5), at(4)), Err(SegmentError::TooSmall));
    assert_eq!(add(at(5), at(6)), Err(SegmentError::TooSmall));
    assert_eq!(add(at(5), Frame((1 << 31) + 1)), Err(SegmentError::TooHigh));
    assert_eq!(frames.alloc_page(&machine, State::Anon), None);
    assert_eq!(add(at(4), at(8)), Ok(()));
    assert_eq!(add(at(2), at(5)), Err(SegmentError::Overlap));
    assert_eq!(add(at(7), at(10)), Err(SegmentError::Overlap));
    assert_eq!(add(at(5), at(7)), Err(SegmentError::Overlap));
    assert_eq!(add(at(0), at(60)), Err(SegmentError::Overlap));
    for n in 2..17 {
        assert_eq!(add(at(3 * n + 2), at(3 * n + 5)), Ok(()), "segment {n}");
    }
    assert_eq!(add(at(0), at(4)), Err(SegmentError::TooMany));
    assert_eq!(frames.total(), 3 + 15 * 2);
    frames.check_invariants(&machine);
}

#[test]
fn a_block_never_crosses_segments() {
    let machine = TestMachine::new(512);
    let frames = Frames::new();
    for n in 0..8 {
        // SAFETY: the arena is ours.
        unsafe { frames.add_segment(&machine, machine.frame(n * 64), machine.frame(n * 64 + 64)) }
            .unwrap();
    }
    assert_eq!(frames.total(), 8 * 63);
    assert_eq!(frames.alloc_block(&machine, 6, None, State::Kernel), None);
    let pages: Vec<_> = core::iter::from_fn(|| frames.alloc_page(&machine, State::Anon)).collect();
    assert_eq!(pages.len(), 8 * 63);
    for page in pages {
        assert_eq!(frames.page(page.frame()), Some(page));
        assert_eq!(
            frames.page_at(machine.frame_ptr(page.frame()).addr()),
            Some(page)
        );
        frames.free_page(&machine, page);
    }
    let blocks = core::iter::from_fn(|| frames.alloc_block(&machine, 5, None, State::Kernel));
    assert_eq!(blocks.count(), 8, "the upper half of each");
    frames.check_invariants(&machine);
}

#[test]
fn the_machine_may_refuse_each_allocation() {
    let (machine, frames) = setup(100);
    machine.allow(2);
    let page = frames.alloc_page(&machine, State::Anon).unwrap();
    let block = frames
        .alloc_block(&machine, 2, None, State::Kernel)
        .unwrap();
    assert_eq!(frames.alloc_page(&machine, State::Anon), None);
    assert_eq!(frames.alloc_block(&machine, 0, None, State::Kernel), None);
    assert_eq!(frames.alloc_block(&machine, 2, None, State::Kernel), None);
    frames.free_page(&machine, page);
    frames.free_block(&machine, block);
    machine.allow_all();
    assert!(frames.alloc_page(&machine, State::Anon).is_some());
    frames.check_invariants(&machine);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "freed twice")]
fn double_free_is_caught() {
    let (machine, frames) = setup(100);
    let page = frames.alloc_page(&machine, State::Anon).unwrap();
    frames.free_page(&machine, page);
    frames.free_page(&machine, page);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "freed in use")]
fn freeing_a_mapped_page_is_caught() {
    let (machine, frames) = setup(100);
    let page = frames.alloc_page(&machine, State::Anon).unwrap();
    page.mapped.store(1, Relaxed);
    frames.free_page(&machine, page);
}

/// Random allocations of all kinds, checked for overlap by writing the owner's number on every
/// frame.
fn churn(machine: &TestMachine, frames: &Frames, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut held: Vec<(Ptr<Page>, u64)> = Vec::new();
    let words = |page: Ptr<Page>| {
        (0..1 << page.order())
            .map(move |n| machine.frame_ptr(Frame(page.frame().0 + n)).cast::<u64>())
    };
    let free = |random: &mut Random, held: &mut Vec<(Ptr<Page>, u64)>| {
        let (page, mark) = held.swap_remove(random.below(held.len()));
        for word in words(page) {
            // SAFETY: a word of a frame that is ours.
            let found = unsafe { word.read() };
            assert_eq!(found, mark, "somebody else has {page:?}, too");
        }
        frames.free_block(machine, page);
    };
    for step in 0..steps {
        if random.below(2) == 0 && !held.is_empty() {
            free(&mut random, &mut held);
            continue;
        }
        let page = match random.below(8) {
            0 => frames.alloc_block(machine, random.below(6) as u32, None, State::Kernel),
            1 => {
                let limit = machine.frame(random.below(64) as u64);
                frames.alloc_block(machine, random.below(3) as u32, Some(limit), State::Kernel)
            }
            2 => frames.alloc_page(machine, State::Table),
            _ => frames.alloc_page(machine, State::Anon),
        };
        let Some(page) = page else { continue };
        let mark = seed << 32 | step as u64;
        // SAFETY: words of frames that are ours.
        words(page).for_each(|word| unsafe { word.write(mark) });
        held.push((page, mark));
    }
    while !held.is_empty() {
        free(&mut random, &mut held);
    }
}

#[test]
fn random_allocations_never_overlap() {
    let (machine, frames) = setup(512);
    for seed in 1..6 {
        churn(&machine, &frames, seed, 20_000);
        assert_eq!(frames.free_count(), frames.total());
        frames.check_invariants(&machine);
    }
}

#[test]
fn threads_never_share_a_frame() {
    let (machine, frames) = setup(512);
    thread::scope(|scope| {
        for seed in 1..7 {
            let (machine, frames) = (&machine, &frames);
            scope.spawn(move || churn(machine, frames, seed, 20_000));
        }
    });
    assert_eq!(frames.free_count(), frames.total());
    frames.check_invariants(&machine);
}

#[test]
fn threads_come_through_exhaustion() {
    let (machine, frames) = setup(64);
    thread::scope(|scope| {
        for seed in 1..7 {
            let (machine, frames) = (&machine, &frames);
            scope.spawn(move || churn(machine, frames, seed, 20_000));
        }
    });
    assert_eq!(frames.free_count(), frames.total());
    frames.check_invariants(&machine);
}

#[test]
fn segments_come_while_others_allocate() {
    for _ in 0..50 {
        let machine = TestMachine::new(16 * 64);
        let frames = Frames::new();
        // SAFETY: the arena is ours.
        let add = |n: u64| unsafe {
            frames.add_segment(&machine, machine.frame(n * 64), machine.frame(n * 64 + 64))
        };
        add(0).unwrap();
        let added = AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 1..4 {
                let (machine, frames, added) = (&machine, &frames, &added);
                scope.spawn(move || {
                    while !added.load(Relaxed) {
                        churn(machine, frames, seed, 100);
                    }
                });
            }
            for n in 1..16 {
                add(n).unwrap();
                thread::yield_now();
            }
            added.store(true, Relaxed);
        });
        assert_eq!(frames.free_count(), 16 * 63);
        frames.check_invariants(&machine);
    }
}
