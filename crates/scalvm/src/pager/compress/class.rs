//! The sizes of objects, and the blocks they lie in.
//!
//! Sizes are multiples of 64 bytes up to three quarters of a page. A block of a class is one to
//! four frames, as few as leave little over; they need not be neighbours. An object may
//! lie across two of them, but no aligned piece of 64 bytes does.

use crate::addr::PAGE_SIZE;

/// The step between sizes, and the largest piece that is sure to lie in one frame.
pub(super) const GRAIN: usize = 64;
/// The largest object: what is above is not worth its while (arbitrary).
pub(super) const LARGEST: usize = PAGE_SIZE / 4 * 3;
/// How many classes there are.
pub(super) const CLASSES: usize = LARGEST / GRAIN;
/// The most frames in a block.
pub(super) const SPAN: usize = 4;

/// An eighth of a block may be left over (arbitrary).
const WASTE: usize = 8;

/// Objects of one size.
#[derive(Clone, Copy)]
pub(super) struct Class {
    /// Bytes of each.
    pub size: usize,
    /// Frames of a block.
    pub frames: usize,
    /// Objects in a block, at most 64.
    pub slots: u32,
}

const TABLE: [Class; CLASSES] = {
    let mut table = [const { best(GRAIN) }; CLASSES];
    let mut class = 1;
    while class < CLASSES {
        table[class] = best((class + 1) * GRAIN);
        class += 1;
    }
    table
};

/// The class that objects of each size are put in: sizes of which a block has as many are one.
const MERGED: [u8; CLASSES] = {
    let mut merged = [CLASSES as u8 - 1; CLASSES];
    let mut class = CLASSES - 1;
    while class > 0 {
        class -= 1;
        let (own, next) = (TABLE[class], TABLE[merged[class + 1] as usize]);
        let same = own.slots == next.slots && own.frames == next.frames;
        merged[class] = if same { merged[class + 1] } else { class as u8 };
    }
    merged
};

const fn best(size: usize) -> Class {
    let (mut frames, mut best) = (1, 0);
    while frames <= SPAN {
        let slots = frames * PAGE_SIZE / size;
        let over = frames * PAGE_SIZE - slots * size;
        // Compared without dividing.
        let less = best == 0 || over * best < best * PAGE_SIZE % size * frames;
        if less && slots <= u64::BITS as usize {
            best = frames;
            if over * WASTE <= frames * PAGE_SIZE {
                break;
            }
        }
        frames += 1;
    }
    Class {
        size,
        frames: best,
        slots: (best * PAGE_SIZE / size) as u32,
    }
}

/// The number of the class for objects of so many bytes, if there is one.
pub(super) fn class_for(size: usize) -> Option<usize> {
    let class = size.div_ceil(GRAIN).saturating_sub(1);
    MERGED.get(class).map(|class| usize::from(*class))
}

/// A class by its number.
pub(super) fn class(number: usize) -> Class {
    TABLE[number % CLASSES]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_filled_well() {
        for size in 1..=LARGEST {
            let number = class_for(size).unwrap();
            let class = class(number);
            assert_eq!(class_for(class.size), Some(number), "it is its own class");
            assert!((1..=64).contains(&class.slots) && (1..=SPAN).contains(&class.frames));
            let bytes = class.frames * PAGE_SIZE;
            assert!(class.slots as usize * class.size <= bytes);
            let used = class.slots as usize * size.next_multiple_of(GRAIN);
            assert!(used * 5 >= bytes * 4, "{size} bytes: {used} of {bytes}");
        }
        assert_eq!(class_for(LARGEST + 1), None);
    }
}
