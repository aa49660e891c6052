//! What the allocators are made to do.
//!
//! Each piece is touched once, as whoever asks for memory does. No size is known when this is
//! compiled.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr::null_mut;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

use crate::trace::{Step, Trace};

/// Pieces that are in use at once.
pub const BATCH: usize = 100;

/// The order in which a batch is freed.
#[derive(Clone, Copy)]
pub enum Order {
    First,
    Last,
    Random,
}

/// One row of the table.
pub enum Work {
    /// Allocates a piece and frees it.
    Pair(Layout),
    /// The same where the piece is freed by its address alone: by those who can.
    ByAddress(Layout),
    /// The same of a size that is known beforehand: from an object cache, where there are some.
    Object(Layout),
    /// Allocates a batch, and frees it in some order.
    Batch(Layout, Order, Vec<usize>),
    /// Two threads: one allocates a batch, the other frees it.
    HandOver(Layout, Vec<AtomicPtr<u8>>),
    /// The mixed trace.
    Mixed(Trace),
}

/// The sizes of pairs: powers of two, and some between.
const PAIRS: [usize; 18] = [
    16, 32, 48, 64, 100, 128, 256, 400, 512, 1024, 1500, 2048, 4096, 6000, 8192, 16384, 32768,
    65536,
];
/// The sizes of pairs that are freed by their address.
const BY_ADDRESS: [usize; 5] = [16, 256, 4096, 10240, 65536];
/// The sizes of objects.
pub const OBJECTS: [usize; 5] = [16, 64, 256, 1024, 4096];
/// The sizes of batches.
const BATCHES: [usize; 4] = [64, 512, 4096, 16384];

impl Work {
    /// All work for one thread, or for each of two that do the same.
    pub fn all() -> Vec<(String, Work)> {
        let mut all: Vec<_> = PAIRS
            .iter()
            .map(|&size| (format!("pair of {size}"), Work::Pair(layout(size))))
            .collect();
        for size in BY_ADDRESS {
            all.push((
                format!("pair of {size}, by address"),
                Work::ByAddress(layout(size)),
            ));
        }
        for size in OBJECTS {
            all.push((format!("object of {size}"), Work::Object(layout(size))));
        }
        for size in BATCHES {
            for (name, order) in [
                ("first in first out", Order::First),
                ("last in first out", Order::Last),
                ("random order", Order::Random),
            ] {
                all.push((
                    format!("{BATCH} of {size}, {name}"),
                    Work::Batch(layout(size), order, shuffled()),
                ));
            }
        }
        all.push(("mixed trace".to_owned(), Work::Mixed(Trace::new())));
        all
    }

    /// All work in which two threads take part in turns.
    pub fn all_shared() -> Vec<(String, Work)> {
        let places = || (0..BATCH).map(|_| AtomicPtr::new(null_mut())).collect();
        BATCHES
            .iter()
            .map(|&size| {
                let name = format!("{BATCH} of {size}, freed by the other");
                (name, Work::HandOver(layout(size), places()))
            })
            .collect()
    }

    /// Allocations in one time.
    pub fn pieces(&self) -> u64 {
        match self {
            Work::Pair(_) | Work::ByAddress(_) | Work::Object(_) => 1,
            Work::Batch(..) | Work::HandOver(..) => BATCH as u64,
            Work::Mixed(trace) => trace.pieces(),
        }
    }

    /// Does it so often.
    pub fn run<A: GlobalAlloc>(&self, allocator: &A, times: u64) {
        match self {
            Work::Pair(layout) | Work::ByAddress(layout) | Work::Object(layout) => {
                pairs(allocator, *layout, times);
            }
            Work::Batch(layout, order, shuffled) => {
                for _ in 0..times {
                    batch(allocator, *layout, *order, shuffled);
                }
            }
            Work::HandOver(..) => {
                for _ in 0..times {
                    self.run_half(allocator, 0);
                    self.run_half(allocator, 1);
                }
            }
            Work::Mixed(trace) => {
                for _ in 0..times {
                    mixed(allocator, trace);
                }
            }
        }
    }

    /// Does one half of what two threads do.
    pub fn run_half<A: GlobalAlloc>(&self, allocator: &A, half: usize) {
        let Work::HandOver(layout, places) = self else {
            return;
        };
        if half == 0 {
            give(allocator, *layout, places);
        } else {
            take(allocator, *layout, places);
        }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a small layout")
}

/// The numbers of a batch in no order.
fn shuffled() -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..BATCH).collect();
    let mut random = crate::trace::Random(7);
    for n in (1..BATCH).rev() {
        numbers.swap(n, random.below(n + 1));
    }
    numbers
}

#[inline(always)]
fn alloc<A: GlobalAlloc>(allocator: &A, layout: Layout) -> *mut u8 {
    // SAFETY: the layouts here are not empty; a piece has a byte at least.
    unsafe {
        let piece = allocator.alloc(layout);
        assert!(!piece.is_null(), "memory has ended");
        piece.write_volatile(1);
        black_box(piece)
    }
}

#[inline(never)]
fn pairs<A: GlobalAlloc>(allocator: &A, layout: Layout, times: u64) {
    for _ in 0..times {
        let layout = black_box(layout);
        let piece = alloc(allocator, layout);
        // SAFETY: it has just been allocated.
        unsafe { allocator.dealloc(piece, layout) };
    }
}

#[inline(never)]
fn batch<A: GlobalAlloc>(allocator: &A, layout: Layout, order: Order, shuffled: &[usize]) {
    let mut pieces = [null_mut(); BATCH];
    for piece in &mut pieces {
        *piece = alloc(allocator, black_box(layout));
    }
    // SAFETY: each has been allocated, and is freed once.
    let free = |piece| unsafe { allocator.dealloc(piece, black_box(layout)) };
    match order {
        Order::First => pieces.into_iter().for_each(free),
        Order::Last => pieces.into_iter().rev().for_each(free),
        Order::Random => shuffled.iter().for_each(|&n| free(pieces[n])),
    }
}

#[inline(never)]
fn give<A: GlobalAlloc>(allocator: &A, layout: Layout, places: &[AtomicPtr<u8>]) {
    for place in places {
        place.store(alloc(allocator, black_box(layout)), Relaxed);
    }
}

#[inline(never)]
fn take<A: GlobalAlloc>(allocator: &A, layout: Layout, places: &[AtomicPtr<u8>]) {
    for place in places {
        // SAFETY: the other thread has allocated it, and each is freed once.
        unsafe { allocator.dealloc(place.load(Relaxed), black_box(layout)) };
    }
}

#[inline(never)]
fn mixed<A: GlobalAlloc>(allocator: &A, trace: &Trace) {
    let mut pieces = vec![null_mut(); trace.places()];
    for step in trace.steps() {
        match *step {
            Step::Alloc { place, layout } => pieces[place] = alloc(allocator, layout),
            // SAFETY: a trace frees what it has allocated, once.
            Step::Free { place, layout } => unsafe { allocator.dealloc(pieces[place], layout) },
        }
    }
}
