//! The mixed trace: allocations as a kernel makes them.
//!
//! There are no recordings to replay, so this is made up, and always the same: sizes as those of a
//! kernel's structures (most are small, some have a page or more), lifetimes of three kinds (most end
//! within a few dozen others, as what a system call needs does; some live for thousands, as an open
//! file does; few stay, as caches do). At the end all is freed.

use std::alloc::Layout;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Allocations in the trace.
const PIECES: usize = 100_000;

/// Sizes, and how many of a hundred pieces have one of them.
const SIZES: [(u32, &[usize]); 6] = [
    (45, &[16, 24, 32, 40, 48, 56, 64]),
    (30, &[72, 96, 112, 128, 168, 192, 256]),
    (15, &[320, 384, 512, 640, 1000, 1024]),
    (7, &[1536, 2048, 3000, 4096]),
    (2, &[5000, 8192, 12000, 16384]),
    (1, &[20000, 32768, 50000, 65536]),
];
/// How many others are allocated before a piece is freed, at most, and how many of a hundred pieces
/// live so long.
const LIVES: [(u32, usize); 3] = [(70, 40), (25, 3000), (5, 60_000)];

/// What happens next.
#[derive(Clone, Copy)]
pub enum Step {
    Alloc { place: usize, layout: Layout },
    Free { place: usize, layout: Layout },
}

/// What happens.
pub struct Trace {
    steps: Vec<Step>,
    places: usize,
}

impl Trace {
    /// The trace.
    pub fn new() -> Trace {
        let mut random = Random(2001);
        let mut steps = Vec::new();
        // Pieces in use by when they end, and places that are free.
        let mut ends = BinaryHeap::new();
        let mut free = Vec::new();
        let mut places = 0;
        for now in 0..PIECES {
            while let Some(&Reverse((end, place, size))) = ends.peek()
                && end <= now
            {
                ends.pop();
                free.push(place);
                let layout = layout(size);
                steps.push(Step::Free { place, layout });
            }
            let place = free.pop().unwrap_or_else(|| {
                places += 1;
                places - 1
            });
            let sizes = random.choose(&SIZES);
            let size = sizes[random.below(sizes.len())];
            let most = random.choose(&LIVES);
            let life = 1 + random.below(most);
            ends.push(Reverse((now + life, place, size)));
            let layout = layout(size);
            steps.push(Step::Alloc { place, layout });
        }
        while let Some(Reverse((_, place, size))) = ends.pop() {
            let layout = layout(size);
            steps.push(Step::Free { place, layout });
        }
        Trace { steps, places }
    }

    /// All steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many pieces are in use at once, at most.
    pub fn places(&self) -> usize {
        self.places
    }

    /// Allocations.
    pub fn pieces(&self) -> u64 {
        PIECES as u64
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a small layout")
}

/// Numbers that are always the same.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    /// One below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % limit
    }

    /// One of several, each so often in a hundred.
    fn choose<T: Copy>(&mut self, among: &[(u32, T)]) -> T {
        let mut left = self.below(100) as u32;
        for (share, what) in among {
            match left.checked_sub(*share) {
                Some(rest) => left = rest,
                None => return *what,
            }
        }
        unreachable!("shares of a hundred")
    }
}
