//! [`Space`]: a space with its lock held, and how its tables are walked.
//!
//! Neighbours: `enter.rs` and `range.rs` have the verbs.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

use scalvm::{Machine, Mapping, Prot, SpinGuard, TableFrames};

use crate::format::Format;
use crate::radix::RadixPmap;
use crate::table::{Table, index};

/// How the MMU gets to a leaf.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// The table that the leaf is in.
    pub leaves: Table,
    /// Whether all links on the way grant the right to write.
    pub writable: bool,
}

/// A space whose lock is held.
pub(crate) struct Space<'a, F: Format, M, T> {
    pub pmap: &'a RadixPmap<F>,
    pub machine: &'a M,
    pub tables: &'a T,
}

impl<F: Format, M, T> Clone for Space<'_, F, M, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: Format, M, T> Copy for Space<'_, F, M, T> {}

impl<'a, F: Format, M: Machine, T: TableFrames> Space<'a, F, M, T> {
    /// The word of a table of this level (invariant 2).
    #[inline(always)]
    pub fn word(self, table: Table, level: usize) -> &'a AtomicU64 {
        if level == F::LEVELS - 1 {
            &self.pmap.lines
        } else {
            self.tables.word(table.frame)
        }
    }
}

impl<'a, F: Format, M: Machine, T> Space<'a, F, M, T> {
    /// The space whose lock `_guard` holds, for as long as it does. (The guard is borrowed, not
    /// owned, so that a space can be handed about in registers.)
    #[inline(always)]
    pub fn new(
        pmap: &'a RadixPmap<F>,
        machine: &'a M,
        tables: &'a T,
        _guard: &'a SpinGuard<'_, M>,
    ) -> Self {
        Space {
            pmap,
            machine,
            tables,
        }
    }

    /// The root table.
    #[inline(always)]
    pub fn root(self) -> Table {
        // SAFETY: the root is a table until `free_all`, which nobody else can be running: it has
        // the pmap for itself. (The kernel's stays for ever.) Half of its entries lie behind `half`,
        // and no index into it goes further.
        unsafe { Table::at(self.machine, self.pmap.root).from(self.pmap.half) }
    }

    /// The table that a link, read from a table of this space, leads to.
    #[inline(always)]
    pub fn below(self, link: u64) -> Table {
        // SAFETY: links lead to tables, which are unlinked under this lock before they are freed.
        unsafe { Table::at(self.machine, F::frame(link)) }
    }

    /// Which entry of the table stands for the address; of the root, counted from the half that the
    /// space is: never one of the other's.
    #[inline(always)]
    pub fn index(va: usize, level: usize) -> usize {
        if level == F::LEVELS - 1 {
            index::<F>(va, level) % F::USER_ENTRIES
        } else {
            index::<F>(va, level)
        }
    }

    /// The way to the leaf for the address, if there is one. (To a large one none leads.)
    #[inline(always)]
    pub fn way(self, va: usize) -> Option<Way> {
        let mut way = Way {
            leaves: self.root(),
            writable: true,
        };
        for level in (1..F::LEVELS).rev() {
            let link = way.leaves.load(Self::index(va, level));
            if link == 0 || level == 1 && F::is_large(link) {
                return None;
            }
            way.writable &= F::grants_write(link);
            way.leaves = self.below(link);
        }
        Some(way)
    }

    /// The mapping at the address.
    #[inline]
    pub fn query(self, va: usize) -> Option<Mapping> {
        let Some(way) = self.way(va) else {
            return self.query_large(va);
        };
        let leaf = way.leaves.load(Self::index(va, 0));
        (leaf != 0).then(|| Self::mapping(va, leaf, way.writable))
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
            large: false,
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

    /// Adds to a count that this lock covers; the sum may wrap around.
    #[inline(always)]
    pub fn count(count: &AtomicUsize, more: usize) {
        count.store(count.load(Relaxed).wrapping_add(more), Relaxed);
    }
}
