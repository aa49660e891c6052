//! Tests of pools and the heap.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::BTreeSet;
use std::thread;
use std::vec::Vec;

use super::slab::Reclaim;
use super::{Account, Heap, HeapError, Pool, Ptr, Table};
use crate::machine::Machine;
use crate::page::{Frames, State};
use crate::sync::Field;
use crate::testing::{Random, TestMachine};
use crate::{Frame, OutOfMemory, PAGE_SIZE};

fn setup(frames: u64) -> (TestMachine, Frames) {
    let machine = TestMachine::new(frames);
    let all = Frames::new();
    // SAFETY: the arena is ours.
    unsafe { all.add_segment(&machine, machine.frame(0), machine.frame(frames)) }.unwrap();
    (machine, all)
}

/// A structure of an odd size.
struct Item {
    number: Field<u64>,
    copies: [u64; 4],
}

impl Item {
    fn new(number: u64) -> Item {
        Item {
            number: Field::new(number),
            copies: [number; 4],
        }
    }

    fn check(&self, number: u64) {
        assert_eq!((self.number.get(), self.copies), (number, [number; 4]));
    }
}

#[test]
fn structures_keep_their_values_and_places() {
    let (machine, frames) = setup(300);
    let pool = Pool::new();
    let mut items = Vec::new();
    for number in 0..10_000 {
        items.push(pool.alloc(&machine, &frames, Item::new(number)).unwrap());
    }
    assert_eq!(pool.in_use(), 10_000);
    pool.check_invariants(&machine, &frames);
    let places: BTreeSet<_> = items.iter().map(|item| item.as_ptr()).collect();
    assert_eq!(places.len(), 10_000);
    // 102 to a frame, the whole of which is slots.
    assert!(frames.count(State::Slab) <= 100);
    for (number, item) in items.into_iter().enumerate() {
        item.check(number as u64);
        pool.free(&machine, &frames, item);
    }
    assert_eq!(pool.in_use(), 0);
    pool.check_invariants(&machine, &frames);
    frames.check_invariants(&machine);
    // A processor keeps two magazines, and the depot some.
    assert!(frames.count(State::Slab) < 50, "free slabs are given back");
    pool.raw().reclaim(&machine, &frames, Reclaim::All);
    assert_eq!(frames.count(State::Slab), 0);
}

#[test]
fn slots_of_a_power_of_two_fill_frames() {
    let (machine, frames) = setup(100);
    let pool = Pool::new();
    machine.set_cpu(0);
    for _ in 0..128 * 10 {
        pool.alloc(&machine, &frames, [1u64; 4]).unwrap();
    }
    assert_eq!(frames.count(State::Slab), 10);
    pool.alloc(&machine, &frames, [1u64; 4]).unwrap();
    assert_eq!(frames.count(State::Slab), 11);
}

#[test]
fn alignment_beyond_a_word_is_kept() {
    #[repr(align(64))]
    struct Line([u8; 65]);
    let (machine, frames) = setup(20);
    let pool = Pool::new();
    for n in 0..100 {
        let line = pool.alloc(&machine, &frames, Line([n; 65])).unwrap();
        assert_eq!(line.as_ptr().addr() % 64, 0);
        assert_eq!(line.0, [n; 65]);
    }
}

#[test]
fn memory_runs_out_only_when_no_slot_is_left_anywhere() {
    let (machine, frames) = setup(6);
    let pool = Pool::new();
    let mut items = Vec::new();
    for n in 0.. {
        machine.set_cpu(n % 7);
        match pool.alloc(&machine, &frames, Item::new(n as u64)) {
            Ok(item) => items.push(item),
            Err(OutOfMemory) => break,
        }
    }
    assert_eq!(items.len() as u64, frames.total() * (PAGE_SIZE / 40) as u64);
    assert_eq!(pool.in_use(), items.len() as u64);
    pool.check_invariants(&machine, &frames);
    // One is freed on another processor than the one that looks for it.
    machine.set_cpu(9);
    pool.free(&machine, &frames, items.pop().unwrap());
    machine.set_cpu(3);
    assert!(pool.alloc(&machine, &frames, Item::new(0)).is_ok());
    assert!(pool.alloc(&machine, &frames, Item::new(0)).is_err());
    for item in items {
        pool.free(&machine, &frames, item);
    }
    pool.check_invariants(&machine, &frames);
    frames.check_invariants(&machine);
}

