//! How slots lie in a slab.

use crate::addr::PAGE_SIZE;

/// The most frames of a slab.
const MOST_FRAMES: usize = 16;
/// A slab wastes at most one part in so many, if that can be had.
const WASTE: usize = 16;
/// Slabs of one pool begin at different cache lines, so that their first slots, say, do not all
/// compete for the same ones.
const LINE: usize = 64;

/// The form of the slabs of one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    /// Bytes in a slot.
    pub size: usize,
    /// Frames in a slab.
    pub frames: u32,
    /// Slots in a slab.
    pub capacity: u32,
    /// What is between one place where the first slot may begin and the next, in bytes.
    pub colour: usize,
    /// How many such places there are.
    pub colours: u32,
}

impl Geometry {
    /// Slabs of slots with `size` bytes: the fewest frames that waste little.
    pub const fn of(size: usize) -> Geometry {
        assert!(size > 0 && size <= MOST_FRAMES * PAGE_SIZE);
        let mut frames = size.div_ceil(PAGE_SIZE);
        let mut best = frames;
        while frames <= MOST_FRAMES {
            let waste = frames * PAGE_SIZE % size;
            let least = best * PAGE_SIZE % size;
            // Less waste in proportion.
            if waste * best < least * frames {
                best = frames;
            }
            if waste * WASTE <= frames * PAGE_SIZE {
                best = frames;
                break;
            }
            frames += 1;
        }
        let align = 1 << size.trailing_zeros();
        let colour = if align < LINE { LINE } else { align };
        let spare = best * PAGE_SIZE % size;
        Geometry {
            size,
            frames: best as u32,
            capacity: (best * PAGE_SIZE / size) as u32,
            colour,
            colours: (spare / colour) as u32 + 1,
        }
    }

    /// What to clear in the number of a slab's frame to get that of its first: a slab is a run, which
    /// is aligned to the power of two that has room for it.
    #[inline(always)]
    pub const fn mask(&self) -> u64 {
        (self.frames.next_power_of_two() - 1) as u64
    }

    /// Whether a slot begins so many bytes behind the first.
    #[inline(always)]
    pub const fn is_slot(&self, offset: usize) -> bool {
        offset.is_multiple_of(self.size) && offset / self.size < self.capacity as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_waste_little_and_fit() {
        for size in (16..=MOST_FRAMES * PAGE_SIZE).step_by(8) {
            let form = Geometry::of(size);
            let bytes = form.frames as usize * PAGE_SIZE;
            let waste = bytes - form.capacity as usize * size;
            assert!(form.capacity >= 1 && form.frames as usize <= MOST_FRAMES);
            assert!(waste < size);
            let last = (form.colours as usize - 1) * form.colour;
            assert!(last <= waste && waste - last < form.colour, "{size}");
            assert!(form.is_slot(0) && !form.is_slot(8));
            assert!(!form.is_slot(size * form.capacity as usize));
            // One slot and a half to a slab is the worst there is.
            assert!(waste * 3 <= bytes || form.capacity == 1, "{form:?}");
        }
    }

    #[test]
    fn some_forms() {
        let form = |size| {
            let form = Geometry::of(size);
            (form.frames, form.capacity, form.colours)
        };
        assert_eq!(form(16), (1, 256, 1));
        assert_eq!(form(40), (1, 102, 1));
        assert_eq!(form(192), (1, 21, 2));
        assert_eq!(form(768), (1, 5, 2));
        assert_eq!(form(3072), (3, 4, 1));
        assert_eq!(form(4096), (1, 1, 1));
        assert_eq!(form(10240), (5, 2, 1));
        assert_eq!(form(65536), (16, 1, 1));
    }
}
