//! Reading and writing what is kept in the manager's objects: files in memory, and disks.
//!
//! A page is held in place while bytes move between it and the program's memory, which is the same
//! memory that a shared mapping of the file shows. No lock is held meanwhile.

use scalvm::{Access, FaultError, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PagerError};

use super::buffer::Buf;
use crate::linux::Errno;
use crate::mm::{HeldPage, Object, VM};
use crate::task::with_memory;

/// Reads from `at` on, not beyond the end. Blocks.
pub fn read(object: &Object, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
    let size = object.size();
    if at >= size {
        return Ok(0);
    }
    buf.limit(usize::try_from(size - at).unwrap_or(usize::MAX));
    let mut done = 0;
    while !buf.is_empty() {
        let here = at + done as u64;
        let offset = here as usize & PAGE_MASK;
        let moved = match with_memory(|| object.hold(here >> PAGE_SHIFT, Access::Read)) {
            // SAFETY: the frame has PAGE_SIZE readable bytes and stays while it is held.
            Ok(page) => unsafe { buf.put_raw(page.as_ptr().add(offset), PAGE_SIZE - offset) },
            // It was truncated meanwhile.
            Err(FaultError::BeyondEnd) => break,
            Err(error) => Err(errno(error)),
        };
        match moved {
            Ok(count) => done += count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Writes from `at` on, not beyond the end. Blocks.
pub fn write(object: &Object, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
    write_through(object, at, buf, |index| {
        hold_to_write(object, index).map_err(errno)
    })
}

/// The same to pages that `hold` gives. Blocks.
pub fn write_through(
    object: &Object,
    at: u64,
    buf: &mut Buf<'_>,
    hold: impl Fn(u64) -> Result<HeldPage, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while !buf.is_empty() {
        let here = at + done as u64;
        let offset = here as usize & PAGE_MASK;
        let room = (object.size().saturating_sub(here)).min((PAGE_SIZE - offset) as u64) as usize;
        if room == 0 {
            break;
        }
        let moved = match hold(here >> PAGE_SHIFT) {
            // SAFETY: the frame has PAGE_SIZE writable bytes and stays while it is held.
            Ok(page) => unsafe { buf.take_raw(page.as_ptr().add(offset), room) },
            Err(error) => Err(error),
        };
        match moved {
            Ok(count) => done += count,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// A page of an object, to be written. Where there is no memory for it room is made; but no process
/// has to end for it: files may be full. Blocks.
pub fn hold_to_write(object: &Object, index: u64) -> Result<HeldPage, FaultError> {
    VM.with_room(
        || object.hold(index, Access::Write),
        |error| *error == FaultError::OutOfMemory,
    )
}

/// What a system call reports of a page that could not be had.
pub fn errno(error: FaultError) -> Errno {
    match error {
        FaultError::OutOfMemory => Errno::ENOMEM,
        FaultError::Pager(error) => pager_errno(error),
        FaultError::BeyondEnd => Errno::ENXIO,
        FaultError::NoMapping
        | FaultError::Protection
        | FaultError::Watched(_)
        | FaultError::Poisoned => Errno::EFAULT,
    }
}

/// What a system call reports of a pager that failed.
pub fn pager_errno(error: PagerError) -> Errno {
    match error {
        PagerError::NoRoom => Errno::ENOSPC,
        _ => Errno::EIO,
    }
}