#[test]
fn the_machine_is_asked_once_for_each_structure() {
    let (machine, frames) = setup(20);
    let pool = Pool::new();
    machine.allow(200);
    for n in 0..200 {
        pool.alloc(&machine, &frames, Item::new(n)).unwrap();
    }
    assert_eq!(
        pool.alloc(&machine, &frames, Item::new(0)),
        Err(OutOfMemory)
    );
    machine.allow_all();
    assert!(pool.alloc(&machine, &frames, Item::new(0)).is_ok());
    assert_eq!(pool.in_use(), 201);
}

#[cfg(debug_assertions)]
mod misuse {
    use super::*;

    #[test]
    #[should_panic(expected = "freed twice")]
    fn double_free_is_caught() {
        let (machine, frames) = setup(20);
        let pool = Pool::new();
        let item = pool.alloc(&machine, &frames, Item::new(1)).unwrap();
        pool.free(&machine, &frames, item);
        pool.free(&machine, &frames, item);
    }

    #[test]
    #[should_panic(expected = "written at 24 while free")]
    fn use_after_free_is_caught() {
        let (machine, frames) = setup(20);
        let pool = Pool::new();
        machine.set_cpu(0);
        let item = pool.alloc(&machine, &frames, Item::new(1)).unwrap();
        pool.free(&machine, &frames, item);
        // SAFETY: none, and that is the point; the arena is plain memory.
        unsafe { item.as_ptr().cast::<u64>().add(3).write(1) };
        let _ = pool.alloc(&machine, &frames, Item::new(2));
    }

    #[test]
    #[should_panic(expected = "not a slot of this pool")]
    fn a_slot_of_another_pool_is_caught() {
        let (machine, frames) = setup(20);
        let (pool, other) = (Pool::new(), Pool::new());
        pool.alloc(&machine, &frames, Item::new(1)).unwrap();
        let item = other.alloc(&machine, &frames, [0u64; 8]).unwrap();
        pool.free(
            &machine,
            &frames,
            Ptr::from_raw(item.as_ptr().cast()).unwrap(),
        );
    }

    #[test]
    #[should_panic(expected = "outside of all segments")]
    fn a_foreign_pointer_is_caught() {
        let (machine, frames) = setup(20);
        let pool = Pool::new();
        let item = Item::new(1);
        pool.free(
            &machine,
            &frames,
            Ptr::from_raw((&raw const item).cast_mut()).unwrap(),
        );
    }
}

#[test]
fn threads_free_what_others_allocated() {
    let (machine, frames) = setup(400);
    let pool = Pool::new();
    let exchange: Vec<_> = (0..64)
        .map(|_| Field::<Option<Ptr<Item>>>::new(None))
        .collect();
    // Each place of the exchange has its lock.
    let locks: Vec<_> = (0..64).map(|_| std::sync::Mutex::new(())).collect();
    thread::scope(|scope| {
        for seed in 1..7u64 {
            let (machine, frames, pool) = (&machine, &frames, &pool);
            let (exchange, locks) = (&exchange, &locks);
            scope.spawn(move || {
                let mut random = Random(seed);
                for step in 0..30_000u64 {
                    let item = pool.alloc(machine, frames, Item::new(step)).unwrap();
                    let place = random.below(64);
                    let guard = locks[place].lock().unwrap();
                    let old = exchange[place].get();
                    exchange[place].set(Some(item));
                    drop(guard);
                    if let Some(old) = old {
                        old.check(old.number.get());
                        pool.free(machine, frames, old);
                    }
                }
            });
        }
    });
    assert_eq!(
        pool.in_use(),
        exchange
            .iter()
            .filter(|place| place.get().is_some())
            .count() as u64
    );
    pool.check_invariants(&machine, &frames);
    frames.check_invariants(&machine);
}

