//! Pages, frames, rights and kinds of access: the words all other modules speak.
//!
//! Virtual addresses are plain `usize` values, physical memory is counted in [`Frame`]s.

use bitflags::bitflags;

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page and in a page frame.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// The bits of an address that lie within its page.
pub const PAGE_MASK: usize = PAGE_SIZE - 1;

/// The start of the page that holds `addr`.
pub const fn page_floor(addr: usize) -> usize {
    addr & !PAGE_MASK
}

/// `addr` rounded up to the start of a page, or `None` where that wraps around.
pub const fn page_ceil(addr: usize) -> Option<usize> {
    match addr.checked_add(PAGE_MASK) {
        Some(sum) => Some(sum & !PAGE_MASK),
        None => None,
    }
}

/// The number of a physical page frame: its physical address divided by [`PAGE_SIZE`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Frame(pub u64);

impl Frame {
    /// A value that names no frame, for arrays that have gaps.
    pub const NONE: Frame = Frame(u64::MAX);

    /// The frame that holds the physical address.
    pub const fn containing(address: u64) -> Frame {
        Frame(address >> PAGE_SHIFT)
    }

    /// The physical address of the frame's first byte.
    pub const fn address(self) -> u64 {
        self.0 << PAGE_SHIFT
    }

    /// Whether this is a frame, not [`Frame::NONE`].
    pub const fn is_some(self) -> bool {
        self.0 != u64::MAX
    }
}

bitflags! {
    /// What a mapping lets a program do.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Prot: u8 {
        /// Loads.
        const READ = 1;
        /// Stores.
        const WRITE = 2;
        /// Instruction fetches.
        const EXEC = 4;
    }
}

impl Prot {
    /// Loads and stores.
    pub const RW: Prot = Prot::READ.union(Prot::WRITE);
    /// Loads and instruction fetches.
    pub const RX: Prot = Prot::READ.union(Prot::EXEC);
}

/// What a program was doing when it faulted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Exec,
}

impl Access {
    /// The right that this access needs.
    pub const fn needs(self) -> Prot {
        match self {
            Access::Read => Prot::READ,
            Access::Write => Prot::WRITE,
            Access::Exec => Prot::EXEC,
        }
    }
}
