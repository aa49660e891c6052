//! Rotations, and what goes up the tree after a change: heights and sizes.

use super::node::Side;
use super::{Ranged, Tree};
use crate::kmem::Ptr;

impl<T: Ranged> Tree<T> {
    /// Puts `new`, or nothing, where the child `old` of `parent` (the root, if there is none)
    /// hangs. The link's size and mark are left as they are.
    pub(super) fn replace_child(&self, parent: Option<Ptr<T>>, old: Ptr<T>, new: Option<Ptr<T>>) {
        match parent {
            Some(parent) => parent
                .node()
                .link(parent.node().side_of(old))
                .set_child(new),
            None => self.root.set(new),
        }
        if let Some(new) = new {
            new.node().set_parent(parent);
        }
    }

    /// Makes the sizes right on the way up from an entry whose own links have changed size.
    pub(super) fn spread(&self, mut entry: Ptr<T>) {
        let mut size = entry.node().largest();
        while let Some(parent) = entry.node().parent() {
            let (below, above) = (
                parent.node().link(Side::Below),
                parent.node().link(Side::Above),
            );
            if above.leads_to(entry) {
                if !above.set_size(size) {
                    return;
                }
                size = size.max(below.size());
            } else {
                if !below.set_size(size) {
                    return;
                }
                size = size.max(above.size());
            }
            entry = parent;
        }
    }

    /// Makes heights and sizes right on the way up from an entry that was hung where nothing was.
    pub(super) fn grown(&self, mut entry: Ptr<T>) {
        while let Some(parent) = entry.node().parent() {
            let side = parent.node().side_of(entry);
            let (link, other) = (parent.node().link(side), parent.node().link(!side));
            let size = entry.node().largest();
            if link.is_tall() {
                return self.spread(self.restore(parent, side).0);
            }
            if other.is_tall() {
                other.set_tall(false);
                link.set(size, false);
                return self.spread(parent);
            }
            link.set(size, true);
            entry = parent;
        }
    }

    /// Makes heights and sizes right on the way up from a link whose tree has become one less high,
    /// and whose size is right.
    pub(super) fn shrunk(&self, mut parent: Ptr<T>, mut side: Side) {
        loop {
            let (link, other) = (parent.node().link(side), parent.node().link(!side));
            let top = if link.is_tall() {
                link.set_tall(false);
                parent
            } else if !other.is_tall() {
                other.set_tall(true);
                return self.spread(parent);
            } else {
                let (top, lower) = self.restore(parent, !side);
                if !lower {
                    return self.spread(top);
                }
                top
            };
            let Some(up) = top.node().parent() else {
                return;
            };
            side = up.node().side_of(top);
            up.node().link(side).set_size(top.node().largest());
            parent = up;
        }
    }

    /// Balances the tree under `entry`, which is two higher on this side than on the other, while
    /// all further down is balanced. Gives its new top, and whether it is now one less high.
    fn restore(&self, entry: Ptr<T>, side: Side) -> (Ptr<T>, bool) {
        let Some(child) = entry.node().link(side).child() else {
            return (entry, false);
        };
        let inner = child.node().link(!side);
        if let Some(grandchild) = inner.child()
            && inner.is_tall()
        {
            let node = grandchild.node();
            let (outer_tall, inner_tall) = (node.link(side).is_tall(), node.link(!side).is_tall());
            self.lift(child, grandchild, !side);
            self.lift(entry, grandchild, side);
            child.node().link(side).set_tall(inner_tall);
            entry.node().link(!side).set_tall(outer_tall);
            node.link(side).set_tall(false);
            return (grandchild, true);
        }
        let lower = child.node().link(side).is_tall();
        self.lift(entry, child, side);
        child.node().link(side).set_tall(false);
        child.node().link(!side).set_tall(!lower);
        entry.node().link(side).set_tall(!lower);
        (child, lower)
    }

    /// Rotates: hangs `entry` under its child on this side. The two links between them lose their
    /// marks.
    fn lift(&self, entry: Ptr<T>, child: Ptr<T>, side: Side) {
        let (outer, inner) = (entry.node().link(side), child.node().link(!side));
        let moved = inner.child();
        outer.set_child(moved);
        outer.set(inner.size(), false);
        if let Some(moved) = moved {
            moved.node().set_parent(Some(entry));
        }
        self.replace_child(entry.node().parent(), entry, Some(child));
        inner.set_child(Some(entry));
        inner.set(entry.node().largest(), false);
        entry.node().set_parent(Some(child));
    }
}
