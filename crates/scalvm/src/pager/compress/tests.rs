//! Tests of the compressor, with a codec of run lengths.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::Relaxed;
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::thread;
use std::vec::Vec;

use super::*;
use crate::SwapOptions;
use crate::page::State;
use crate::pager::swap::tests::{NOWHERE, setup};
use crate::pager::{Backing, Slot};
use crate::testing::{Random, TestMachine};

/// Stores runs of equal bytes as pairs of a length and the byte.
struct Runs;

impl Codec for Runs {
    fn compress(
        &self,
        page: &[u8; PAGE_SIZE],
        out: &mut [u8],
        scratch: &mut [MaybeUninit<u8>],
    ) -> Option<usize> {
        assert_eq!((scratch.len(), scratch.as_ptr().addr() % 64), (100, 0));
        scratch.fill(MaybeUninit::uninit());
        let runs = page.chunk_by(|a, b| a == b).flat_map(|run| run.chunks(255));
        let mut len = 0;
        for run in runs {
            let pair = out.get_mut(len..len + 2)?;
            pair.copy_from_slice(&[run.len() as u8, run[0]]);
            len += 2;
        }
        Some(len)
    }

    fn decompress(&self, data: &[u8], page: &mut [u8; PAGE_SIZE]) -> bool {
        let mut at = 0;
        for pair in data.chunks_exact(2) {
            let Some(run) = page.get_mut(at..at + usize::from(pair[0])) else {
                return false;
            };
            run.fill(pair[1]);
            at += usize::from(pair[0]);
        }
        at == PAGE_SIZE
    }

    fn scratch(&self) -> usize {
        100
    }
}

static RUNS: Runs = Runs;

type Contents = Box<[u8; PAGE_SIZE]>;

/// A manager with a compressor, and some anons without pages of their own.
struct Bench {
    vm: Vm<TestMachine>,
    anons: Vec<Ptr<Anon<TestMachine>>>,
    /// A page of the test's.
    page: Ptr<Page>,
}

impl Bench {
    fn new(frames: u64, most: u64, anons: u32) -> Bench {
        let vm = setup(frames);
        vm.set_compressor(&RUNS, most).unwrap();
        vm.add_swap(&NOWHERE, 0, 500, SwapOptions::default())
            .unwrap();
        let page = vm.frames.alloc_page(&vm.machine, State::Anon).unwrap();
        let anon = |n| {
            let anon = Anon::new(page, None, n);
            vm.anons.alloc(&vm.machine, &vm.frames, anon).unwrap()
        };
        let anons = (0..anons).map(anon).collect();
        Bench { vm, anons, page }
    }

    /// A page of the caller's.
    fn page(&self) -> Ptr<Page> {
        let page = self.vm.frames.alloc_page(&self.vm.machine, State::Anon);
        page.expect("a page for the test")
    }

    fn put(&self, anon: usize, contents: &Contents) -> Put {
        self.put_from(self.page, anon, contents)
    }

    /// Stores contents, by way of a page, and sets the backing.
    fn put_from(&self, page: Ptr<Page>, anon: usize, contents: &Contents) -> Put {
        let vm = &self.vm;
        vm.frames
            .write(&vm.machine, page.frame(), 0, contents.as_slice());
        let put = vm.compressor.put(vm, page, self.anons[anon]);
        if let Put::Stored(handle) = put {
            let backing = Backing::Compressed(handle).pack();
            self.anons[anon].backing.set(backing);
        }
        put
    }

    fn stored(&self, anon: usize, contents: &Contents) -> Handle {
        match self.put(anon, contents) {
            Put::Stored(handle) => handle,
            other => panic!("{other:?}"),
        }
    }

    fn get(&self, handle: Handle, anon: usize) -> Option<Contents> {
        let vm = &self.vm;
        let got = vm.compressor.get(vm, handle, self.anons[anon], self.page);
        assert!(self.page.is_plain());
        got.then(|| self.bytes(self.page))
    }

    fn bytes(&self, page: Ptr<Page>) -> Contents {
        let mut bytes = Box::new([0; PAGE_SIZE]);
        self.vm
            .frames
            .read(&self.vm.machine, page.frame(), 0, bytes.as_mut_slice());
        bytes
    }

