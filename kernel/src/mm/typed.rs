//! Collections whose memory is charged to a malloc type of the kernel's, and that can fail.
//!
//! Who has such memory declares the type where it is used:
//!
//! ```text
//! malloc_type!(pub M_FILES, "files", "tables of open files");
//! typed_alloc!(pub FileMemory, VM, M_FILES);
//! let mut slots: Vec<Slot, FileMemory> = Vec::new_in(FileMemory);
//! ```

pub use allocator_api2::alloc::Allocator;
pub use allocator_api2::boxed::Box;
pub use allocator_api2::vec::Vec;

use crate::linux::Errno;

/// A copy of the bytes.
pub fn bytes<A: Allocator>(from: &[u8], memory: A) -> Result<Box<[u8], A>, Errno> {
    let mut copy = Vec::new_in(memory);
    copy.try_reserve_exact(from.len())
        .map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(from);
    Ok(copy.into_boxed_slice())
}

/// `Vec::push` that can fail.
pub fn push<T, A: Allocator>(list: &mut Vec<T, A>, value: T) -> Result<(), Errno> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(value);
    Ok(())
}

/// `Vec::extend_from_slice` that can fail.
pub fn extend<A: Allocator>(list: &mut Vec<u8, A>, more: &[u8]) -> Result<(), Errno> {
    list.try_reserve(more.len()).map_err(|_| Errno::ENOMEM)?;
    list.extend_from_slice(more);
    Ok(())
}
