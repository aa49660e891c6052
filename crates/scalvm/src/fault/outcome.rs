//! How faults end, and what to wait for.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Acquire;

use crate::addr::Access;
use crate::error::PagerError;
use crate::machine::Machine;
use crate::map::WatchEvents;
use crate::page::{BUSY, Page, WRITING};
use crate::vm::Vm;

/// How a fault ended.
#[derive(Debug)]
#[must_use]
pub enum Fault<'v> {
    /// The access can be tried again.
    Resolved,
    /// A page is being brought: wait, then call again.
    Wait(Ticket<'v>),
    /// There is no mapping at the address, or a guard.
    NoMapping,
    /// The mapping does not allow this access.
    Protection,
    /// The address lies beyond the end of the object that is mapped there.
    BeyondEnd,
    /// No memory.
    OutOfMemory,
    /// The pager failed.
    Pager(PagerError),
    /// Somebody watches the range ([`Map::watch`](crate::Map::watch)): have it served, then call again.
    Watched(WatchedFault),
    /// Whoever had the page has lost it ([`Map::poison`](crate::Map::poison)).
    Poisoned,
}

/// An access that a watcher is to be told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WatchedFault {
    /// The watcher.
    pub server: u32,
    /// Why: exactly one.
    pub event: WatchEvents,
    /// The page's address.
    pub page: usize,
    /// The access.
    pub access: Access,
}

/// Something to wait for: a page that is being read or written.
#[derive(Debug)]
pub struct Ticket<'v> {
    word: &'v AtomicU32,
    value: u32,
}

impl<'v> Ticket<'v> {
    /// For a page that was found busy or being written. Not all who end that hold the lock of the
    /// page's object: so the word is read first and the flags again after it, and a ticket for
    /// something that has ended meanwhile is due at once.
    pub(crate) fn new<M: Machine>(vm: &'v Vm<M>, page: &Page) -> Ticket<'v> {
        let word = vm.wait_word(page);
        let now = word.load(Acquire);
        let over = page.test_flags(BUSY | WRITING) == 0;
        Ticket {
            word,
            value: now.wrapping_sub(u32::from(over)),
        }
    }

    /// Whether what is waited for may have happened.
    pub fn is_due(&self) -> bool {
        self.word.load(Acquire) != self.value
    }

    /// Blocks until it is worth trying again. No lock of the manager is held.
    pub fn wait<M: Machine>(&self, vm: &Vm<M>) {
        while !self.is_due() {
            vm.machine.wait(self.word, self.value);
        }
    }
}