    fn free(&self, handle: Handle, anon: usize) -> bool {
        self.vm.compressor.free(&self.vm, handle, self.anons[anon])
    }

    fn check(&self) {
        self.vm.compressor.check_invariants(&self.vm);
        self.vm
            .swap
            .check_invariants(&self.vm.machine, &self.vm.frames);
        self.vm.frames.check_invariants(&self.vm.machine);
    }
}

/// Contents that become so many bytes, or a few more.
fn contents(random: &mut Random, len: usize) -> Contents {
    let mut page = Box::new([0; PAGE_SIZE]);
    let runs = (len / 2).clamp(1, PAGE_SIZE);
    let (mut at, mut byte) = (0, 0_u8);
    for run in 0..runs {
        let end = PAGE_SIZE * (run + 1) / runs;
        byte = byte.wrapping_add(1 + random.below(255) as u8);
        page[at..end].fill(byte);
        at = end;
    }
    page
}

fn any_contents(random: &mut Random) -> Contents {
    match random.below(6) {
        0 => Box::new([random.below(256) as u8; PAGE_SIZE]),
        _ => {
            let len = 10 + random.below(4000);
            contents(random, len)
        }
    }
}

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
    let pages: Vec<_> = (0..4).map(|_| any_contents(&mut random)).collect();
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
    // The pools keep what they had.
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
        assert_eq!(vm.frames.count(State::Kernel), 0);
        assert_eq!(vm.compressor.pool.in_use(), 0);
    }
}

/// What should be stored for an anon.
struct Stored {
    handle: Handle,
    contents: Contents,
}

#[test]
fn pages_are_what_a_model_says() {
    let bench = Bench::new(500, 40, 150);
    let (vm, mut random) = (&bench.vm, Random(17));
    let mut model: BTreeMap<usize, Stored> = BTreeMap::new();
    // The anons of the entries, the oldest first.
    let mut ages: VecDeque<usize> = VecDeque::new();
    let (mut full, mut failed, mut spilled) = (0, 0, 0);
    for step in 0..8000 {
        let anon = random.below(150);
        let backing = Backing::unpack(bench.anons[anon].backing.get());
        match (random.below(9), backing) {
            (0..4, Backing::None) => {
                let contents = any_contents(&mut random);
                let fails = random.below(4) == 0;
                if fails {
                    vm.machine.allow(random.below(2) as i64);
                }
                let put = bench.put(anon, &contents);
                vm.machine.allow_all();
                match put {
                    Put::Stored(handle) => {
                        model.insert(anon, Stored { handle, contents });
                        ages.push_back(anon);
                    }
                    Put::Full if fails => failed += 1,
                    Put::Full => full += 1,
                    Put::Incompressible => {
                        let mut out = [0; 2 * PAGE_SIZE];
                        let scratch = Box::leak(Box::new(Aligned([MaybeUninit::uninit(); 128])));
                        let len = RUNS.compress(&contents, &mut out, &mut scratch.0[..100]);
                        assert!(len.unwrap() + HEADER > LARGEST);
                    }
                }
            }
            (0..4, Backing::Slot(slot)) => {
                vm.swap.free(&vm.machine, slot);
                bench.anons[anon].backing.set(0);
            }
            (4..6, Backing::Compressed(handle)) => {
                let stored = &model[&anon];
                assert_eq!(handle, stored.handle);
                assert!(bench.get(handle, anon).as_ref() == Some(&stored.contents));
                ages.retain(|other| *other != anon);
                ages.push_back(anon);
            }
            (6, Backing::Compressed(handle)) => {
                assert!(bench.free(handle, anon));
                bench.anons[anon].backing.set(0);
                model.remove(&anon);
                ages.retain(|other| *other != anon);
            }
            (7, _) => {
                let before = vm.compressor_stats().frames;
                let freed = vm.compressor.compact(vm, random.below(6));
                assert_eq!(before, vm.compressor_stats().frames + freed as u64);
            }
            (8, _) => {
                let spill = vm.compressor.oldest(vm, bench.page);
                let Some(oldest) = ages.pop_front() else {
                    assert!(spill.is_none());
                    continue;
                };
                let spill = spill.unwrap();
                assert!(bench.bytes(bench.page) == model[&oldest].contents);
                let slot = vm.swap.alloc(&vm.machine, 1);
                match (random.below(3), slot) {
                    (1, Some((slot, _))) => {
                        assert!(bench.free(model[&oldest].handle, oldest));
                        bench.anons[oldest].backing.set(0);
                        model.remove(&oldest);
                        assert!(!vm.compressor.spilled(vm, &spill, slot));
                        vm.swap.free(&vm.machine, slot);
                    }
                    (2, Some((slot, _))) => {
                        assert!(vm.compressor.spilled(vm, &spill, slot));
                        model.remove(&oldest);
                        spilled += 1;
                    }
                    (_, slot) => {
                        vm.compressor.keep(vm, &spill);
                        ages.push_back(oldest);
                        if let Some((slot, _)) = slot {
                            vm.swap.free(&vm.machine, slot);
                        }
                    }
                }
            }
            _ => {}
        }
        let stats = vm.compressor_stats();
        assert_eq!(stats.entries, model.len() as u64);
        assert!(stats.frames <= 40);
        if step % 10 == 0 {
            bench.check();
        }
    }
    bench.check();
    assert!(
        full > 10 && failed > 10 && spilled > 10,
        "{full} {failed} {spilled}"
    );
    assert_eq!(vm.compressor_stats().spilled, spilled);
}

