//! Entries come in, or change their size.

use super::node::Side;
use super::{Ranged, Tree};
use crate::kmem::Ptr;

impl<T: Ranged> Tree<T> {
    /// Puts an entry into a gap that holds it.
    pub fn insert(&self, entry: Ptr<T>) {
        self.insert_after(self.starting_at_or_below(entry.start()), entry);
    }

    /// The same, for one who knows the entry below (none: there is none below); nothing is
    /// searched.
    pub fn insert_after(&self, prev: Option<Ptr<T>>, entry: Ptr<T>) {
        let next = prev.map_or_else(|| self.first.get(), |prev| prev.node().next());
        debug_assert!(entry.start() < entry.end());
        debug_assert!(
            prev.is_none_or(|prev| prev.end() <= entry.start())
                && next.is_none_or(|next| entry.end() <= next.start()),
            "the gap does not hold the entry"
        );

        let node = entry.node();
        for (side, size) in [
            (Side::Below, self.between(prev, Some(entry))),
            (Side::Above, self.between(Some(entry), next)),
        ] {
            node.link(side).set_child(None);
            node.link(side).set(size, false);
        }
        node.set_prev(prev);
        node.set_next(next);
        match prev {
            Some(prev) => prev.node().set_next(Some(entry)),
            None => self.first.set(Some(entry)),
        }
        match next {
            Some(next) => next.node().set_prev(Some(entry)),
            None => self.last.set(Some(entry)),
        }
        self.hint.set(Some(entry));
        match Self::gap_link(prev, next) {
            Some((parent, side)) => {
                parent.node().link(side).set_child(Some(entry));
                node.set_parent(Some(parent));
                self.grown(entry);
            }
            None => {
                self.root.set(Some(entry));
                node.set_parent(None);
            }
        }
    }

    /// To be told after an entry's start or end has been changed, within the gaps beside it.
    pub fn resized(&self, entry: Ptr<T>) {
        debug_assert!(entry.start() < entry.end());
        let (prev, next) = (entry.node().prev(), entry.node().next());
        self.gap_changed(prev, Some(entry));
        self.gap_changed(Some(entry), next);
    }

    /// Makes the sizes right after the gap between two neighbours has changed.
    fn gap_changed(&self, prev: Option<Ptr<T>>, next: Option<Ptr<T>>) {
        if let Some((holder, side)) = Self::gap_link(prev, next)
            && holder.node().link(side).set_size(self.between(prev, next))
        {
            self.spread(holder);
        }
    }

    /// The size of the gap between two neighbours.
    pub(super) fn between(&self, prev: Option<Ptr<T>>, next: Option<Ptr<T>>) -> usize {
        let floor = prev.map_or(self.low, |prev| prev.end());
        let ceiling = next.map_or(self.high, |next| next.guard_start());
        ceiling.saturating_sub(floor)
    }

    /// The empty link that stands for the gap between two neighbours: one of them is further down
    /// the tree than the other, and has no child on that side. None in an empty tree.
    fn gap_link(prev: Option<Ptr<T>>, next: Option<Ptr<T>>) -> Option<(Ptr<T>, Side)> {
        match (prev, next) {
            (Some(prev), _) if prev.node().link(Side::Above).child().is_none() => {
                Some((prev, Side::Above))
            }
            (_, Some(next)) => Some((next, Side::Below)),
            _ => None,
        }
    }
}
