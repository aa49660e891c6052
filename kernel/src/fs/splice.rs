//! Moving bytes between pipes and files without a copy, where that can be: a file's pages are lent to the pipe, and
//! pass from pipe to pipe as they are. Into a file they are written.
//!
//! No two pipes are waited for at once: whoever has the turn at one and does not get it at the other gives it up
//! first.

use core::cmp::min;

use scalvm::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};

use super::buffer::Buf;
use super::file::FileHandle;
use super::paged;
use super::pipe::Pipe;
use super::segment::{Segment, new_page};
use crate::linux::Errno;
use crate::mm::{Object, user};
use crate::task::{self, with_memory};

/// From a file into a pipe, from `at` on, as much as the pipe has room for. Blocks.
pub fn from_file(
    from: &FileHandle,
    at: u64,
    to: &Pipe,
    len: usize,
    waits: bool,
) -> Result<usize, Errno> {
    let io = from.io()?;
    let object = match io.size() {
        Some(_) => io.object(from.node()).ok(),
        None => None,
    };
    let mut done = 0;
    to.feed(waits, || {
        let here = at + done as u64;
        let left = len - done;
        let segment = match &object {
            _ if left == 0 => None,
            Some(object) => lend(object, here, left)?,
            // What has been read of a stream is passed on at once.
            None if done > 0 && io.size().is_none() => None,
            None => read(from, here, left)?,
        };
        done += segment.as_ref().map_or(0, Segment::len);
        Ok(segment)
    })
}

/// The bytes of an object from `at` on, up to the end of the page.
fn lend(object: &Object, at: u64, most: usize) -> Result<Option<Segment>, Errno> {
    let start = at as usize & PAGE_MASK;
    let rest = object.size().saturating_sub(at);
    let len = min(most, PAGE_SIZE - start).min(usize::try_from(rest).unwrap_or(usize::MAX));
    if len == 0 {
        return Ok(None);
    }
    let loan = with_memory(|| object.lend(at >> PAGE_SHIFT)).map_err(paged::errno)?;
    Ok(Some(Segment::lent(loan, start, len)))
}

/// What a read from the file gives.
fn read(from: &FileHandle, at: u64, most: usize) -> Result<Option<Segment>, Errno> {
    let mut segment = Segment::empty(new_page()?);
    let len = min(most, segment.room());
    let Some(to) = segment.end() else {
        return Ok(None);
    };
    // SAFETY: `len` bytes of a page that is ours alone; any bytes are bytes once they are zeroed.
    let bytes = unsafe {
        to.write_bytes(0, len);
        core::slice::from_raw_parts_mut(to, len)
    };
    let count = from.io()?.read(from, at, &mut Buf::kernel(bytes))?;
    segment.grow(count);
    Ok((count > 0).then_some(segment))
}

/// From a pipe into a file: `write` is given the bytes. As long as there are some. Blocks.
pub fn to_file(
    from: &Pipe,
    len: usize,
    waits: bool,
    mut write: impl FnMut(&mut Buf<'_>) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < len {
        let moved = from.drain(len - done, waits && done == 0, |bytes| {
            write(&mut Buf::source(bytes))
        });
        match moved {
            Ok(0) => break,
            Ok(moved) => done += moved,
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// From pipe to pipe: the bytes move, or stay and are there twice. Blocks.
pub fn to_pipe(
    from: &Pipe,
    to: &Pipe,
    len: usize,
    waits: bool,
    stay: bool,
) -> Result<usize, Errno> {
    loop {
        let mut done = 0;
        let mut nth = 0;
        let moved = from.with_bytes(waits, || {
            to.feed(false, || {
                let segment = match len - done {
                    0 => None,
                    left if stay => from.duplicate(nth, left)?,
                    left => from.pop(left)?,
                };
                nth += 1;
                done += segment.as_ref().map_or(0, Segment::len);
                Ok(segment)
            })
        });
        match moved {
            Err(Errno::EAGAIN) if waits => to.wait_for_room()?,
            moved => return moved,
        }
    }
}

/// From the program's memory into a pipe: its pages are lent, up to `len` bytes from an address on. Blocks.
pub fn from_memory(to: &Pipe, address: usize, len: usize, waits: bool) -> Result<usize, Errno> {
    let space = task::current().map();
    let mut done = 0;
    to.feed(waits, || {
        let here = address + done;
        let start = here & PAGE_MASK;
        let part = min(len - done, PAGE_SIZE - start);
        if part == 0 {
            return Ok(None);
        }
        let segment = match with_memory(|| space.lend(here)) {
            Ok(loan) => Segment::lent(loan, start, part),
            Err(_) => copied(here, part)?,
        };
        done += part;
        Ok(Some(segment))
    })
}

/// A copy of memory that cannot be lent, such as a device's. EFAULT if there is none.
fn copied(address: usize, len: usize) -> Result<Segment, Errno> {
    let mut segment = Segment::empty(new_page()?);
    if let Some(to) = segment.end() {
        // SAFETY: `len` bytes of a page that is ours alone.
        unsafe { user::copy_to_raw(address, to, len)? };
        segment.grow(len);
    }
    Ok(segment)
}
