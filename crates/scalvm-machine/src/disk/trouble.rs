//! Which requests fail, and what a write that fails leaves.

use std::ops::Range;

use scalvm::{Io, PAGE_SIZE};

use super::{Direction, SECTOR};
use crate::failure::Failures;
use crate::machine::Emulated;
use crate::rng::Rng;

/// What goes wrong.
pub(crate) struct Trouble {
    /// Among all requests.
    pub all: Failures,
    /// Among those that read.
    pub reads: Failures,
    /// Among those that write.
    pub writes: Failures,
    /// Requests of this direction that touch these pages of a file fail.
    bad: Vec<(Direction, usize, Range<u64>)>,
    /// Which sectors a write that fails writes; none: none.
    tearing: Option<Rng>,
    /// Which requests that fail are lost, never to be answered; none: none.
    losing: Option<Rng>,
}

impl Trouble {
    pub fn none() -> Trouble {
        Trouble {
            all: Failures::never(),
            reads: Failures::never(),
            writes: Failures::never(),
            bad: Vec::new(),
            tearing: None,
            losing: None,
        }
    }

    pub fn add_bad(&mut self, direction: Direction, cookie: usize, pages: Range<u64>) {
        self.bad.push((direction, cookie, pages));
    }

    pub fn tear(&mut self, seed: u64) {
        self.tearing = Some(Rng::new(seed));
    }

    pub fn stop(&mut self) {
        self.all.stop();
        self.reads.stop();
        self.writes.stop();
        self.bad.clear();
        self.tearing = None;
        self.losing = None;
    }

    pub fn lose(&mut self, seed: u64) {
        self.losing = Some(Rng::new(seed));
    }

    /// Whether this request, which fails, is lost.
    pub fn loses(&mut self) -> bool {
        self.losing.as_mut().is_some_and(|rng| rng.one_in(2))
    }

    /// Whether this request, the next one, fails.
    pub fn fails(&mut self, direction: Direction, io: &Io<Emulated>) -> bool {
        let (cookie, first) = (io.cookie(), io.index());
        let end = first + io.frames().len() as u64;
        let is_bad = self.bad.iter().any(|(way, file, pages)| {
            *way == direction && *file == cookie && pages.start < end && first < pages.end
        });
        // All are asked, since they count.
        let one = match direction {
            Direction::Read => self.reads.event(),
            Direction::Write => self.writes.event(),
        };
        self.all.event() | one | is_bad
    }

    /// The sectors of a page that a write that fails still writes.
    pub fn torn(&mut self) -> Sectors {
        self.tearing.as_mut().map_or(Sectors::NONE, Sectors::some)
    }
}

/// Some of the sectors of a page: a bit for each.
#[derive(Clone, Copy)]
pub(crate) struct Sectors(u8);

const _: () = assert!(PAGE_SIZE / SECTOR == 8);

impl Sectors {
    /// None.
    pub const NONE: Sectors = Sectors(0);
    /// All.
    pub const ALL: Sectors = Sectors(!0);

    /// Some, as chance has it: now and then all or none.
    pub fn some(rng: &mut Rng) -> Sectors {
        match rng.below(4) {
            0 => Sectors::NONE,
            1 => Sectors::ALL,
            _ => Sectors(rng.next_u64() as u8),
        }
    }

    /// The ranges of their bytes within the page.
    pub fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        let ranges = (0..PAGE_SIZE / SECTOR).filter(move |n| self.0 >> n & 1 != 0);
        ranges.map(|n| n * SECTOR..(n + 1) * SECTOR)
    }
}