/// Random pieces of all sizes, filled with a byte of their own.
fn churn(machine: &TestMachine, frames: &Frames, heap: &Heap, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut held: Vec<(*mut u8, Layout, u8)> = Vec::new();
    let free = |(bytes, layout, mark): (*mut u8, Layout, u8)| {
        for n in 0..layout.size() {
            // SAFETY: within a piece that is ours.
            let byte = unsafe { bytes.add(n).read() };
            assert_eq!(byte, mark, "byte {n} of {layout:?}");
        }
        let bytes = NonNull::new(bytes).unwrap();
        if mark.is_multiple_of(2) {
            // SAFETY: it is ours, and of this layout.
            unsafe { heap.free(machine, frames, bytes, layout, &()) };
        } else {
            let piece = heap.piece_at(frames, bytes.addr().get()).unwrap();
            // SAFETY: it is ours.
            unsafe { heap.free_piece(machine, frames, bytes, piece, &()) };
        }
    };
    for step in 0..steps {
        if random.below(2) == 0 && !held.is_empty() {
            free(held.swap_remove(random.below(held.len())));
            continue;
        }
        let most = if random.below(20) == 0 { 20_000 } else { 700 };
        let shifts = if random.below(20) == 0 { 14 } else { 7 };
        let align = 1 << random.below(shifts);
        let layout = Layout::from_size_align(random.below(most), align).unwrap();
        let Ok(bytes) = heap.alloc(machine, frames, layout, &()) else {
            continue;
        };
        let piece = heap.piece_at(frames, bytes.addr().get()).unwrap();
        assert!(piece.bytes >= layout.size());
        let bytes = bytes.as_ptr();
        assert_eq!(bytes.addr() % align, 0);
        // SAFETY: a piece that is ours.
        unsafe { bytes.write_bytes(step as u8, layout.size()) };
        held.push((bytes, layout, step as u8));
    }
    held.into_iter().for_each(free);
}

#[test]
fn pieces_never_overlap() {
    let (machine, frames) = setup(200);
    let heap = Heap::new();
    for seed in 1..4 {
        churn(&machine, &frames, &heap, seed, 10_000);
        assert_eq!((heap.in_use(), frames.count(State::Kernel)), (0, 0));
        heap.check_invariants(&machine, &frames);
        frames.check_invariants(&machine);
    }
}

#[test]
fn threads_never_share_a_piece() {
    let (machine, frames) = setup(200);
    let heap = Heap::new();
    thread::scope(|scope| {
        for seed in 1..5 {
            let (machine, frames, heap) = (&machine, &frames, &heap);
            scope.spawn(move || churn(machine, frames, heap, seed, 10_000));
        }
    });
    assert_eq!((heap.in_use(), frames.count(State::Kernel)), (0, 0));
    heap.check_invariants(&machine, &frames);
    frames.check_invariants(&machine);
}

#[test]
fn threads_come_through_exhaustion() {
    let (machine, frames) = setup(30);
    let (heap, pool) = (Heap::new(), Pool::new());
    thread::scope(|scope| {
        for seed in 1..4 {
            let (machine, frames, heap, pool) = (&machine, &frames, &heap, &pool);
            scope.spawn(move || churn(machine, frames, heap, seed, 10_000));
            scope.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..100 {
                    let most = random.below(1000) as u64;
                    let items: Vec<_> = (0..most)
                        .map_while(|n| pool.alloc(machine, frames, Item::new(n)).ok())
                        .collect();
                    for (n, item) in items.into_iter().enumerate() {
                        item.check(n as u64);
                        pool.free(machine, frames, item);
                    }
                }
            });
        }
    });
    assert_eq!(
        (heap.in_use(), pool.in_use(), frames.count(State::Kernel)),
        (0, 0, 0)
    );
    heap.check_invariants(&machine, &frames);
    pool.check_invariants(&machine, &frames);
    frames.check_invariants(&machine);
}

