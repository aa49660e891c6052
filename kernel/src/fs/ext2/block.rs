//! [`Block`]: a block of metadata, held in the disk's page cache.

use bytemuck::{AnyBitPattern, NoUninit};

use super::BLOCK;
use crate::mm::HeldPage;

/// A block of the disk, which is one page of the disk's object. Held to be written, it is dirty from
/// now on.
pub(super) struct Block {
    page: HeldPage,
}

impl Block {
    pub fn new(page: HeldPage) -> Block {
        Block { page }
    }

    /// Lets `look` see its bytes. It must not block.
    pub fn with<R>(&self, look: impl FnOnce(&[u8; BLOCK]) -> R) -> R {
        // SAFETY: the frame is held, and has a page of bytes. Programs that map the disk do not run
        // before this returns: there is one processor, and nothing blocks.
        look(unsafe { &*self.page.as_ptr().cast() })
    }

    /// Lets `change` change its bytes. It must not block; the block is held to be written.
    pub fn with_mut<R>(&mut self, change: impl FnOnce(&mut [u8; BLOCK]) -> R) -> R {
        // SAFETY: as above; and no other reference to the bytes is in use while this runs.
        change(unsafe { &mut *self.page.as_ptr().cast() })
    }

    /// What stands at an offset.
    pub fn get<T: AnyBitPattern>(&self, at: usize) -> T {
        self.with(|bytes| bytemuck::pod_read_unaligned(&bytes[at..at + size_of::<T>()]))
    }

    /// Puts something at an offset.
    pub fn put<T: NoUninit>(&mut self, at: usize, value: &T) {
        self.with_mut(|bytes| {
            bytes[at..at + size_of::<T>()].copy_from_slice(bytemuck::bytes_of(value))
        });
    }
}
