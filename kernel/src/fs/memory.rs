//! Allocation that can fail.
//!
//! `Arc` and `BTreeMap` have no stable constructors that report failure. One processor runs the
//! kernel and nothing interrupts it, so a block that was to be had a moment ago still is: each of
//! these functions proves that the memory is there before the infallible call takes it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;

use scalvm::MallocFlags;

use crate::linux::Errno;
use crate::mm::{M_RUST, VM};

/// The two counts at the head of an `Arc`.
const ARC_COUNTS: usize = 2 * size_of::<usize>();

/// Fails with ENOMEM unless a block of this size is to be had now.
pub fn prove(bytes: usize, align: usize) -> Result<(), Errno> {
    let layout = Layout::from_size_align(bytes.max(1), align).map_err(|_| Errno::ENOMEM)?;
    // Not through the global allocator: the compiler takes a pair of its calls out.
    let block = VM
        .malloc_aligned(&M_RUST, layout, MallocFlags::NOWAIT)
        .map_err(|_| Errno::ENOMEM)?;
    // SAFETY: the block that the manager has just given, untouched.
    unsafe { VM.free_sized(&M_RUST, block, layout) };
    Ok(())
}

/// `Arc::new` that can fail.
pub fn arc<T>(value: T) -> Result<Arc<T>, Errno> {
    let align = align_of::<T>().max(align_of::<usize>());
    prove(ARC_COUNTS.next_multiple_of(align) + size_of::<T>(), align)?;
    Ok(Arc::new(value))
}

/// A copy of the bytes that can grow.
pub fn vec(from: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(from.len())
        .map_err(|_| Errno::ENOMEM)?;
    copy.extend_from_slice(from);
    Ok(copy)
}

/// The bytes as a string; those that are not part of a character become question marks.
pub fn string(mut from: Vec<u8>) -> String {
    while let Err(error) = core::str::from_utf8(&from) {
        from[error.valid_up_to()] = b'?';
    }
    // No memory is taken: the bytes stay where they are.
    String::from_utf8(from).unwrap_or_default()
}

/// `Vec::push` that can fail.
pub fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), Errno> {
    list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    list.push(value);
    Ok(())
}

/// `Vec::extend_from_slice` that can fail.
pub fn extend(list: &mut Vec<u8>, more: &[u8]) -> Result<(), Errno> {
    list.try_reserve(more.len()).map_err(|_| Errno::ENOMEM)?;
    list.extend_from_slice(more);
    Ok(())
}

/// Proves that a map of keys and values of these types can take one more pair: a leaf and the
/// inner nodes above it may have to be split.
pub fn prove_insert<K, V>() -> Result<(), Errno> {
    const FANOUT: usize = 12;
    prove(
        2 * FANOUT * (size_of::<K>() + size_of::<V>() + size_of::<usize>()),
        align_of::<usize>(),
    )
}
