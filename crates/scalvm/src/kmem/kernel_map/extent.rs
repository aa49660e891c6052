//! [`Extent`]: what the word of an allocation's first frame says.

use core::alloc::Layout;

use super::KernelAlloc;
use crate::addr::PAGE_SIZE;

/// How many pages an allocation has, and whether it is guarded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub pages: usize,
    pub guarded: bool,
}

impl Extent {
    /// What an allocation for this layout has.
    pub fn of(layout: Layout, how: KernelAlloc) -> Extent {
        Extent {
            // Sizes of layouts are at most isize::MAX.
            pages: layout.size().div_ceil(PAGE_SIZE),
            guarded: how.contains(KernelAlloc::GUARD),
        }
    }

    /// As a word, never zero.
    pub fn word(self) -> u64 {
        (self.pages as u64) << 1 | u64::from(self.guarded)
    }

    /// The reverse; none for zero.
    pub fn from_word(word: u64) -> Option<Extent> {
        (word >> 1 != 0).then_some(Extent {
            pages: (word >> 1) as usize,
            guarded: word & 1 != 0,
        })
    }

    /// Bytes before the first page, and after the last, that are not mapped.
    pub fn guard(self) -> usize {
        if self.guarded { PAGE_SIZE } else { 0 }
    }

    /// Bytes of pages.
    pub fn bytes(self) -> usize {
        self.pages * PAGE_SIZE
    }

    /// Bytes of addresses.
    pub fn total(self) -> usize {
        self.bytes() + 2 * self.guard()
    }
}
