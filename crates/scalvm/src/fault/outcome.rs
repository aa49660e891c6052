//! How faults end, and what to wait for.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::error::PagerError;
use crate::machine::Machine;
use crate::page::Page;
use crate::vm::Vm;

/// How a fault ended.
#[derive(Debug)]
#[must_use]
pub enum Fault<'v> {
    /// The access can be tried again.
    Resolved,
    /// A page is being brought: wait, then call again.
    Wait(Ticket<'v>),
    /// There is no mapping at the address.
    NoMapping,
    /// The mapping does not allow this access.
    Protection,
    /// The address lies beyond the end of the object that is mapped there.
    BeyondEnd,
    /// No memory.
    OutOfMemory,
    /// The pager failed.
    Pager(PagerError),
}

/// Something to wait for: a page that is being read or written.
#[derive(Debug)]
pub struct Ticket<'v> {
    word: &'v AtomicU32,
    value: u32,
}

impl<'v> Ticket<'v> {
    /// For a page whose object is locked.
    pub(crate) fn new<M: Machine>(vm: &'v Vm<M>, page: &Page) -> Ticket<'v> {
        let word = vm.wait_word(page);
        Ticket {
            word,
            value: word.load(Relaxed),
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
