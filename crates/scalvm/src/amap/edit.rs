//! Changing an amap: finding the place for an anon, with all that lies on the way to it unshared.

use super::{Amap, Node, SLOTS};
use crate::anon::Anon;
use crate::error::OutOfMemory;
use crate::kmem::{Child, Ptr};
use crate::machine::Machine;
use crate::vm::Vm;

/// A slot of a chunk.
pub(crate) struct Place<M: Machine> {
    chunk: Ptr<Node<M>>,
    slot: usize,
}

impl<M: Machine> Clone for Place<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Place<M> {}

impl<M: Machine> Place<M> {
    /// The anon that lies here.
    #[inline(always)]
    pub fn anon(self) -> Option<Ptr<Anon<M>>> {
        self.chunk.anon(self.slot)
    }

    /// Notes that the anon that lies here is mapped now (M4).
    #[inline(always)]
    pub fn set_mapped(self) {
        self.chunk.set_mapped(self.slot);
    }

    /// Notes that it is mapped through no object that has the chunk (M4). Only one has it.
    pub fn clear_mapped(self) {
        self.chunk.clear_mapped(self.slot);
    }
}

/// A slot of a chunk that only one object has: what lies there may be replaced.
pub(crate) struct OwnPlace<M: Machine>(Place<M>);

impl<M: Machine> OwnPlace<M> {
    /// The slot.
    #[inline(always)]
    pub fn place(&self) -> Place<M> {
        self.0
    }

    /// Puts an anon here. The caller has taken over the reference of what lay here.
    pub fn set(&self, anon: Ptr<Anon<M>>) {
        let Place { chunk, slot } = self.0;
        chunk.set_child(slot, Some(Child::Right(anon)));
    }
}

impl<M: Machine> Amap<M> {
    /// The slot for `index`, if its chunk is there.
    #[inline]
    pub fn place(&self, index: u32) -> Option<Place<M>> {
        let chunk = self.chunk(index)?;
        Some(Place {
            chunk,
            slot: index as usize % SLOTS,
        })
    }

    /// The way to the slot for `index`, as far as nothing on it is shared.
    #[inline]
    pub fn own_way(&self, index: u32) -> Way<M> {
        let Some(mut node) = self.root.get() else {
            return Way::Unknown;
        };
        if self.refs() != 1 || !node.covers(self.base.get(), index) {
            return Way::Unknown;
        }
        while node.refs() == 1 {
            if node.level() == 0 {
                let slot = index as usize % SLOTS;
                return Way::Own(OwnPlace(Place { chunk: node, slot }));
            }
            match node.child(index) {
                Some(child) => node = child,
                None => return Way::Ends(node),
            }
        }
        Way::Unknown
    }
}

/// How far the way to a slot is an object's own.
pub(crate) enum Way<M: Machine> {
    /// All of it.
    Own(OwnPlace<M>),
    /// All of it, but it ends at this node: there is no anon.
    Ends(Ptr<Node<M>>),
    /// Something on it is shared, or the root does not cover the index.
    Unknown,
}

impl<M: Machine> Vm<M> {
    /// The place for `index` in an amap that has one reference. On failure the amap holds what it
    /// held.
    pub(crate) fn amap_place(
        &self,
        amap: Ptr<Amap<M>>,
        index: u32,
    ) -> Result<OwnPlace<M>, OutOfMemory> {
        let mut node = self.amap_root(amap, index)?;
        while node.level() > 0 {
            let slot = node.slot(index);
            let Some(Child::Left(child)) = node.get(slot) else {
                break;
            };
            let child = self.own_node(child)?;
            node.set_child(slot, Some(Child::Left(child)));
            node = child;
        }
        self.extend_way(node, index)
    }

    /// Makes what is lacking on the way to the slot for `index` below a node of one's own.
    pub(crate) fn extend_way(
        &self,
        node: Ptr<Node<M>>,
        index: u32,
    ) -> Result<OwnPlace<M>, OutOfMemory> {
        let mut node = node;
        while node.level() > 0 {
            let child = self.new_node(node.level() - 1)?;
            node.set_child(node.slot(index), Some(Child::Left(child)));
            node = child;
        }
        let slot = index as usize % SLOTS;
        Ok(OwnPlace(Place { chunk: node, slot }))
    }

    /// A root that covers `index` and has one reference.
    fn amap_root(&self, amap: Ptr<Amap<M>>, index: u32) -> Result<Ptr<Node<M>>, OutOfMemory> {
        let Some(mut root) = amap.root.get() else {
            let root = self.new_node(0)?;
            amap.base.set(index & !root.span_mask());
            amap.root.set(Some(root));
            return Ok(root);
        };
        while !root.covers(amap.base.get(), index) {
            let upper = self.new_node(root.level() + 1)?;
            let base = amap.base.get();
            upper.set_child(upper.slot(base), Some(Child::Left(root)));
            amap.base.set(base & !upper.span_mask());
            amap.root.set(Some(upper));
            root = upper;
        }
        let own = self.own_node(root)?;
        amap.root.set(Some(own));
        Ok(own)
    }
}
