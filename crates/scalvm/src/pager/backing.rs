//! Where a copy of an anon's contents is: one word, kept in the anon.
//!
//! | bits 63-62 | the rest |
//! |---|---|
//! | 00 | zero: there is no copy |
//! | 01 | a [`Slot`]: the device in bits 36-32, the page on it in bits 31-0 |
//! | 10 | a [`Handle`] of the compressor in bits 31-0 |
//! | 11 | zero: the contents were given up, and a page of zeros will do for them |

use core::num::NonZeroU32;

use crate::pager::swap::Slot;

const KIND: u32 = 62;
const SLOT: u64 = 1;
const COMPRESSED: u64 = 2;
const ZEROS: u64 = 3;

/// An entry of the compressor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Handle(pub(super) NonZeroU32);

/// A copy of an anon's contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backing {
    /// There is none.
    None,
    /// On a swap device.
    Slot(Slot),
    /// In the compressor.
    Compressed(Handle),
    /// Zeros, which need no place: the contents were given up (`object/give_up.rs`).
    Zeros,
}

impl Backing {
    /// The word for it.
    pub const fn pack(self) -> u64 {
        match self {
            Backing::None => 0,
            Backing::Slot(slot) => SLOT << KIND | slot.pack(),
            Backing::Compressed(handle) => COMPRESSED << KIND | handle.0.get() as u64,
            Backing::Zeros => ZEROS << KIND,
        }
    }

    /// The reverse of [`pack`](Backing::pack).
    pub const fn unpack(word: u64) -> Backing {
        match (word >> KIND, NonZeroU32::new(word as u32)) {
            (SLOT, _) => Backing::Slot(Slot::unpack(word)),
            (COMPRESSED, Some(handle)) => Backing::Compressed(Handle(handle)),
            (ZEROS, _) => Backing::Zeros,
            _ => Backing::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_copies() {
        let handle = |n| Backing::Compressed(Handle(NonZeroU32::new(n).unwrap()));
        let all = [
            Backing::None,
            Backing::Slot(Slot::new(0, 0)),
            Backing::Slot(Slot::new(31, u32::MAX)),
            Backing::Slot(Slot::new(1, 2)),
            handle(1),
            handle(u32::MAX),
            Backing::Zeros,
        ];
        for (n, backing) in all.into_iter().enumerate() {
            assert_eq!(Backing::unpack(backing.pack()), backing);
            assert_eq!(backing.pack() == 0, backing == Backing::None);
            assert!(all[..n].iter().all(|other| other.pack() != backing.pack()));
        }
    }
}
