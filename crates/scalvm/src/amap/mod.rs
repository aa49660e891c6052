//! Amaps: which anon holds which page of an object (`vm_amap_t` in the seed).
//!
//! An amap is a radix tree whose nodes have 64 slots. The lowest nodes, the *chunks*, hold anons.
//! The root covers only as much of the index as is in use, so a small object has one chunk and no
//! more. Amaps are shared between objects, and nodes between amaps, by reference count; whatever
//! has a count above one is copied before it is changed:
//!
//! ```text
//!     object A ──► amap (refs 2) ◄── object B          after fork: one step, whatever the size
//!     object A ──► amap ──► node (refs 2) ◄── amap ◄── object B     after the first write
//! ```
//!
//! This is the seed's rule ("if >1, copy a new amap referring to the same anons, ++refcnt of all
//! anons in amap") carried out a chunk at a time, by the write that needs it.
//!
//! Invariants:
//! - **M1** an amap's or node's `refs` is the number of objects or nodes and amaps that name it.
//! - **M2** what has more than one reference does not change, and what has one is changed under the
//!   lock of its object. The one exception: objects that share something all stand on the same
//!   object, if on any; when that is truncated, what they have copied beyond its end is dropped for
//!   all of them at once, under its lock, which each of them takes with its own.
//! - **M3** bit i of `used` is set if and only if slot i holds something; a node other than the
//!   root is never empty for long: only the failure of an allocation leaves an empty one behind.
//! - **M4** bit i of a chunk's `mapped` (the seed's "actually mapped") is set while the anon in
//!   slot i may be mapped through an object that has this chunk. It may be set longer than that,
//!   never shorter.
//! - **M5** the child of a node of level n has level n - 1; an anon lies in a chunk, of level 0.

mod edit;
mod node;
mod wipe;

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::anon::Anon;
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::sync::Field;
use crate::vm::Vm;

pub(crate) use edit::{OwnPlace, Place, Way};
pub(crate) use node::{Node, SLOTS};

/// An index of anons.
pub(crate) struct Amap<M: Machine> {
    refs: Field<u32>,
    /// The first index that the root covers, a multiple of what it covers.
    base: Field<u32>,
    root: Field<Option<Ptr<Node<M>>>>,
}

impl<M: Machine> Amap<M> {
    /// An amap with nothing in it and one reference.
    pub fn new() -> Amap<M> {
        Amap {
            refs: Field::new(1),
            base: Field::new(0),
            root: Field::new(None),
        }
    }

    /// How many objects have it.
    #[inline]
    pub fn refs(&self) -> u32 {
        self.refs.atomic().load(Acquire)
    }

    /// One object more.
    pub fn share(&self) {
        self.refs.atomic().fetch_add(1, Relaxed);
    }

    /// The chunk that covers `index`, if there is one.
    #[inline]
    pub fn chunk(&self, index: u32) -> Option<Ptr<Node<M>>> {
        let mut node = self.root.get()?;
        if !node.covers(self.base.get(), index) {
            return None;
        }
        while node.level() > 0 {
            node = node.child(index)?;
        }
        Some(node)
    }

    /// The anon at `index`.
    #[inline]
    pub fn anon(&self, index: u32) -> Option<Ptr<Anon<M>>> {
        self.chunk(index)?.anon(index as usize % SLOTS)
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.root.get().is_none_or(|root| root.used() == 0)
    }

    /// Calls `f` for each anon from index `first` to `last`, both included, until it says true; tells
    /// whether it did.
    pub fn any(&self, first: u32, last: u32, mut f: impl FnMut(u32, Ptr<Anon<M>>) -> bool) -> bool {
        self.root
            .get()
            .is_some_and(|root| root.any(self.base.get(), first, last, &mut f))
    }

    /// The first index from `first` to `last`, both included, that has an anon which `is` accepts.
    pub fn first(
        &self,
        first: u32,
        last: u32,
        mut is: impl FnMut(Ptr<Anon<M>>) -> bool,
    ) -> Option<u32> {
        let mut found = None;
        self.any(first, last, |index, anon| {
            let is = is(anon);
            found = is.then_some(index);
            is
        });
        found
    }

    /// Calls `f` for each anon from index `first` to `last`, both included.
    pub fn for_each(&self, first: u32, last: u32, mut f: impl FnMut(u32, Ptr<Anon<M>>)) {
        self.any(first, last, |index, anon| {
            f(index, anon);
            false
        });
    }
}

impl<M: Machine> Vm<M> {
    /// One object less has the amap; the last one frees it and lets go of what it holds.
    pub(crate) fn release_amap(&self, amap: Ptr<Amap<M>>) {
        if amap.refs.atomic().fetch_sub(1, AcqRel) != 1 {
            return;
        }
        if let Some(root) = amap.root.get() {
            self.release_node(root);
        }
        self.amaps.free(&self.machine, &self.frames, amap);
    }

    /// A copy for one of the objects that share the amap: the nodes are now shared instead.
    pub(crate) fn copy_amap(&self, amap: Ptr<Amap<M>>) -> Result<Ptr<Amap<M>>, OutOfMemory> {
        let copy = self.fork_amap(amap)?;
        self.release_amap(amap);
        Ok(copy)
    }

    /// Another amap with the same nodes.
    pub(crate) fn fork_amap(&self, amap: Ptr<Amap<M>>) -> Result<Ptr<Amap<M>>, OutOfMemory> {
        let copy = self.amaps.alloc(&self.machine, &self.frames, Amap::new())?;
        copy.base.set(amap.base.get());
        copy.root.set(amap.root.get());
        if let Some(root) = amap.root.get() {
            root.share();
        }
        Ok(copy)
    }
}