#[repr(align(64))]
struct Aligned([MaybeUninit<u8>; 128]);

#[test]
fn threads_get_what_they_put() {
    let bench = Bench::new(600, 150, 200);
    thread::scope(|scope| {
        for seed in 0..4 {
            let bench = &bench;
            scope.spawn(move || churn(bench, seed));
        }
        let bench = &bench;
        scope.spawn(move || {
            let (vm, page) = (&bench.vm, bench.page());
            for n in 0..800 {
                vm.compressor.compact(vm, 3);
                let Some(spill) = vm.compressor.oldest(vm, page) else {
                    continue;
                };
                match vm.swap.alloc(&vm.machine, 1) {
                    Some((slot, _)) if n % 3 == 0 => {
                        if !vm.compressor.spilled(vm, &spill, slot) {
                            vm.swap.free(&vm.machine, slot);
                        }
                    }
                    slot => {
                        vm.compressor.keep(vm, &spill);
                        if let Some((slot, _)) = slot {
                            vm.swap.free(&vm.machine, slot);
                        }
                    }
                }
            }
        });
    });
    bench.check();
    assert_eq!(bench.vm.compressor.entries(), 0);
    assert_eq!(bench.vm.swap.used(), 0);
}

/// One thread's anons: put, got and freed. What the other thread moved to the disk has gone.
fn churn(bench: &Bench, seed: usize) {
    let (vm, page) = (&bench.vm, bench.page());
    let mut random = Random(seed as u64 + 1);
    let mut stored: BTreeMap<usize, Contents> = BTreeMap::new();
    for step in 0..2050 {
        let anon = seed * 50 + step % 50;
        let owner = bench.anons[anon];
        // The last round ends everything.
        let last = step >= 2000;
        match Backing::unpack(owner.backing.get()) {
            Backing::None if !last => {
                let contents = any_contents(&mut random);
                if let Put::Stored(_) = bench.put_from(page, anon, &contents) {
                    stored.insert(anon, contents);
                }
            }
            Backing::Compressed(handle) if !last && random.below(2) == 0 => {
                if vm.compressor.get(vm, handle, owner, page) {
                    assert!(Some(&bench.bytes(page)) == stored.get(&anon));
                }
            }
            Backing::Compressed(handle) if vm.compressor.free(vm, handle, owner) => {
                owner.backing.set(0);
            }
            Backing::None => {}
            Backing::Slot(_) | Backing::Compressed(_) => {
                let Backing::Slot(slot) = Backing::unpack(owner.backing.get()) else {
                    panic!("what is not stored any more has moved");
                };
                vm.swap.free(&vm.machine, slot);
                owner.backing.set(0);
            }
        }
    }
    page.holds().store(0, Relaxed);
}

impl Compressor<TestMachine> {
    /// Frames that have data.
    fn block_frames(&self) -> u64 {
        self.store
            .get()
            .map_or(0, |store| store.blocks.used_frames())
    }
}
