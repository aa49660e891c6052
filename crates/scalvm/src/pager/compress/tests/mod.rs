//! Tests of the compressor.

mod bench;
mod model;

use core::mem::MaybeUninit;
use std::boxed::Box;
use std::vec::Vec;

use super::*;
use crate::page::State;
use crate::pager::swap::tests::setup;
use crate::pager::{Backing, Slot};
use crate::testing::Random;
pub(crate) use bench::Runs;
use bench::{Bench, Contents, RUNS, contents};

#[test]
fn pages_come_back_as_they_were() {
    let bench = Bench::new(400, 300, 100);
    let mut random = Random(3);
    let pages: Vec<_> = (0..100).map(|n| contents(&mut random, 30 * n)).collect();
    let handles: Vec<_> = (0..100).map(|n| bench.stored(n, &pages[n])).collect();
    bench.check();
    for (n, &handle) in handles.iter().enumerate() {
        assert!(bench.get(handle, n).as_ref() == Some(&pages[n]));
        assert!(bench.get(handle, (n + 1) % 100).is_none(), "another's");
    }
    let stats = bench.vm.compressor_stats();
    assert_eq!((stats.entries, stats.stored), (100, 100));
    for (n, &handle) in handles.iter().enumerate() {
        assert!(!bench.free(handle, (n + 1) % 100), "another's");
        assert!(bench.free(handle, n));
        assert!(!bench.free(handle, n), "twice");
        assert!(bench.get(handle, n).is_none());
        bench.check();
    }
    let stats = bench.vm.compressor_stats();
    assert_eq!((stats.entries, stats.bytes), (0, 0));
    assert_eq!((stats.frames, bench.vm.compressor.block_frames()), (6, 0));
}

#[test]
fn little_room_is_lost() {
    let bench = Bench::new(1500, 1200, 1500);
    let mut random = Random(4);
    for n in 0..1500 {
        let len = random.below(3000);
        bench.stored(n, &contents(&mut random, len));
    }
    let stats = bench.vm.compressor_stats();
    let tables = stats.frames - bench.vm.compressor.block_frames();
    assert!(tables < 25, "{stats:?}");
    let room = (stats.frames - tables) * PAGE_SIZE as u64;
    assert!(stats.bytes * 6 > room * 5, "{stats:?}");
    bench.check();
}

#[test]
fn a_repeated_word_takes_no_room() {
    let bench = Bench::new(200, 100, 120);
    let mut page: Contents = Box::new([0; PAGE_SIZE]);
    for (n, word) in page.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *word = 0x1234_5678_9abc_def0_u64.to_ne_bytes();
        assert!(n < PAGE_SIZE / 8);
    }
    let handles: Vec<_> = (0..120).map(|n| bench.stored(n, &page)).collect();
    let stats = bench.vm.compressor_stats();
    assert_eq!((stats.same, stats.bytes, stats.frames), (120, 0, 3));
    assert!(bench.get(handles[7], 7) == Some(page.clone()));
    let spill = bench.vm.compressor.oldest(&bench.vm, bench.page);
    assert!(spill.is_none(), "nothing would be saved");
    page[PAGE_SIZE - 1] ^= 1;
    assert!(matches!(
        bench.put(0, &page),
        Put::Incompressible | Put::Stored(_)
    ));
    let handle = handles[7];
    assert!(bench.free(handle, 7));
    bench.check();
}

#[test]
fn what_does_not_shrink_is_refused() {
    let bench = Bench::new(200, 100, 2);
    let mut random = Random(9);
    for (len, stored) in [(3000, true), (3400, false), (8000, false)] {
        let put = bench.put(0, &contents(&mut random, len));
        assert_eq!(matches!(put, Put::Stored(_)), stored, "{len}");
        assert!(stored || put == Put::Incompressible);
    }
    assert_eq!(bench.vm.compressor_stats().incompressible, 2);
    bench.check();
}

