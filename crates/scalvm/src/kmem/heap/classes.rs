//! The sizes of pieces.

use core::alloc::Layout;
use core::hint::assert_unchecked;

use crate::addr::PAGE_SIZE;

/// Defines the classes by their sizes.
macro_rules! classes {
    ($($size:literal)*) => {
        /// The sizes of slots. Each is aligned to the largest power of two that divides it, up to a
        /// page. Four to a doubling: at most a fifth of a large piece is wasted.
        pub(super) const CLASSES: [usize; 44] = [$($size),*];

        /// What they are called.
        pub(super) const NAMES: [&str; CLASSES.len()] = [$(concat!("malloc-", $size)),*];
    };
}

classes! {
    16 32 48 64 80 96 112 128 160 192 224 256 320 384 448 512 640 768 896 1024 1280 1536 1792
    2048 2560 3072 3584 4096 5120 6144 7168 8192 10240 12288 14336 16384 20480 24576 28672
    32768 40960 49152 57344 65536
}

/// The largest of them.
const SMALL: usize = CLASSES[CLASSES.len() - 1];
/// The finest step between classes, and the alignment that all have.
pub(super) const GRAIN: usize = CLASSES[0];

/// For each number of grains the class that has room for them.
const CLASS_OF: [u8; SMALL / GRAIN + 1] = {
    let mut table = [0; SMALL / GRAIN + 1];
    let (mut grains, mut class) = (0, 0);
    while grains < table.len() {
        if grains * GRAIN > CLASSES[class] {
            class += 1;
        }
        table[grains] = class as u8;
        grains += 1;
    }
    table
};

const _: () = {
    let mut grains = 0;
    while grains < CLASS_OF.len() {
        assert!((CLASS_OF[grains] as usize) < CLASSES.len());
        grains += 1;
    }
};

/// Where a piece comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    /// A pool, by its number.
    Pool(usize),
    /// So many frames.
    Frames(usize),
}

impl From {
    /// Where pieces of a layout come from.
    #[inline(always)]
    pub fn of(layout: Layout) -> From {
        let size = match layout.align() {
            ..=GRAIN => layout.size(),
            // A power of two is aligned to itself, as far as frames are. Sizes and alignments are at
            // most isize::MAX, so this cannot wrap.
            align => {
                let size = layout.size().max(align).next_power_of_two();
                if align > PAGE_SIZE {
                    return From::Frames(size / PAGE_SIZE);
                }
                size
            }
        };
        match class_of(size) {
            Some(class) => From::Pool(class),
            None => From::Frames(size.div_ceil(PAGE_SIZE)),
        }
    }
}

/// The smallest class with so much room.
#[inline(always)]
pub(super) fn class_of(size: usize) -> Option<usize> {
    // Sizes are at most isize::MAX: this does not wrap.
    let grains = size.wrapping_add(GRAIN - 1) / GRAIN;
    let class = usize::from(*CLASS_OF.get(grains)?);
    // SAFETY: the table has no other numbers, as is asserted above.
    unsafe { assert_unchecked(class < CLASSES.len()) };
    Some(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_room_and_alignment() {
        for shift in 0..15 {
            for size in (0..20_000).chain(65_000..70_000) {
                let layout = Layout::from_size_align(size, 1 << shift).unwrap();
                match From::of(layout) {
                    From::Pool(class) => {
                        assert!(CLASSES[class] >= size);
                        assert_eq!(CLASSES[class] % layout.align(), 0);
                        let tight = class == 0
                            || CLASSES[class - 1] < size
                            || !CLASSES[class - 1].is_multiple_of(layout.align())
                            || layout.align() > GRAIN;
                        assert!(tight, "{layout:?} in class {class}");
                    }
                    From::Frames(count) => {
                        let bytes = PAGE_SIZE * count;
                        assert!(bytes >= size && bytes >= layout.align());
                        assert!(size > SMALL || layout.align() > PAGE_SIZE);
                        let tight = layout.align() > GRAIN || bytes - PAGE_SIZE < size;
                        assert!(tight, "{layout:?} in {count} frames");
                    }
                }
            }
        }
        let most = Layout::from_size_align(isize::MAX as usize - 15, 16).unwrap();
        assert_eq!(From::of(most), From::Frames(1 << 51));
    }
}
