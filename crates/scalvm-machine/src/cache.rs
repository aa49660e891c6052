//! What one processor has cached: translations, and ways to tables of leaves.
//!
//! All of it belongs to the root table that the processor uses. It stays, right or wrong, until it
//! is flushed, the root is loaded again, or the processor forgets it unasked.

use std::collections::BTreeMap;

use scalvm::{Frame, PAGE_SHIFT, Scope};

use crate::rng::Rng;

/// log2 of the bytes that a table of leaves stands for.
pub(crate) const WAY_SHIFT: u32 = PAGE_SHIFT + 9;

/// A translation, as a walk found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Translation {
    /// The frame.
    pub frame: Frame,
    /// Whether all levels granted the right to write.
    pub write: bool,
    /// Whether all levels granted the right to execute.
    pub exec: bool,
    /// Whether all levels granted access to programs.
    pub user: bool,
    /// Whether the leaf was dirty already, so that stores need not make it so.
    pub dirty: bool,
    /// The leaf's bits that tell how caches treat the frame.
    pub cache: u64,
}

/// The upper levels of a walk: what the manuals call a paging-structure cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    /// The table of leaves.
    pub table: Frame,
    /// Whether all links granted the right to write.
    pub write: bool,
    /// Whether all links granted the right to execute.
    pub exec: bool,
    /// Whether all links granted access to programs.
    pub user: bool,
}

/// A processor's state.
#[derive(Debug)]
pub(crate) struct Core {
    /// The root table in use.
    pub root: Option<Frame>,
    /// Translations by page number.
    pub pages: BTreeMap<usize, Translation>,
    /// Ways by address, shifted by [`WAY_SHIFT`].
    pub ways: BTreeMap<usize, Way>,
    evict_one_in: u64,
    rng: Rng,
}

impl Core {
    pub fn new(seed: u64, evict_one_in: u64) -> Core {
        Core {
            root: None,
            pages: BTreeMap::new(),
            ways: BTreeMap::new(),
            evict_one_in,
            rng: Rng::new(seed),
        }
    }

    /// Uses another root table, or the same anew.
    pub fn set_root(&mut self, root: Option<Frame>) {
        self.root = root;
        self.pages.clear();
        self.ways.clear();
    }

    /// Forgets what may come from a scope.
    pub fn flush(&mut self, scope: Scope) {
        match scope {
            Scope::Nothing => return,
            Scope::All => self.pages.clear(),
            Scope::Range { start, end } => {
                let mut kept = self.pages.split_off(&(start >> PAGE_SHIFT));
                self.pages
                    .append(&mut kept.split_off(&end.div_ceil(1 << PAGE_SHIFT)));
            }
        }
        // As on real processors: whatever is flushed, ways go.
        self.ways.clear();
    }

    /// Forgets what concerns one address, as a fault does.
    pub fn forget(&mut self, va: usize) {
        self.pages.remove(&(va >> PAGE_SHIFT));
        self.ways.remove(&(va >> WAY_SHIFT));
    }

    /// Whether the machine's caprice will have it.
    pub fn caprice(&mut self) -> bool {
        self.rng.one_in(self.evict_one_in)
    }

    /// Forgets a translation or all ways, by chance.
    pub fn evict(&mut self) {
        let count = self.pages.len() as u64;
        let victim = self.rng.below(count + 1) as usize;
        match self.pages.keys().nth(victim).copied() {
            Some(page) => {
                self.pages.remove(&page);
            }
            None => self.ways.clear(),
        }
    }
}
