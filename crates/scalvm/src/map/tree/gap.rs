//! The search for room.

use super::node::Side;
use super::{Ranged, Tree};
use crate::kmem::Ptr;

/// What is looked for: `len` bytes within `low..high` whose first address is a multiple of `align`.
struct Wanted {
    len: usize,
    align: usize,
    low: usize,
    high: usize,
}

impl<T: Ranged> Tree<T> {
    /// The highest address from which `len` bytes are free and lie within `low..high`. `len` and both bounds are
    /// multiples of the page size, `len` is not 0, `align` is a power of two.
    ///
    /// Takes O(log n), where `align` is larger than a page plus O(1) per gap that holds `len` but no aligned place.
    pub fn find_gap_down(
        &self,
        len: usize,
        align: usize,
        low: usize,
        high: usize,
    ) -> Option<usize> {
        self.find_gap(Side::Above, len, align, low, high)
    }

    /// The same for the lowest address.
    pub fn find_gap_up(&self, len: usize, align: usize, low: usize, high: usize) -> Option<usize> {
        self.find_gap(Side::Below, len, align, low, high)
    }

    /// The place that is furthest to this side.
    #[inline(always)]
    fn find_gap(
        &self,
        first: Side,
        len: usize,
        align: usize,
        low: usize,
        high: usize,
    ) -> Option<usize> {
        debug_assert!(len != 0 && (len | low | high) & crate::addr::PAGE_MASK == 0);
        debug_assert!(align.is_power_of_two());
        let wanted = Wanted { len, align, low: low.max(self.low), high: high.min(self.high) };
        // No place starts above `top` or ends below `bottom`.
        let top = wanted.high.checked_sub(len).filter(|top| *top >= wanted.low)?;
        let bottom = wanted.low + len;
        let Some(mut at) = self.root.get() else {
            return wanted.within(first, self.low, self.high);
        };
        let mut side = first;
        loop {
            let link = at.node().link(side);
            let reaches = match side {
                Side::Above => at.end() <= top,
                Side::Below => at.start() >= bottom,
            };
            if link.holds(len) && reaches {
                if let Some(child) = link.child() {
                    at = child;
                    side = first;
                    continue;
                }
                let (floor, ceiling) = match side {
                    Side::Above => (at.end(), at.end() + link.size()),
                    Side::Below => (at.start() - link.size(), at.start()),
                };
                let place = wanted.within(first, floor, ceiling);
                if place.is_some() {
                    return place;
                }
            }
            // Nothing on this side: on to the other one, if need be of an entry further up.
            while side != first {
                let parent: Ptr<T> = at.node().parent()?;
                side = parent.node().side_of(at);
                at = parent;
            }
            side = !first;
        }
    }
}

impl Wanted {
    /// The place in this gap that is furthest to this side.
    #[inline(always)]
    fn within(&self, side: Side, floor: usize, ceiling: usize) -> Option<usize> {
        let (floor, ceiling) = (floor.max(self.low), ceiling.min(self.high));
        let top = ceiling.checked_sub(self.len)?;
        let mask = self.align - 1;
        let place = match side {
            Side::Above => top & !mask,
            Side::Below => floor.checked_add(mask)? & !mask,
        };
        (floor <= place && place <= top).then_some(place)
    }
}