#[test]
fn room_is_bounded() {
    let bench = Bench::new(200, 20, 300);
    let mut random = Random(5);
    let mut stored = Vec::new();
    let full = (0..300).find(|&n| match bench.put(n, &contents(&mut random, 1000)) {
        Put::Stored(handle) => {
            stored.push(handle);
            false
        }
        put => put == Put::Full,
    });
    // 17 frames of data, and the tables.
    assert!((40..70).contains(&full.unwrap()), "{full:?}");
    assert!(bench.vm.compressor_stats().frames <= 20);
    bench.check();
    assert!(bench.free(stored[3], 3));
    assert!(matches!(
        bench.put(3, &contents(&mut random, 1000)),
        Put::Stored(_)
    ));
    bench.vm.set_compressor(&RUNS, 30).unwrap();
    assert!(matches!(
        bench.put(299, &contents(&mut random, 1000)),
        Put::Stored(_)
    ));
    bench.check();
}

#[test]
fn compaction_gives_frames_back() {
    let bench = Bench::new(600, 500, 400);
    let mut random = Random(11);
    let pages: Vec<_> = (0..400)
        .map(|_| {
            let len = 500 + random.below(1500);
            contents(&mut random, len)
        })
        .collect();
    let handles: Vec<_> = (0..400).map(|n| bench.stored(n, &pages[n])).collect();
    let kept: Vec<_> = (0..400).filter(|_| random.below(4) == 0).collect();
    for n in (0..400).filter(|n| !kept.contains(n)) {
        bench.free(handles[n], n);
    }
    let before = bench.vm.compressor_stats();
    let few = bench.vm.compressor.compact(&bench.vm, 5) as u64;
    assert!(
        (5..9).contains(&few),
        "as much as was asked for, to a block"
    );
    bench.check();
    let more = bench.vm.compressor.compact(&bench.vm, usize::MAX) as u64;
    let after = bench.vm.compressor_stats();
    assert_eq!(before.frames - after.frames, few + more);
    assert!(after.frames * 2 < before.frames, "{before:?} {after:?}");
    assert_eq!(bench.vm.compressor.compact(&bench.vm, 1), 0);
    bench.check();
    for n in kept {
        assert!(bench.get(handles[n], n).as_ref() == Some(&pages[n]));
    }
}

#[test]
fn the_oldest_go_to_a_disk() {
    let bench = Bench::new(400, 300, 4);
    let (vm, mut random) = (&bench.vm, Random(13));
    let pages: Vec<_> = (0..4).map(|n| contents(&mut random, 300 + n)).collect();
    let handles: Vec<_> = (0..3).map(|n| bench.stored(n, &pages[n])).collect();
    // The first becomes the youngest.
    bench.get(handles[0], 0);
    let spill = vm.compressor.oldest(vm, bench.page).unwrap();
    assert!(bench.bytes(bench.page) == pages[1]);
    bench.check();
    let slot = || vm.swap.alloc(&vm.machine, 1).unwrap().0;
    let to = slot();
    assert!(
        bench.get(handles[1], 1).as_ref() == Some(&pages[1]),
        "still there"
    );
    assert!(vm.compressor.spilled(vm, &spill, to));
    assert_eq!(bench.anons[1].backing.get(), Backing::Slot(to).pack());
    let owner = vm.swap.with_owner(&vm.machine, to, |anon| anon.index.get());
    assert_eq!(owner.map(|owner| owner.1), Some(1));
    assert!(bench.get(handles[1], 1).is_none());
    assert!(!vm.compressor.spilled(vm, &spill, to), "twice");
    // The next is ended while it is written, and its number used for another.
    let spill = vm.compressor.oldest(vm, bench.page).unwrap();
    assert!(bench.bytes(bench.page) == pages[2]);
    assert!(bench.free(handles[2], 2));
    assert_eq!(bench.stored(2, &pages[3]), handles[2]);
    let to = slot();
    assert!(!vm.compressor.spilled(vm, &spill, to));
    vm.swap.free(&vm.machine, to);
    assert!(bench.get(handles[2], 2).as_ref() == Some(&pages[3]));
    bench.check();
    // One cannot be written, and the owner of another does not know of it yet.
    let spill = vm.compressor.oldest(vm, bench.page).unwrap();
    assert!(bench.bytes(bench.page) == pages[0]);
    vm.compressor.keep(vm, &spill);
    bench.check();
    bench.anons[2].backing.set(0);
    let spill = vm.compressor.oldest(vm, bench.page).unwrap();
    assert!(bench.bytes(bench.page) == pages[3], "others first");
    assert!(!vm.compressor.spilled(vm, &spill, Slot::new(0, 0)));
    assert_eq!(bench.anons[2].backing.get(), 0);
    bench.check();
    assert_eq!(vm.compressor_stats().spilled, 1);
    assert_eq!(vm.compressor_stats().entries, 2);
}

