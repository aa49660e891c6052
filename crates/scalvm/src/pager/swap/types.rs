//! What a kernel says of a swap device, and learns of it.

use core::fmt;

use crate::pager::swap::Cipher;

/// How a swap device is to be used.
#[derive(Clone, Copy, Default)]
pub struct SwapOptions {
    /// Devices of a higher priority are filled first; those of the same take turns.
    pub priority: i16,
    /// Enciphers what goes there.
    pub cipher: Option<&'static dyn Cipher>,
}

impl fmt::Debug for SwapOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwapOptions")
            .field("priority", &self.priority)
            .field("cipher", &self.cipher.is_some())
            .finish()
    }
}

/// Names a swap device for as long as it is there; no later one has the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SwapId(pub(super) u64);

/// A swap device, as it is just now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SwapInfo {
    /// Its name.
    pub id: SwapId,
    /// What it was added with, to tell the devices of one `Pager` apart.
    pub cookie: usize,
    /// The higher, the earlier it is filled.
    pub priority: i16,
    /// Its size.
    pub pages: u64,
    /// Pages that are there.
    pub used: u64,
    /// Pages that could not be written and will not be tried again.
    pub bad: u64,
}

/// Why a swap device could not be added or removed. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SwapError {
    /// There are as many devices as the manager can have.
    TooMany,
    /// No memory for the record of its slots.
    OutOfMemory,
    /// It has no page.
    Empty,
    /// It has more than 2^32 pages.
    TooLarge,
    /// There is no such device.
    Unknown,
    /// It is being removed already, or still in use.
    Busy,
    /// What is there has no room elsewhere.
    NoRoom,
    /// What is there cannot be read.
    Io,
}

impl fmt::Display for SwapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SwapError::TooMany => "too many swap devices",
            SwapError::OutOfMemory => "out of memory",
            SwapError::Empty => "a swap device without pages",
            SwapError::TooLarge => "too many pages for a swap device",
            SwapError::Unknown => "no such swap device",
            SwapError::Busy => "the swap device is in use",
            SwapError::NoRoom => "no room for what is on the swap device",
            SwapError::Io => "the swap device cannot be read",
        })
    }
}

impl core::error::Error for SwapError {}
