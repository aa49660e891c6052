//! The invariants at the head of [`tree`](super), looked at one by one.

use super::node::Side;
use super::{Ranged, Tree};
use crate::kmem::Ptr;

impl<T: Ranged> Tree<T> {
    /// Panics where an invariant does not hold.
    pub fn check_invariants(&self) {
        let mut walk = Walk {
            tree: self,
            prev: None,
            hint_seen: self.hint.get().is_none(),
        };
        walk.tree(self.root.get(), None);
        assert_eq!(self.last.get(), walk.prev, "1: the last entry");
        assert!(
            walk.prev.is_some() || self.first.get().is_none(),
            "1: the first entry"
        );
        assert!(walk.hint_seen, "4: the hint is not in the tree");
    }
}

/// Goes through the tree from the lowest entry to the highest.
struct Walk<'a, T: Ranged> {
    tree: &'a Tree<T>,
    /// The highest entry seen so far.
    prev: Option<Ptr<T>>,
    hint_seen: bool,
}

impl<T: Ranged> Walk<'_, T> {
    /// Checks the tree under a link; gives its height and the largest gap. Recursion is as deep as
    /// the tree.
    fn tree(&mut self, entry: Option<Ptr<T>>, parent: Option<Ptr<T>>) -> (u32, usize) {
        let Some(entry) = entry else {
            let next = self.prev.map_or_else(|| self.tree.first(), Tree::next);
            let floor = self.prev.map_or(self.tree.low, |prev| prev.end());
            let ceiling = next.map_or(self.tree.high, |next| next.start());
            assert!(floor <= ceiling, "1: entries overlap or are out of bounds");
            return (0, self.tree.between(self.prev, next));
        };
        let node = entry.node();
        assert_eq!(node.parent(), parent, "1: the parent");
        let (below, gap_below) = self.tree(node.link(Side::Below).child(), Some(entry));

        assert!(entry.start() < entry.end(), "1: an empty entry");
        assert_eq!(node.prev(), self.prev, "1: the thread down");
        let next = self.prev.map_or_else(|| self.tree.first(), Tree::next);
        assert_eq!(next, Some(entry), "1: the thread up");
        self.hint_seen |= self.tree.hint.get() == Some(entry);
        self.prev = Some(entry);

        let (above, gap_above) = self.tree(node.link(Side::Above).child(), Some(entry));
        assert!(
            below.abs_diff(above) <= 1,
            "2: the heights are {below} and {above}"
        );
        assert_eq!(
            node.link(Side::Below).is_tall(),
            below > above,
            "2: the lower side's mark"
        );
        assert_eq!(
            node.link(Side::Above).is_tall(),
            above > below,
            "2: the upper side's mark"
        );
        assert_eq!(
            node.link(Side::Below).size(),
            gap_below,
            "3: the size below"
        );
        assert_eq!(
            node.link(Side::Above).size(),
            gap_above,
            "3: the size above"
        );
        (below.max(above) + 1, gap_below.max(gap_above))
    }
}
