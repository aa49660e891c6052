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
    /// The highest address from which `len` bytes are free and lie within `low..high`. `len` and
    /// both bounds are multiples of the page size, `len` is not 0, `align` is a power of two.
    ///
    /// Takes O(log n), where `align` is larger than a page plus O(1) per gap that holds `len` but
    /// no aligned place.
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

    /// The place that is furthest to the side `first`.
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
        let wanted = Wanted {
            len,
            align,
            low,
            high,
        };
        // A place starts at `top` or below, and ends at `bottom` or above.
        let top = high.checked_sub(len).filter(|top| *top >= low)?;
        let bottom = low + len;
        let Some(mut at) = self.root.get() else {
            return wanted.within(first, self.low, self.high);
        };

        // Down along the bound on that side, to the one gap in which it may lie. On the way we note
        // the last entry within the bound that has a gap of this length on its other side.
        let mut noted = None;
        loop {
            let inside = match first {
                Side::Above => at.end() <= top,
                Side::Below => at.start() >= bottom,
            };
            let link = if inside {
                if at.node().link(!first).holds(len) {
                    noted = Some(at);
                }
                at.node().link(first)
            } else {
                at.node().link(!first)
            };
            if !link.holds(len) {
                break;
            }
            let Some(child) = link.child() else {
                let (floor, ceiling) = Self::gap(at, if inside { first } else { !first });
                if let Some(place) = wanted.within(first, floor, ceiling) {
                    return Some(place);
                }
                break;
            };
            at = child;
        }

        // All other gaps are within this bound. The first that is long enough will do, unless it is
        // beyond the other bound or has no aligned place.
        at = noted?;
        loop {
            let mut side = !first;
            while let Some(child) = at.node().link(side).child() {
                at = child;
                side = if at.node().link(first).holds(len) {
                    first
                } else {
                    !first
                };
            }
            let (floor, ceiling) = Self::gap(at, side);
            if let Some(place) = wanted.within(first, floor, ceiling) {
                return Some(place);
            }
            let beyond = match first {
                Side::Above => ceiling < bottom,
                Side::Below => floor > top,
            };
            if beyond {
                return None;
            }
            // Up to the next entry that has one on its other side.
            while side != first || !at.node().link(!first).holds(len) {
                let parent: Ptr<T> = at.node().parent()?;
                side = parent.node().side_of(at);
                at = parent;
            }
        }
    }

    /// The bounds of the gap for which an entry's empty link stands.
    #[inline(always)]
    fn gap(entry: Ptr<T>, side: Side) -> (usize, usize) {
        let size = entry.node().link(side).size();
        match side {
            Side::Above => (entry.end(), entry.end() + size),
            Side::Below => (entry.guard_start() - size, entry.guard_start()),
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