#[test]
fn too_much_is_refused() {
    let (machine, frames) = setup(200);
    machine.set_cpu(2);
    let heap = Heap::new();
    for (size, align, error) in [
        (1 << 20, 1, HeapError::OutOfMemory),
        (4 << 20, 1, HeapError::OutOfMemory),
        ((4 << 20) + 1, 1, HeapError::TooLarge),
        (isize::MAX as usize - PAGE_SIZE, 1, HeapError::TooLarge),
        (8, 1 << 40, HeapError::TooLarge),
    ] {
        let layout = Layout::from_size_align(size, align).unwrap();
        let account = Ledger::default();
        let result = heap.alloc(&machine, &frames, layout, &account);
        assert_eq!(result, Err(error), "{layout:?}");
        assert_eq!(account.total(), (0, 0));
    }
    assert_eq!(frames.free_count(), frames.total());
}

/// What is charged, and to which processors.
struct Ledger {
    /// What may be charged to each bucket; none is whatever is asked.
    limit: Option<usize>,
    pieces: [AtomicUsize; Heap::BUCKETS],
    bytes: AtomicUsize,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            limit: None,
            pieces: [const { AtomicUsize::new(0) }; Heap::BUCKETS],
            bytes: AtomicUsize::new(0),
        }
    }
}

impl Ledger {
    /// Pieces and bytes.
    fn total(&self) -> (usize, usize) {
        let pieces = self.pieces.iter().map(|n| n.load(Relaxed)).sum();
        (pieces, self.bytes.load(Relaxed))
    }
}

impl Account for Ledger {
    fn charge(&self, cpu: usize, bucket: usize, bytes: usize) -> bool {
        assert_eq!(cpu, 2);
        if self
            .limit
            .is_some_and(|most| self.bytes.load(Relaxed) + bytes > most)
        {
            return false;
        }
        self.pieces[bucket].fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        true
    }

    fn credit(&self, cpu: usize, bucket: usize, bytes: usize) {
        assert_eq!(cpu, 2);
        self.pieces[bucket].fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }
}

#[test]
fn pieces_are_charged_and_credited() {
    let (machine, frames) = setup(200);
    machine.set_cpu(2);
    let heap = Heap::new();
    let account = Ledger {
        limit: Some(200_000),
        ..Ledger::default()
    };
    let mut pieces = Vec::new();
    let mut bytes = 0;
    for size in 0.. {
        let layout = Layout::from_size_align(size * 37, 8).unwrap();
        match heap.alloc(&machine, &frames, layout, &account) {
            Ok(at) => {
                let piece = heap.piece_at(&frames, at.addr().get()).unwrap();
                let size = Heap::bucket_size(piece.bucket);
                assert!(size == piece.bytes || size == 0);
                bytes += piece.bytes;
                pieces.push(at);
            }
            Err(error) => {
                assert_eq!(error, HeapError::Refused);
                break;
            }
        }
        assert_eq!(account.total(), (pieces.len(), bytes));
    }
    assert!(bytes > 150_000);
    for at in pieces {
        let piece = heap.piece_at(&frames, at.addr().get()).unwrap();
        // SAFETY: ours.
        unsafe { heap.free_piece(&machine, &frames, at, piece, &account) };
    }
    assert_eq!(account.total(), (0, 0));
    heap.check_invariants(&machine, &frames);
}

#[test]
fn a_piece_is_freed_quickly_by_its_address_if_it_begins_in_its_slabs_first_frame() {
    let (machine, frames) = setup(4000);
    let (heap, pool) = (Heap::new(), Pool::new());
    let free = |bytes: NonNull<u8>| {
        // SAFETY: a piece that is ours begins there, or none.
        unsafe { heap.free_at_quickly(&machine, &frames, bytes, &()) }
    };
    let mut firsts = 0;
    for bucket in 0..Heap::BUCKETS - 1 {
        let size = Heap::bucket_size(bucket);
        let layout = Layout::from_size_align(size, 16).unwrap();
        let alloc = || heap.alloc(&machine, &frames, layout, &()).unwrap();
        for bytes in [alloc(), alloc(), alloc()] {
            // A magazine that one has just been taken from has room for one.
            let last = alloc();
            // SAFETY: both are not freed yet; the address is within the piece.
            unsafe {
                assert!(!free(last.byte_add(8)), "{size} and 8");
                let page = frames.page_at(last.addr().get()).unwrap();
                let first = page.state() == State::Slab;
                assert_eq!(free(last), first, "{size}");
                firsts += usize::from(first);
                if !first {
                    heap.free(&machine, &frames, last, layout, &());
                }
                heap.free(&machine, &frames, bytes, layout, &());
            }
        }
    }
    assert!(firsts > 2 * Heap::BUCKETS, "most begin there");
    assert_eq!(heap.in_use(), 0);
    let item = pool.alloc(&machine, &frames, Item::new(1)).unwrap();
    assert!(!free(item.as_non_null().cast()), "not one of the heap");
    item.check(1);
    heap.check_invariants(&machine, &frames);
}

