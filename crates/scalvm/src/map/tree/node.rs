//! What an entry of a [`Tree`](super::Tree) carries, and the parts of it.

use core::ops::Not;

use super::Ranged;
use crate::kmem::Ptr;
use crate::sync::Field;

/// One of the two sides of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// Lower addresses.
    Below = 0,
    /// Higher addresses.
    Above = 1,
}

impl Not for Side {
    type Output = Side;
    #[inline(always)]
    fn not(self) -> Side {
        match self {
            Side::Below => Side::Above,
            Side::Above => Side::Below,
        }
    }
}

/// An entry's place in a tree, and its neighbours.
pub(crate) struct Node<T> {
    links: [Link<T>; 2],
    parent: Field<Option<Ptr<T>>>,
    prev: Field<Option<Ptr<T>>>,
    next: Field<Option<Ptr<T>>>,
}

/// Leads to the part of the tree that lies on one side of an entry.
pub(super) struct Link<T> {
    child: Field<Option<Ptr<T>>>,
    /// A size, a multiple of the page size; the lowest bit is [`TALL`].
    word: Field<usize>,
}

/// The tree under this link is higher than that under the entry's other one.
const TALL: usize = 1;

impl<T: Ranged> Node<T> {
    /// In no tree.
    pub fn new() -> Node<T> {
        Node {
            links: [Link::new(), Link::new()],
            parent: Field::new(None),
            prev: Field::new(None),
            next: Field::new(None),
        }
    }

    #[inline(always)]
    pub(super) fn link(&self, side: Side) -> &Link<T> {
        &self.links[side as usize]
    }

    /// The side on which this child is.
    #[inline(always)]
    pub(super) fn side_of(&self, child: Ptr<T>) -> Side {
        if self.link(Side::Above).leads_to(child) {
            Side::Above
        } else {
            Side::Below
        }
    }

    /// The largest gap in the tree under this entry.
    #[inline(always)]
    pub(super) fn largest(&self) -> usize {
        let (below, above) = (self.links[0].word.get(), self.links[1].word.get());
        below.max(above) & !TALL
    }

    #[inline(always)]
    pub(super) fn parent(&self) -> Option<Ptr<T>> {
        self.parent.get()
    }

    #[inline(always)]
    pub(super) fn set_parent(&self, parent: Option<Ptr<T>>) {
        self.parent.set(parent);
    }

    #[inline(always)]
    pub(super) fn prev(&self) -> Option<Ptr<T>> {
        self.prev.get()
    }

    #[inline(always)]
    pub(super) fn set_prev(&self, prev: Option<Ptr<T>>) {
        self.prev.set(prev);
    }

    #[inline(always)]
    pub(super) fn next(&self) -> Option<Ptr<T>> {
        self.next.get()
    }

    #[inline(always)]
    pub(super) fn set_next(&self, next: Option<Ptr<T>>) {
        self.next.set(next);
    }
}

impl<T: Ranged> Link<T> {
    fn new() -> Link<T> {
        Link {
            child: Field::new(None),
            word: Field::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn child(&self) -> Option<Ptr<T>> {
        self.child.get()
    }

    #[inline(always)]
    pub(super) fn leads_to(&self, entry: Ptr<T>) -> bool {
        Ptr::into_raw(self.child.get()) == entry.as_ptr()
    }

    #[inline(always)]
    pub(super) fn set_child(&self, child: Option<Ptr<T>>) {
        self.child.set(child);
    }

    #[inline(always)]
    pub(super) fn size(&self) -> usize {
        self.word.get() & !TALL
    }

    /// Whether the size is at least `len`, a multiple of the page size.
    #[inline(always)]
    pub(super) fn holds(&self, len: usize) -> bool {
        self.word.get() >= len
    }

    #[inline(always)]
    pub(super) fn is_tall(&self) -> bool {
        self.word.get() & TALL != 0
    }

    #[inline(always)]
    pub(super) fn set(&self, size: usize, tall: bool) {
        self.word.set(size | tall as usize);
    }

    #[inline(always)]
    pub(super) fn set_tall(&self, tall: bool) {
        self.set(self.size(), tall);
    }

    /// Sets the size; false if it was that before.
    #[inline(always)]
    pub(super) fn set_size(&self, size: usize) -> bool {
        let word = self.word.get();
        let change = (word ^ size) & !TALL;
        if change == 0 {
            return false;
        }
        self.word.set(word ^ change);
        true
    }

    /// Everything as in another link, which loses its child to this one's entry.
    #[inline(always)]
    pub(super) fn copy(&self, other: &Link<T>) {
        self.child.set(other.child.get());
        self.word.set(other.word.get());
    }
}

const _: () = assert!(size_of::<Node<()>>() <= 56);
