//! [`Space`]: a space with its lock held, and how its tables are walked.
//!
//! Neighbours: `enter.rs` and `range.rs` have the verbs.

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use scalvm::{Machine, Mapping, Prot, Rank, SpinGuard};

use crate::format::Format;
use crate::radix::RadixPmap;
use crate::table::{Table, index};

/// A space whose lock is held; dropping it lets go.
pub(crate) struct Space<'a, F: Format, M: Machine, T> {
    pub pmap: &'a RadixPmap<F>,
    pub machine: &'a M,
    pub tables: &'a T,
    _guard: SpinGuard<'a, M>,
}

impl<'a, F: Format, M: Machine, T> Space<'a, F, M, T> {
    /// Takes the lock.
    #[inline(always)]
    pub fn lock(pmap: &'a RadixPmap<F>, machine: &'a M, tables: &'a T) -> Self {
        let guard = pmap.lock.lock(machine, Rank::Pmap);
        Space {
            pmap,
            machine,
            tables,
            _guard: guard,
        }
    }

    /// The root table.
    #[inline(always)]
    pub fn root(&self) -> Table {
        // SAFETY: the root is a table until `free_all`, which nobody else can be running: it has the pmap
        // for itself.
        unsafe { Table::at(self.machine, self.pmap.root) }
    }

    /// The table that a link, read from a table of this space, leads to.
    #[inline(always)]
    pub fn below(&self, link: u64) -> Table {
        // SAFETY: links lead to tables, which are unlinked under this lock before they are freed.
        unsafe { Table::at(self.machine, F::frame(link)) }
    }

    /// Which entry of the table stands for the address. Never one of the kernel's.
    #[inline(always)]
    pub fn index(va: usize, level: usize) -> usize {
        if level == F::LEVELS - 1 {
            index(va, level) % F::USER_ENTRIES
        } else {
            index(va, level)
        }
    }

    /// The table of leaves for the address, if there is one and the way to it grants the right to
    /// write where that is asked for.
    #[inline(always)]
    pub fn leaves(&self, va: usize, write: bool) -> Option<Table> {
        let mut table = self.root();
        for level in (1..F::LEVELS).rev() {
            let link = table.load(Self::index(va, level));
            if !F::passes(link, write) {
                return None;
            }
            table = self.below(link);
        }
        Some(table)
    }

    /// The mapping at the address.
    #[inline]
    pub fn query(&self, va: usize) -> Option<Mapping> {
        let leaves = self.leaves(va, false)?;
        let leaf = leaves.load(Self::index(va, 0));
        (leaf != 0).then(|| Self::mapping(va, leaf, self.leaves(va, true).is_some()))
    }

    /// What a leaf says, where the links above it grant the right to write, or not.
    #[inline(always)]
    pub fn mapping(va: usize, leaf: u64, writable: bool) -> Mapping {
        Mapping {
            va,
            frame: F::frame(leaf),
            prot: Self::effective(leaf, writable),
            accessed: F::accessed(leaf),
            dirty: F::dirty(leaf),
            managed: F::managed(leaf),
        }
    }

    /// The rights that a leaf grants together with the links above it.
    #[inline(always)]
    pub fn effective(leaf: u64, writable: bool) -> Prot {
        let prot = F::prot(leaf);
        if writable {
            prot
        } else {
            prot.difference(Prot::WRITE)
        }
    }

    /// Adds to a count that this lock covers.
    #[inline(always)]
    pub fn count(count: &AtomicUsize, more: usize) {
        count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
    }
}