#[test]
fn what_is_no_piece_is_told() {
    let (machine, frames) = setup(200);
    let (heap, pool) = (Heap::new(), Pool::new());
    let at = |layout| {
        let bytes = heap.alloc(&machine, &frames, layout, &());
        bytes.unwrap().addr().get()
    };
    let small = at(Layout::new::<[u8; 90]>());
    let large = at(Layout::new::<[u8; 50_000]>());
    for address in [small, large] {
        assert!(heap.piece_at(&frames, address).is_some());
        assert_eq!(heap.piece_at(&frames, address + 8), None);
    }
    assert_eq!(heap.piece_at(&frames, large + PAGE_SIZE), None);
    let item = pool.alloc(&machine, &frames, Item::new(1)).unwrap();
    assert_eq!(heap.piece_at(&frames, item.as_ptr().addr()), None);
    let page = frames.alloc_page(&machine, State::Kernel).unwrap();
    let bytes = machine.frame_ptr(page.frame()).addr();
    assert_eq!(heap.piece_at(&frames, bytes), None);
    assert_eq!(heap.piece_at(&frames, 16), None);
}

#[test]
fn a_large_piece_is_frames_in_a_row() {
    let (machine, frames) = setup(200);
    let heap = Heap::new();
    let layout = Layout::from_size_align(5 * PAGE_SIZE, 8).unwrap();
    let bytes = heap.alloc(&machine, &frames, layout, &()).unwrap();
    let first = frames.page_at(bytes.addr().get()).unwrap().frame();
    let last = machine.frame_ptr(Frame(first.0 + 4));
    assert_eq!(last.addr(), bytes.addr().get() + 4 * PAGE_SIZE);
    // SAFETY: ours, of this layout.
    unsafe { heap.free(&machine, &frames, bytes, layout, &()) };
    assert_eq!(frames.count(State::Kernel), 0);
    frames.check_invariants(&machine);
}

#[test]
fn an_array_grows_in_place_and_ends() {
    let (machine, frames) = setup(100);
    let table = Table::<Field<u32>>::new();
    assert!(table.get(0).is_none());
    let chunk = Table::<Field<u32>>::CHUNK;
    let grow = || {
        let frame = || frames.alloc_page(&machine, State::Kernel);
        table.grow(&machine, frame, |n| Field::new(n as u32))
    };
    for try_number in 0..4 {
        // Directories that were had already are kept for the next try.
        machine.allow(i64::from(try_number > 0));
        assert_eq!(grow().is_ok(), try_number == 3, "three frames at first");
        assert!(try_number == 3 || table.len() == 0);
    }
    machine.allow_all();
    let first = table.get(0).unwrap();
    while grow().is_ok() {
        let last = table.len() - 1;
        assert_eq!(table.get(last).unwrap().get(), last as u32);
        assert!(table.get(last + 1).is_none());
        assert_eq!(table.frames() as u64, frames.count(State::Kernel));
    }
    assert_eq!(table.len() as u64, (frames.total() - 2) * chunk as u64);
    assert_eq!(table.get(0), Some(first), "nothing moves");
    for n in 0..table.len() {
        assert_eq!(table.get(n).unwrap().get(), n as u32);
    }
    table.clear(&machine, &frames);
    assert_eq!((table.len(), frames.count(State::Kernel)), (0, 0));
    frames.check_invariants(&machine);
}
