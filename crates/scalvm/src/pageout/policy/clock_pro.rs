//! CLOCK-Pro (S. Jiang, F. Chen, X. Zhang, USENIX 2005): pages that come back soon stay, pages that
//! are used once leave soon.
//!
//! *Hot* pages are those whose last two uses were closer together than the oldest hot page is
//! old; the others are *cold*, and have one part in twenty of the memory, through which everything
//! passes that comes new. So a scan, and a loop that is larger than memory, cost that part alone.
//!
//! ```text
//!                  hot pages and records, in the order of their last use
//!            oldest ◄──────────────────────────────────────────────► newest
//!              │ ▲                                                     ▲
//!     not used │ └──── used ───────────────────────────────────────────┤ used in its test, or
//!              ▼                                                       │ missed in it
//!   fresh ─► cold pages ──── oldest: used? ────────────────────────────┘
//!                               │ no                └─ used, but not in a test: a new test
//!                               ▼
//!                             evict
//! ```
//!
//! A page's *test* begins when it comes, or is used without being in one. While it lasts there is a
//! record of the page's key, among the hot pages at the place of the page's use, whether the page
//! itself is still resident or not. A use or a miss in its test makes a page hot. The test ends
//! when the record is the oldest of all, hot pages included, or there are more records than pages.
//!
//! The paper has one list with three hands. Here are two queues, so that nothing is passed over in
//! search of what a hand looks for: its hand for hot pages is at the oldest of the hot queue, its
//! hand for cold pages at the oldest of the cold one, and its hand for tests is the order in which
//! records were made. The cold share is fixed, as in one of the author's two simulators: letting it
//! follow the references (the paper's other variant) gains nothing on the recorded ones.
//!
//! The access for which a page came marks it as used. That is read and discarded before anything is
//! evicted (the queue of fresh pages), or every page of a scan would become hot. For the same reason
//! the first use of a page that was brought ahead does not make it hot; and if it leaves without
//! one, nothing is remembered.
//!
//! Until the first eviction, when memory is filling, what does not fit in the cold share is hot. Hot
//! pages that end, with their program, leave room for as many others, and memory fills again: so the
//! page that gets the frame of one is hot. (Otherwise a program that follows another would begin with
//! cold pages alone, and they would take turns as in a plain clock.)
//!
//! Memory: one record, 20 bytes, for each frame.
//!
//! Invariants, besides those of queues and records:
//! - **C1** the records in use are exactly those in the active queue.

use super::list::{End, Nodes, RECORD};
use super::queues::{Queue, Queues};
use super::records::Records;
use super::{Counts, Verdict};
use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::{Frames, Segments};
use crate::sync::Field;

/// The cold share: one in so many.
const COLD: u32 = 20;

/// Pages in a run: as many as a request has.
const RUN: u32 = 16;

/// Records that are given up at once, for each page that is looked at: what is done under the
/// policy's lock stays small, however many have become too many.
const STEP: u32 = 8;

/// CLOCK-Pro.
pub(super) struct ClockPro {
    /// `Active` holds hot pages and records, `Inactive` cold pages.
    queues: Queues,
    records: Records,
    /// Whether something was evicted ever.
    filled: Field<bool>,
}

impl ClockPro {
    pub const fn new(file: bool) -> ClockPro {
        ClockPro {
            queues: Queues::new(file),
            records: Records::new(),
            filled: Field::<bool>::constant(false),
        }
    }

    /// Gets the memory that it needs for so many frames.
    pub fn start<M: Machine>(&self, machine: &M, frames: &Frames) -> Result<(), OutOfMemory> {
        self.records.start(machine, frames, frames.total())
    }

    pub fn counts(&self) -> Counts {
        let len = |queue| self.queues.list(queue).len();
        Counts {
            fresh: len(Queue::Fresh),
            active: len(Queue::Active) - self.records.len(),
            inactive: len(Queue::Inactive),
            remembered: self.records.len(),
        }
    }

    pub fn insert(&self, segments: &Segments, page: u32, key: u64) -> bool {
        let nodes = self.nodes(segments);
        let follows_hot = self.queues.of(&nodes, page) == Some(Queue::Active);
        self.queues.take(&nodes, page);
        if let Some(record) = self.records.find(key) {
            self.forget(&nodes, record);
            self.put(&nodes, page, Queue::Active);
            return true;
        }
        let counts = self.counts();
        let is_filling = !self.filled.get() && !Self::begins_cold(counts);
        if follows_hot || is_filling {
            self.put(&nodes, page, Queue::Active);
        } else {
            self.remember(&nodes, key);
            self.put(&nodes, page, Queue::Fresh);
        }
        false
    }

    pub fn reinsert(&self, segments: &Segments, page: u32) {
        // Not among the cold ones: what cannot leave would fill their share, and no hot page ever
        // become cold.
        self.put(&self.nodes(segments), page, Queue::Active);
    }

