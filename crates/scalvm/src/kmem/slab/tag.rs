//! What a slab's descriptor says of its slots.

use core::sync::atomic::Ordering::Relaxed;

use super::geometry::Geometry;
use crate::kmem::Ptr;
use crate::page::Page;

/// Whom a slab's slots are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    /// The manager's own structures.
    Own,
    /// Objects that stay constructed while they are free.
    Cache,
    /// Pieces of the heap, of the class with this number.
    Heap(u8),
}

impl Use {
    const fn code(self) -> u32 {
        match self {
            Use::Heap(class) => {
                assert!((class as u32) < CACHE);
                class as u32
            }
            Use::Cache => CACHE,
            Use::Own => OWN,
        }
    }
}

/// What stands in `mapped` of a slab's first frame: the size of a slot in words (bits 0 to 13),
/// where the first one begins in grains (14 to 25), and whose they are (26 to 31).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SlabTag(u32);

const SIZE_BITS: u32 = 14;
const START_BITS: u32 = 12;
/// Whose the slots are, where they are not of the heap: above all its classes.
const CACHE: u32 = 62;
const OWN: u32 = 63;
const WORD: usize = 8;
const GRAIN: usize = 16;

impl SlabTag {
    /// Slots of `size` bytes, a number of words, from `start` on, a number of grains.
    pub(super) const fn new(size: usize, start: usize, user: Use) -> SlabTag {
        assert!(size.is_multiple_of(WORD) && size / WORD < 1 << SIZE_BITS);
        assert!(start.is_multiple_of(GRAIN) && start / GRAIN < 1 << START_BITS);
        assert!(user.code() < 1 << (u32::BITS - SIZE_BITS - START_BITS));
        let (words, grains) = ((size / WORD) as u32, (start / GRAIN) as u32);
        SlabTag(words | grains << SIZE_BITS | user.code() << (SIZE_BITS + START_BITS))
    }

    /// The tag of a slab, by its first frame.
    #[inline(always)]
    pub fn of(slab: Ptr<Page>) -> SlabTag {
        SlabTag(slab.mapped.load(Relaxed))
    }

    /// Tells it to a slab.
    pub(super) fn set(self, slab: Ptr<Page>) {
        slab.mapped.store(self.0, Relaxed);
    }

    /// Bytes in a slot.
    #[inline(always)]
    pub const fn size(self) -> usize {
        (self.0 & ((1 << SIZE_BITS) - 1)) as usize * WORD
    }

    /// Where the first slot begins.
    #[inline(always)]
    pub const fn start(self) -> usize {
        (self.0 >> SIZE_BITS & ((1 << START_BITS) - 1)) as usize * GRAIN
    }

    /// Whether the slots are for this use.
    #[inline(always)]
    pub const fn is_for(self, user: Use) -> bool {
        self.0 >> (SIZE_BITS + START_BITS) == user.code()
    }

    /// The class, if the slots are pieces of the heap; a number of no class if they are not.
    #[inline(always)]
    pub const fn class(self) -> usize {
        (self.0 >> (SIZE_BITS + START_BITS)) as usize
    }

    /// Whether a slot begins `offset` bytes behind the beginning of the slab, and is of this form.
    pub(super) fn is_slot(self, form: &Geometry, user: Use, offset: usize) -> bool {
        self.size() == form.size
            && self.is_for(user)
            && offset
                .checked_sub(self.start())
                .is_some_and(|offset| form.is_slot(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmem::Heap;

    #[test]
    fn tags_say_what_they_were_told() {
        const USERS: [Use; 5] = [
            Use::Own,
            Use::Cache,
            Use::Heap(0),
            Use::Heap(1),
            Use::Heap(60),
        ];
        for user in USERS {
            for (size, start) in [(16, 0), (40, 64), (768, 256), (65536, 0), (4096 - 8, 4080)] {
                let tag = SlabTag::new(size, start, user);
                assert_eq!((tag.size(), tag.start()), (size, start));
                for other in USERS {
                    assert_eq!(tag.is_for(other), user == other);
                }
                match user {
                    Use::Heap(class) => assert_eq!(tag.class(), usize::from(class)),
                    _ => assert!(tag.class() >= Heap::BUCKETS),
                }
            }
        }
    }
}
