//! The entries of an address space in the order of their addresses, and the gaps between them.
//!
//! A balanced search tree (AVL) threaded through the entries themselves: no operation needs memory
//! or can fail. A search tree of n entries has n + 1 empty links, and read from left to right these
//! *are* the gaps below, between and above the entries. So every link carries a size: an empty one
//! that of its gap, any other one that of the largest gap in the tree under it. One descent then
//! finds a gap that is long enough, and a rotation moves the sizes along with the links.
//!
//! The files: `node` (what an entry carries), `insert` and `remove`, `balance` (rotations, and
//! sizes that spread upwards), `gap` (the search for room), `check`.
//!
//! The map's lock protects all of it: held for reading, `find`, `at_or_above`, the gaps and the
//! neighbours may be asked for (by many at a time; the hint that `find` then writes is any entry of
//! the tree), held for writing, all else.
//!
//! Invariants:
//! 1. Each entry is longer than nothing; all lie within `low..high`, in ascending order, and do not
//!    overlap. The links, and the thread from `first` to `last` by `next` and back by `prev`, give
//!    them in this order.
//! 2. The tree under an entry's one link is at most one higher than that under the other, and the
//!    higher one's link is marked tall.
//! 3. An empty link's size is that of the gap there, less what the entry above keeps free below
//!    itself; another link's that of the largest gap in the tree under it.
//! 4. The hint, if there is one, is in the tree.

mod balance;
mod check;
mod gap;
mod insert;
mod node;
mod remove;
#[cfg(test)]
mod tests;

use crate::kmem::Ptr;
use crate::sync::Field;

pub(crate) use node::Node;
use node::Side;

/// What can be in a [`Tree`]: a range of whole pages with a [`Node`].
pub(crate) trait Ranged: Sized {
    fn node(&self) -> &Node<Self>;
    /// The first address.
    fn start(&self) -> usize;
    /// The end, exclusive.
    fn end(&self) -> usize;
    /// Where the room that it wants to have free below itself begins. It changes with the start
    /// alone.
    #[inline(always)]
    fn guard_start(&self) -> usize {
        self.start()
    }
}

/// Ranges in order; see the head of this file.
pub(crate) struct Tree<T: Ranged> {
    root: Field<Option<Ptr<T>>>,
    first: Field<Option<Ptr<T>>>,
    last: Field<Option<Ptr<T>>>,
    /// What was found or put in last: the next look is often for the same.
    hint: Field<Option<Ptr<T>>>,
    low: usize,
    high: usize,
}

impl<T: Ranged> Tree<T> {
    /// An empty tree for entries within `low..high`, both multiples of the page size.
    pub fn new(low: usize, high: usize) -> Tree<T> {
        debug_assert!(low <= high && (low | high) & crate::addr::PAGE_MASK == 0);
        Tree {
            root: Field::new(None),
            first: Field::new(None),
            last: Field::new(None),
            hint: Field::new(None),
            low,
            high,
        }
    }

    /// The lowest entry.
    #[inline]
    pub fn first(&self) -> Option<Ptr<T>> {
        self.first.get()
    }

    /// The highest entry.
    #[inline]
    pub fn last(&self) -> Option<Ptr<T>> {
        self.last.get()
    }

    /// The entry above this one.
    #[inline]
    pub fn next(entry: Ptr<T>) -> Option<Ptr<T>> {
        entry.node().next()
    }

    /// The entry below this one.
    #[inline]
    pub fn prev(entry: Ptr<T>) -> Option<Ptr<T>> {
        entry.node().prev()
    }

    /// The entry that holds the address.
    #[inline]
    pub fn find(&self, addr: usize) -> Option<Ptr<T>> {
        let hinted = self.hinted(addr);
        if hinted.is_some() {
            return hinted;
        }
        let entry = self
            .starting_at_or_below(addr)
            .filter(|entry| addr < entry.end())?;
        self.hint.set(Some(entry));
        Some(entry)
    }

    /// The hint, if it holds the address.
    #[inline(always)]
    fn hinted(&self, addr: usize) -> Option<Ptr<T>> {
        self.hint
            .get()
            .filter(|hint| hint.start() <= addr && addr < hint.end())
    }

    /// The lowest entry that ends above the address: the one that holds it, else the next one.
    pub fn at_or_above(&self, addr: usize) -> Option<Ptr<T>> {
        let hinted = self.hinted(addr);
        if hinted.is_some() {
            return hinted;
        }
        match self.starting_at_or_below(addr) {
            Some(entry) if addr < entry.end() => Some(entry),
            Some(entry) => entry.node().next(),
            None => self.first.get(),
        }
    }

    /// The highest entry that starts at or below the address.
    fn starting_at_or_below(&self, addr: usize) -> Option<Ptr<T>> {
        let mut found = None;
        let mut entry = self.root.get()?;
        loop {
            while entry.start() > addr {
                let Some(child) = entry.node().link(Side::Below).child() else {
                    return found;
                };
                entry = child;
            }
            found = Some(entry);
            let Some(child) = entry.node().link(Side::Above).child() else {
                return found;
            };
            entry = child;
        }
    }

    /// Empties the tree and gives its lowest entry, from which [`Tree::next`] still leads to all
    /// others in order, as long as none of them is put into a tree.
    pub fn take_all(&self) -> Option<Ptr<T>> {
        let first = self.first.get();
        for field in [&self.root, &self.first, &self.last, &self.hint] {
            field.set(None);
        }
        first
    }
}
