//! Entries go.

use super::node::Side;
use super::{Ranged, Tree};
use crate::kmem::Ptr;

impl<T: Ranged> Tree<T> {
    /// Takes an entry out; it and the gaps beside it become one gap.
    pub fn remove(&self, entry: Ptr<T>) {
        let node = entry.node();
        let (prev, next) = (node.prev(), node.next());
        match prev {
            Some(prev) => prev.node().set_next(next),
            None => self.first.set(next),
        }
        match next {
            Some(next) => next.node().set_prev(prev),
            None => self.last.set(prev),
        }
        if self.hint.get() == Some(entry) {
            self.hint.set(None);
        }
        let gap = self.between(prev, next);
        match (
            node.link(Side::Below).child(),
            node.link(Side::Above).child(),
            prev,
            next,
        ) {
            // A neighbour takes its place: that on the higher side, where it costs no rotation.
            (Some(_), Some(_), Some(prev), Some(next)) => {
                if node.link(Side::Below).is_tall() {
                    self.inherit(entry, Side::Below, prev, next, gap);
                } else {
                    self.inherit(entry, Side::Above, next, prev, gap);
                }
            }
            (Some(child), ..) => self.cut(entry, Some((child, Side::Above)), gap),
            (None, Some(child), ..) => self.cut(entry, Some((child, Side::Below)), gap),
            (None, None, ..) => self.cut(entry, None, gap),
        }
    }

    /// Takes out an entry that has at most one child, which then is a leaf and faces it with this
    /// side.
    fn cut(&self, entry: Ptr<T>, child: Option<(Ptr<T>, Side)>, gap: usize) {
        let parent = entry.node().parent();
        let mut size = gap;
        if let Some((child, side)) = child {
            child.node().set_parent(parent);
            child.node().link(side).set_size(gap);
            size = child.node().largest();
        }
        let child = child.map(|(child, _)| child);
        match parent {
            Some(parent) => {
                let side = parent.node().side_of(entry);
                parent.node().link(side).set_child(child);
                parent.node().link(side).set_size(size);
                self.shrunk(parent, side);
            }
            None => self.root.set(child),
        }
    }

    /// Takes out an entry that has two children. The neighbour `heir` on this side takes its place;
    /// so the gap comes to lie beside `other`, the neighbour on the other side. Both neighbours are
    /// further down than the entry, and have no child on the side that faces it.
    fn inherit(&self, entry: Ptr<T>, side: Side, heir: Ptr<T>, other: Ptr<T>, gap: usize) {
        if other.node().link(side).set_size(gap) {
            self.spread(other);
        }
        let (node, heir_node) = (entry.node(), heir.node());
        let outer = heir_node.link(side);
        let (mut parent, mut short) = (heir, side);
        match heir_node.parent() {
            Some(up) if up != entry => {
                let facing = up.node().link(!side);
                facing.set_child(outer.child());
                facing.set_size(outer.size());
                if let Some(child) = outer.child() {
                    child.node().set_parent(Some(up));
                }
                outer.copy(node.link(side));
                if let Some(child) = outer.child() {
                    child.node().set_parent(Some(heir));
                }
                (parent, short) = (up, !side);
            }
            _ => outer.set_tall(node.link(side).is_tall()),
        }
        let inner = heir_node.link(!side);
        inner.copy(node.link(!side));
        if let Some(child) = inner.child() {
            child.node().set_parent(Some(heir));
        }
        self.replace_child(node.parent(), entry, Some(heir));
        self.shrunk(parent, short);
    }
}