    pub fn remove(&self, segments: &Segments, page: u32) {
        self.queues.take(&self.nodes(segments), page);
    }

    pub fn cool(&self, segments: &Segments, page: u32) {
        let nodes = self.nodes(segments);
        self.queues.put(&nodes, page, Queue::Inactive, End::Oldest);
    }

    pub fn skip(&self, segments: &Segments, page: u32) {
        self.queues.turn(&self.nodes(segments), page);
    }

    pub fn candidate(&self, segments: &Segments) -> Option<u32> {
        if let Some(page) = self.queues.list(Queue::Fresh).oldest() {
            return Some(page);
        }
        let nodes = self.nodes(segments);
        let counts = self.counts();
        let cold = self.queues.list(Queue::Inactive).oldest();
        let mut hot = self.oldest_hot(&nodes);
        if counts.cold() >= self.cold_share(counts.pages()) && cold.is_some() {
            return cold;
        }
        while hot.is_none() && cold.is_none() && self.queues.list(Queue::Active).len() > 0 {
            hot = self.oldest_hot(&nodes);
        }
        hot.or(cold)
    }

    pub fn judge(&self, segments: &Segments, page: u32, used: bool, key: u64) -> Verdict {
        let nodes = self.nodes(segments);
        match (self.queues.of(&nodes, page), used) {
            (None, _) => {}
            (Some(Queue::Fresh), true) => self.put(&nodes, page, Queue::Inactive),
            (Some(Queue::Fresh), false) => self.queues.put_unused(&nodes, page),
            (Some(Queue::Active), true) => self.put(&nodes, page, Queue::Active),
            (Some(Queue::Active), false) => self.put(&nodes, page, Queue::Inactive),
            (Some(Queue::Inactive), true) if self.queues.was_unused(&nodes, page) => {
                self.put(&nodes, page, Queue::Inactive);
            }
            (Some(Queue::Inactive), true) => match self.records.find(key) {
                Some(record) => {
                    self.forget(&nodes, record);
                    self.put(&nodes, page, Queue::Active);
                }
                None => {
                    self.remember(&nodes, key);
                    self.put(&nodes, page, Queue::Inactive);
                }
            },
            (Some(Queue::Inactive), false) => {
                if self.queues.was_unused(&nodes, page)
                    && let Some(record) = self.records.find(key)
                {
                    self.forget(&nodes, record);
                }
                self.queues.take(&nodes, page);
                self.filled.set(true);
                return Verdict::Evict;
            }
        }
        Verdict::Keep
    }

    pub fn check_invariants(&self, segments: &Segments) {
        let nodes = self.nodes(segments);
        let mut records = 0;
        self.queues.check_invariants(&nodes, |_| records += 1);
        self.records.check_invariants();
        assert_eq!(records, self.records.len(), "C1");
        assert_eq!(self.queues.marked(segments), self.counts().pages(), "Q1");
    }

    /// Whether the next page that comes while memory is filling is cold. Where there are many it is so
    /// by runs, since neighbours that leave together come back together.
    fn begins_cold(counts: Counts) -> bool {
        if counts.pages() < RUN * COLD {
            counts.cold() <= counts.pages() / COLD
        } else {
            (counts.pages() / RUN).is_multiple_of(COLD)
        }
    }

    /// The cold pages that there are to be.
    fn cold_share(&self, pages: u32) -> u32 {
        (pages / COLD).max(2)
    }

    /// The oldest hot page. The records that are older are given up: their tests are over. `None` if
    /// that takes longer.
    fn oldest_hot(&self, nodes: &Nodes<'_>) -> Option<u32> {
        for _ in 0..STEP {
            let oldest = self.queues.list(Queue::Active).oldest()?;
            if oldest & RECORD == 0 {
                return Some(oldest);
            }
            self.forget(nodes, oldest);
        }
        None
    }

    /// Begins a page's test. Records beyond the number of pages are given up, the oldest first.
    fn remember(&self, nodes: &Nodes<'_>, key: u64) {
        let counts = self.counts();
        for _ in 0..STEP {
            let many = self.records.len() > counts.pages() + counts.cold();
            match self.records.oldest() {
                Some(oldest) if many || self.records.is_full() => self.forget(nodes, oldest),
                _ => break,
            }
        }
        if let Some(record) = self.records.make(key) {
            self.queues
                .list(Queue::Active)
                .put(nodes, record, End::Newest);
        }
    }

    /// Ends a test.
    fn forget(&self, nodes: &Nodes<'_>, record: u32) {
        self.queues.list(Queue::Active).take(nodes, record);
        self.records.give_up(record);
    }

    fn put(&self, nodes: &Nodes<'_>, page: u32, queue: Queue) {
        self.queues.put(nodes, page, queue, End::Newest);
    }

    fn nodes<'a>(&'a self, segments: &'a Segments) -> Nodes<'a> {
        Nodes {
            segments,
            records: Some(self.records.table()),
        }
    }
}
