//! What one processor has cached: translations, and ways to tables of leaves.
//!
//! A large leaf is cached for each of its pages at once, and each is forgotten by itself: as by
//! processors that cache large leaves in parts. No page may have translations of two sizes, nor may the
//! tables say another size than what is cached: entries of one size must be removed and flushed before
//! there is one of another (break before make).
//!
//! All of it belongs to the root table that the processor uses. It stays, right or wrong, until it
//! is flushed, the root is loaded again, or the processor forgets it unasked.

use std::collections::BTreeMap;

use scalvm::{Frame, PAGE_SHIFT, Scope};

use crate::arena::Arena;
use crate::rng::Rng;
use crate::walk::{self, Shape};

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
    /// Whether it comes from a large leaf.
    pub large: bool,
}

/// The upper levels of a walk: what the manuals call a paging-structure cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    /// The table of leaves, or that of level 1 where the large leaf is.
    pub table: Frame,
    /// The table's level. Only ways to tables of leaves are cached.
    pub level: u32,
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
    /// Ways to tables of leaves, by the number of the table's first page.
    pub ways: BTreeMap<usize, Way>,
    /// The shape of the tables.
    pub shape: Shape,
    evict_one_in: u64,
    rng: Rng,
}

impl Core {
    pub fn new(seed: u64, evict_one_in: u64, shape: Shape) -> Core {
        Core {
            root: None,
            pages: BTreeMap::new(),
            ways: BTreeMap::new(),
            shape,
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
        self.ways.remove(&self.shape.first_page(va));
    }

    /// Caches what a walk for an address has found: a large leaf for all of its pages.
    pub fn cache(&mut self, va: usize, way: Way, translation: Translation) {
        let page = va >> PAGE_SHIFT;
        let first = self.shape.first_page(va);
        let of_table = first..first + self.shape.leaves();
        let mut of_leaves = self.pages.range(of_table.clone());
        if let Some((page, cached)) =
            of_leaves.find(|(_, cached)| cached.large != translation.large)
        {
            panic!(
                "machine check: translations of two sizes at once, {cached:x?} for page {page:#x}, \
                 and {translation:x?} for {va:#x}"
            );
        }
        if !translation.large {
            self.ways.insert(first, way);
            self.pages.insert(page, translation);
            return;
        }
        for other in of_table {
            let frame = Frame(translation.frame.0 + other as u64 - page as u64);
            let translation = Translation {
                frame,
                ..translation
            };
            if other == page {
                self.pages.insert(other, translation);
            } else {
                // What is cached of other parts stays, right or wrong.
                self.pages.entry(other).or_insert(translation);
            }
        }
    }

    /// Panics if the tables have come to say another size for what is to be flushed: there was no break
    /// before that.
    pub fn expect_one_size(&self, arena: &Arena, root: Frame, scope: Scope) {
        let range = match scope {
            Scope::Nothing => return,
            Scope::All => 0..usize::MAX,
            Scope::Range { start, end } => start >> PAGE_SHIFT..end.div_ceil(1 << PAGE_SHIFT),
        };
        if self.root != Some(root) || range.is_empty() {
            return;
        }
        for (page, cached) in self.pages.range(range) {
            let now = walk::look(arena, self.shape, root, page << PAGE_SHIFT).1;
            assert!(
                now.is_none_or(|(now, _)| now.large == cached.large),
                "machine check: made before it was broken: the size of page {page:#x}, cached as \
                 {cached:x?}, in the tables {now:x?}"
            );
        }
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