#[test]
fn a_later_spill_is_another() {
    let bench = Bench::new(200, 100, 1);
    let (vm, mut random) = (&bench.vm, Random(21));
    let (old, new) = (contents(&mut random, 900), contents(&mut random, 900));
    let handle = bench.stored(0, &old);
    let first = vm.compressor.oldest(vm, bench.page).unwrap();
    assert!(bench.free(handle, 0));
    assert_eq!(bench.stored(0, &new), handle, "the same number again");
    let second = vm.compressor.oldest(vm, bench.page).unwrap();
    let (slot, _) = vm.swap.alloc(&vm.machine, 1).unwrap();
    assert!(!vm.compressor.spilled(vm, &first, slot), "older contents");
    vm.compressor.keep(vm, &first);
    bench.check();
    assert!(bench.get(handle, 0) == Some(new));
    assert!(vm.compressor.spilled(vm, &second, slot));
    bench.check();
}

/// What is no codec: it never gives back what it was given.
struct Broken;

impl Codec for Broken {
    fn compress(
        &self,
        _page: &[u8; PAGE_SIZE],
        _out: &mut [u8],
        scratch: &mut [MaybeUninit<u8>],
    ) -> Option<usize> {
        assert!(scratch.is_empty());
        Some(10)
    }
    fn decompress(&self, _data: &[u8], _page: &mut [u8; PAGE_SIZE]) -> bool {
        false
    }
    fn scratch(&self) -> usize {
        0
    }
}

#[test]
fn what_cannot_be_had_any_more_says_so() {
    let vm = setup(100);
    vm.set_compressor(&Broken, 50).unwrap();
    let page = vm.frames.alloc_page(&vm.machine, State::Anon).unwrap();
    vm.frames.clear(&vm.machine, page.frame(), 0..PAGE_SIZE);
    vm.frames.write(&vm.machine, page.frame(), 9, &[1]);
    let anon = Anon::new(page, None, 0);
    let anon = vm.anons.alloc(&vm.machine, &vm.frames, anon).unwrap();
    let Put::Stored(handle) = vm.compressor.put(&vm, page, anon) else {
        panic!("not stored");
    };
    assert!(vm.compressor.get(&vm, handle, anon, page));
    assert_eq!(page.error(), Some(PagerError::Io));
    assert!(vm.compressor.oldest(&vm, page).is_none());
    assert!(vm.compressor.free(&vm, handle, anon));
    vm.compressor.check_invariants(&vm);
}

#[test]
fn setting_fails_wherever_memory_ends() {
    let vm = setup(200);
    // What is known of the buffers' type stays, and the pools keep what they had.
    let buffer = crate::kmem::Buffer::new();
    buffer.allocate(&vm, OUT, 1).unwrap();
    buffer.release(&vm);
    let before = vm.frames.count(State::Kernel);
    let settle = || vm.heap.check_invariants(&vm.machine, &vm.frames);
    for allowed in 0.. {
        vm.machine.allow(allowed);
        let set = vm.set_compressor(&RUNS, 50);
        vm.machine.allow_all();
        settle();
        vm.frames.check_invariants(&vm.machine);
        if set.is_ok() {
            assert_eq!(allowed, 1 + BUFFERS as i64);
            assert!(vm.compressor.is_on());
            return;
        }
        assert!(!vm.compressor.is_on());
        assert_eq!(vm.frames.count(State::Kernel), before);
        assert_eq!(vm.compressor.pool.in_use(), 0);
    }
}
