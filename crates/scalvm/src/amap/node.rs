//! The nodes of an amap.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::anon::Anon;
use crate::error::OutOfMemory;
use crate::kmem::{Child, Ptr, Slot};
use crate::machine::Machine;
use crate::sync::Field;
use crate::vm::Vm;

/// Slots of a node: one bit each of a word.
pub(crate) const SLOTS: usize = 64;
const SHIFT: u32 = SLOTS.trailing_zeros();

/// A directory of nodes or, at level 0, a chunk of anons.
pub(crate) struct Node<M: Machine> {
    refs: Field<u32>,
    level: Field<u32>,
    used: Field<u64>,
    /// Of a chunk: which anons may be mapped (M4). Other objects that share the chunk set bits too.
    mapped: AtomicU64,
    slots: [Slot<Node<M>, Anon<M>>; SLOTS],
}

impl<M: Machine> Node<M> {
    /// An empty node with one reference.
    pub fn new(level: u32) -> Node<M> {
        Node {
            refs: Field::new(1),
            level: Field::new(level),
            used: Field::new(0),
            mapped: AtomicU64::new(0),
            slots: [const { Slot::empty() }; SLOTS],
        }
    }

    #[inline(always)]
    pub fn level(&self) -> u32 {
        self.level.get()
    }

    #[inline(always)]
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// How many nodes and amaps name it.
    #[inline(always)]
    pub fn refs(&self) -> u32 {
        self.refs.atomic().load(Acquire)
    }

    pub fn share(&self) {
        self.refs.atomic().fetch_add(1, Relaxed);
    }

    /// Takes one reference off; true if that was the last.
    pub(super) fn unshare(&self) -> bool {
        self.refs.atomic().fetch_sub(1, AcqRel) == 1
    }

    /// The number of index bits that choose among all that this node covers.
    #[inline(always)]
    pub fn span_bits(&self) -> u32 {
        SHIFT * (self.level() + 1)
    }

    /// The index bits within what this node covers.
    #[inline(always)]
    pub fn span_mask(&self) -> u32 {
        (((1u64) << self.span_bits()) - 1) as u32
    }

    /// Whether a node that begins at `base` covers `index`.
    #[inline(always)]
    pub fn covers(&self, base: u32, index: u32) -> bool {
        (base ^ index) & !self.span_mask() == 0
    }

    /// The slot for `index`.
    #[inline(always)]
    pub fn slot(&self, index: u32) -> usize {
        (index >> (SHIFT * self.level())) as usize % SLOTS
    }

    /// The node below for `index`.
    #[inline(always)]
    pub fn child(&self, index: u32) -> Option<Ptr<Node<M>>> {
        match self.slots[self.slot(index)].get() {
            Some(Child::Left(node)) => Some(node),
            _ => None,
        }
    }

    /// The anon in a slot of a chunk.
    #[inline(always)]
    pub fn anon(&self, slot: usize) -> Option<Ptr<Anon<M>>> {
        match self.slots[slot].get() {
            Some(Child::Right(anon)) => Some(anon),
            _ => None,
        }
    }

    pub fn set_child(&self, slot: usize, child: Option<Child<Node<M>, Anon<M>>>) {
        let bit = 1u64 << slot;
        let used = self.used.get();
        self.used.set(if child.is_some() {
            used | bit
        } else {
            used & !bit
        });
        self.slots[slot].set(child);
    }

    pub(super) fn get(&self, slot: usize) -> Option<Child<Node<M>, Anon<M>>> {
        self.slots[slot].get()
    }

    /// Tells that the anon in this slot of a chunk is mapped now (M4).
    #[inline(always)]
    pub fn set_mapped(&self, slot: usize) {
        let bit = 1u64 << slot;
        if self.mapped.load(Relaxed) & bit == 0 {
            self.mapped.fetch_or(bit, Relaxed);
        }
    }

    /// Tells that it is not mapped (M4).
    pub fn clear_mapped(&self, slot: usize) {
        self.mapped.fetch_and(!(1 << slot), Relaxed);
    }

    /// Which anons of a chunk may be mapped.
    pub fn mapped(&self) -> u64 {
        self.mapped.load(Relaxed)
    }

    /// Calls `f` for each anon from index `first` to `last` until it says true; tells whether it did.
    pub fn any(
        &self,
        base: u32,
        first: u32,
        last: u32,
        f: &mut impl FnMut(u32, Ptr<Anon<M>>) -> bool,
    ) -> bool {
        for slot in bits(self.used()) {
            let (from, to) = self.range_of(base, slot);
            if from > last {
                break;
            }
            if to < first {
                continue;
            }
            let found = match self.get(slot) {
                Some(Child::Left(node)) => node.any(from, first, last, f),
                Some(Child::Right(anon)) => f(from, anon),
                None => false,
            };
            if found {
                return true;
            }
        }
        false
    }

    /// The first and last index that a slot covers, in a node that begins at `base`.
    pub(super) fn range_of(&self, base: u32, slot: usize) -> (u32, u32) {
        let shift = SHIFT * self.level();
        let from = base + ((slot as u32) << shift);
        (from, from + ((1u64 << shift) - 1) as u32)
    }
}

/// The numbers of the bits that are set.
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        (word != 0).then(|| {
            let bit = word.trailing_zeros() as usize;
            word &= word - 1;
            bit
        })
    })
}

impl<M: Machine> Vm<M> {
    /// An empty node with one reference.
    pub(super) fn new_node(&self, level: u32) -> Result<Ptr<Node<M>>, OutOfMemory> {
        self.nodes
            .alloc_with(&self.machine, &self.frames, || Node::new(level))
    }

    /// One reference less; the last one lets go of all that the node holds.
    pub(crate) fn release_node(&self, node: Ptr<Node<M>>) {
        if !node.unshare() {
            return;
        }
        for slot in bits(node.used()) {
            match node.get(slot) {
                Some(Child::Left(child)) => self.release_node(child),
                Some(Child::Right(anon)) => self.release_anon(anon),
                None => {}
            }
        }
        self.nodes.free(&self.machine, &self.frames, node);
    }

    /// A node with one reference in the place of one that may have more: a copy that shares all
    /// children, and one reference less on the original.
    pub(super) fn own_node(&self, node: Ptr<Node<M>>) -> Result<Ptr<Node<M>>, OutOfMemory> {
        if node.refs() == 1 {
            return Ok(node);
        }
        let copy = self.new_node(node.level())?;
        for slot in bits(node.used()) {
            let child = node.get(slot);
            match child {
                Some(Child::Left(node)) => node.share(),
                Some(Child::Right(anon)) => anon.share(),
                None => {}
            }
            copy.slots[slot].set(child);
        }
        copy.used.set(node.used());
        copy.mapped.store(node.mapped(), Relaxed);
        self.release_node(node);
        Ok(copy)
    }
}
