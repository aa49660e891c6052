//! System calls that move bytes from file to file.

use linux_raw_sys::general::O_APPEND;
use scalvm::{FrameLimits, Machine, PAGE_SIZE};

use super::{checked, file};
use crate::fs::FileHandle;
use crate::fs::buffer::Buf;
use crate::fs::inode::Kind;
use crate::linux::Errno;
use crate::mm::{VM, user};

/// A buffer of the kernel's own: one frame.
struct Page(scalvm::Frame);

impl Page {
    fn new() -> Result<Page, Errno> {
        Ok(Page(VM.alloc_frames(1, &FrameLimits::NONE)?))
    }

    fn bytes(&mut self) -> &mut [u8] {
        let start = VM.machine().frame_ptr(self.0);
        // SAFETY: the frame is ours alone until it is given back, and any bytes are bytes.
        unsafe { core::slice::from_raw_parts_mut(start, PAGE_SIZE) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: it came from alloc_frames(1), and the slices of it are gone.
        unsafe { VM.free_frames(self.0, 1) };
    }
}

/// Moves up to `count` bytes, from the offset or else the file's position, which moves along.
fn copy(
    from: &FileHandle,
    mut from_at: Option<&mut u64>,
    to: &FileHandle,
    mut to_at: Option<&mut u64>,
    count: usize,
) -> Result<usize, Errno> {
    let mut page = Page::new()?;
    let mut done = 0;
    while done < count {
        let wanted = (count - done).min(PAGE_SIZE);
        let start = from_at.as_deref().copied().unwrap_or(from.position());
        let mut step = || {
            let read = from.read_at(start, &mut Buf::kernel(&mut page.bytes()[..wanted]))?;
            let mut buf = Buf::kernel(&mut page.bytes()[..read]);
            match to_at.as_deref_mut() {
                _ if read == 0 => Ok(0),
                None => to.write(&mut buf),
                Some(at) => {
                    let written = to.write_at(*at, &mut buf)?;
                    *at += written as u64;
                    Ok(written)
                }
            }
        };
        let moved = match step() {
            Ok(0) => break,
            Ok(moved) => moved,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        };
        match from_at.as_deref_mut() {
            Some(at) => *at += moved as u64,
            None => from.set_position(start + moved as u64),
        }
        done += moved;
    }
    Ok(done)
}

/// The offset at an address, if there is one.
pub(super) fn offset_at(address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    checked(user::read::<usize>(address)?).map(Some)
}

pub(super) fn put_offset(address: usize, at: Option<u64>) -> Result<(), Errno> {
    at.map_or(Ok(()), |at| user::write(address, &at))
}

pub(super) fn sendfile(
    to: usize,
    from: usize,
    offset: usize,
    count: usize,
) -> Result<usize, Errno> {
    let (to, from) = (file(to)?, file(from)?);
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    // Not from streams, nor to the end of a file, as on Linux: callers fall back to read and write.
    if from.io()?.size().is_none() || to.flags() & O_APPEND != 0 {
        return Err(Errno::EINVAL);
    }
    let mut at = offset_at(offset)?;
    let done = copy(&from, at.as_mut(), &to, None, count)?;
    put_offset(offset, at)?;
    Ok(done)
}

pub(super) fn copy_file_range(a: &[usize; 6]) -> Result<usize, Errno> {
    let (from, to) = (file(a[0])?, file(a[2])?);
    if a[5] != 0 || from.node().kind() != Kind::Regular || to.node().kind() != Kind::Regular {
        return Err(Errno::EINVAL);
    }
    if !from.readable() || !to.writable() || to.flags() & O_APPEND != 0 {
        return Err(Errno::EBADF);
    }
    let (mut from_at, mut to_at) = (offset_at(a[1])?, offset_at(a[3])?);
    let done = copy(&from, from_at.as_mut(), &to, to_at.as_mut(), a[4])?;
    put_offset(a[1], from_at)?;
    put_offset(a[3], to_at)?;
    Ok(done)
}
