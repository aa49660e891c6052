//! Promises: how much memory programs have been told that they have, and how much they may be told.
//!
//! Memory is promised long before it is used, and mostly more than ever will be. What counts is
//! what may have to be found later without anyone being asked again: pages of private mappings that
//! were writable once (each may need a copy of its own), and the sizes of anonymous objects. What
//! maps files or devices shared needs nothing that is not there already.
//!
//! Invariants:
//! - **K1** the count is the sum, over all entries with the attribute `promised`, of their pages,
//!   and over all anonymous objects with a size that were not made without reserve, of theirs.
//! - **K2** an entry that may be written, is private, and was not made without reserve, is promised;
//!   and it stays so when it loses the right to write, since what it has copied stays.
//!
//! Who makes a promise counts it first, and takes it back if the rest fails. An entry's is taken
//! back where the entry ends (`MapWrite::detach`), an object's where that ends or shrinks. There is
//! no lock: the count is one word.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU64};

use crate::addr::{PAGE_SHIFT, Prot};
use crate::error::NotPromised;
use crate::machine::Machine;
use crate::map::{Attributes, MapWrite};
use crate::request::Share;
use crate::vm::Vm;

/// How much may be promised; see [`Vm::set_commit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Commit {
    /// Anything.
    #[default]
    Always,
    /// Anything but, at one time, more than memory and swap together.
    Heuristic,
    /// So many pages and no more, so that memory never runs out.
    Strict {
        /// The limit.
        limit_pages: u64,
    },
}

/// What is promised, and what may be.
pub(crate) struct Promises {
    pages: AtomicU64,
    /// All ones if there is no limit.
    limit: AtomicU64,
    heuristic: AtomicBool,
}

impl Promises {
    pub const fn new() -> Promises {
        Promises {
            pages: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            heuristic: AtomicBool::new(false),
        }
    }

    /// Pages promised.
    pub fn pages(&self) -> u64 {
        self.pages.load(Relaxed)
    }

    /// Pages that may be promised; all ones for any number.
    pub fn limit(&self) -> u64 {
        self.limit.load(Relaxed)
    }
}

impl Attributes {
    /// The same with the mark that such an entry must have (K2).
    pub fn promise(self) -> Attributes {
        let private = self.share == Share::Private;
        let writable = self.prot.contains(Prot::WRITE);
        Attributes {
            promised: private && (self.promised || writable && !self.no_reserve),
            ..self
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Says how much memory may be promised to programs. What is promised stays so: a limit below
    /// it refuses more, until it has become less.
    pub fn set_commit(&self, commit: Commit) {
        let limit = match commit {
            Commit::Always | Commit::Heuristic => u64::MAX,
            Commit::Strict { limit_pages } => limit_pages.min(u64::MAX - 1),
        };
        self.promises.limit.store(limit, Relaxed);
        let heuristic = commit == Commit::Heuristic;
        self.promises.heuristic.store(heuristic, Relaxed);
    }

    /// Whether a mapping may be made without reserve.
    pub(crate) fn may_skip_reserve(&self) -> bool {
        self.promises.limit() == u64::MAX
    }

    /// Counts a promise, if it may be made. `credit` pages are about to be taken back by the same
    /// operation, so they do not stand against it.
    pub(crate) fn promise(&self, pages: u64, credit: u64) -> Result<(), NotPromised> {
        if pages == 0 {
            return Ok(());
        }
        if self.promises.heuristic.load(Relaxed)
            && pages > self.frames.total().saturating_add(self.swap.total())
        {
            return Err(NotPromised);
        }
        let most = self.promises.limit().saturating_add(credit);
        let add = |now: u64| now.checked_add(pages).filter(|&sum| sum <= most);
        let counted = self.promises.pages.fetch_update(Relaxed, Relaxed, add);
        counted.map(|_| ()).map_err(|_| NotPromised)
    }

    /// Takes back what was promised.
    pub(crate) fn take_back(&self, pages: u64) {
        if pages > 0 {
            let before = self.promises.pages.fetch_sub(pages, Relaxed);
            debug_assert!(before >= pages, "K1: what is taken back was promised");
        }
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Pages of a range that are promised.
    pub(crate) fn promised_in(&self, start: usize, end: usize) -> u64 {
        let bytes = self.bytes_like(start, end, |attributes| attributes.promised);
        (bytes >> PAGE_SHIFT) as u64
    }
}
