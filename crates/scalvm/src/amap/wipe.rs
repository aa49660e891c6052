//! Taking a range of anons out of an amap: first [`Vm::own_edges`], which may fail, then
//! [`Vm::wipe_amap`], which may not.

use super::node::bits;
use super::{Amap, Node};
use crate::error::OutOfMemory;
use crate::kmem::{Child, Ptr};
use crate::machine::Machine;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Copies the shared nodes that lie only partly between index `first` and `last`, in an amap
    /// that has one reference. They are the ones on the way to the two ends. On failure the amap
    /// holds what it held.
    pub(crate) fn own_edges(
        &self,
        amap: Ptr<Amap<M>>,
        first: u32,
        last: u32,
    ) -> Result<(), OutOfMemory> {
        let Some(root) = amap.root.get() else {
            return Ok(());
        };
        let base = amap.base.get();
        if first <= base && (base | root.span_mask()) <= last {
            return Ok(());
        }
        for index in [first, last] {
            let Some(root) = amap.root.get() else {
                return Ok(());
            };
            if !root.covers(base, index) {
                continue;
            }
            let mut node = self.own_node(root)?;
            amap.root.set(Some(node));
            while let Some(child) = node.child(index) {
                let own = self.own_node(child)?;
                node.set_child(node.slot(index), Some(Child::Left(own)));
                node = own;
            }
        }
        // Where an end lies outside of what the root covers, the root itself is still an edge.
        if let Some(root) = amap.root.get() {
            amap.root.set(Some(self.own_node(root)?));
        }
        Ok(())
    }

    /// Lets go of all anons from index `first` to `last`, both included, in an amap that has one
    /// reference and whose edges are its own; or in one that may be shared, for all who share it
    /// (M2).
    pub(crate) fn wipe_amap(&self, amap: Ptr<Amap<M>>, first: u32, last: u32) {
        let Some(root) = amap.root.get() else { return };
        let base = amap.base.get();
        let end = base | root.span_mask();
        if last < base || end < first {
            return;
        }
        if first > base || end > last {
            self.wipe_node(root, base, first, last);
            if root.used() != 0 {
                return;
            }
        }
        amap.root.set(None);
        self.release_node(root);
    }

    /// The same below a node that begins at `base`.
    fn wipe_node(&self, node: Ptr<Node<M>>, base: u32, first: u32, last: u32) {
        for slot in bits(node.used()) {
            let (from, to) = node.range_of(base, slot);
            if to < first || last < from {
                continue;
            }
            match node.get(slot) {
                Some(Child::Right(anon)) => {
                    node.set_child(slot, None);
                    self.release_anon(anon);
                }
                Some(Child::Left(child)) => {
                    if from < first || last < to {
                        self.wipe_node(child, from, first, last);
                        if child.used() != 0 {
                            continue;
                        }
                    }
                    node.set_child(slot, None);
                    self.release_node(child);
                }
                None => {}
            }
        }
    }
}
