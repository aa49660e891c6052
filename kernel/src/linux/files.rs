//! System calls on open files.
//!
//! Here the common ones, reading and writing; in [`descriptors`] what concerns descriptors alone,
//! in [`fcntl`] fcntl and ioctl, in [`transfer`] those that move bytes from file to file, in [`splice`] those that do so
//! by way of a pipe.

// Linux's names of its calls.
#![allow(non_upper_case_globals)]

mod descriptors;
mod fcntl;
mod splice;
mod transfer;

pub(super) use descriptors::{install, install_pair, undo};

use alloc::vec::Vec;

use linux_raw_sys::general::*;

use super::Errno;
use crate::fs::buffer::{Buf, Pieces};
use crate::fs::inode::Kind;
use crate::fs::socket::Socket;
use crate::fs::{self, FileHandle, memory};
use crate::mm::user;
use crate::task;

/// The most bytes that one call moves, as on Linux.
pub(super) const MAX_BYTES: usize = 0x7fff_f000;
/// The most pieces of readv(2).
const MAX_PIECES: usize = 1024;

/// Carries a call out; none if it is not one of these.
#[inline]
pub fn dispatch(nr: usize, a: [usize; 6]) -> Option<Result<usize, Errno>> {
    Some(match nr as u32 {
        __NR_read => read(a[0], a[1], a[2]),
        __NR_write => write(a[0], a[1], a[2]),
        __NR_pread64 => pread(a[0], a[1], a[2], a[3]),
        __NR_pwrite64 => pwrite(a[0], a[1], a[2], a[3]),
        __NR_readv => vectored(Way::In, a[0], a[1], a[2], None),
        __NR_writev => vectored(Way::Out, a[0], a[1], a[2], None),
        __NR_preadv => vectored(Way::In, a[0], a[1], a[2], Some(a[3])),
        __NR_pwritev => vectored(Way::Out, a[0], a[1], a[2], Some(a[3])),
        __NR_preadv2 if a[5] == 0 => vectored(Way::In, a[0], a[1], a[2], offset(a[3])),
        __NR_pwritev2 if a[5] == 0 => vectored(Way::Out, a[0], a[1], a[2], offset(a[3])),
        __NR_preadv2 | __NR_pwritev2 => Err(Errno::EOPNOTSUPP),
        __NR_lseek => seek(a[0], a[1], a[2]),
        __NR_ftruncate => truncate(a[0], a[1]),
        __NR_fallocate => allocate(a[0], a[1], a[2], a[3]),
        __NR_fsync | __NR_fdatasync | __NR_sync_file_range => sync(a[0]),
        __NR_sync => fs::sync().map(|()| 0),
        __NR_syncfs => file(a[0]).and_then(|_| fs::sync()).map(|()| 0),
        __NR_fadvise64 => advise(a[0], a[1], a[2], a[3] as u32),
        __NR_readahead => read_ahead(a[0], a[1], a[2]),
        __NR_ioctl => fcntl::ioctl(a[0], a[1] as u32, a[2]),
        __NR_fcntl => fcntl::fcntl(a[0], a[1] as u32, a[2]),
        __NR_flock => fcntl::flock(a[0], a[1] as u32),
        __NR_sendfile => transfer::sendfile(a[0], a[1], a[2], a[3]),
        __NR_copy_file_range => transfer::copy_file_range(&a),
        __NR_splice => splice::splice(&a),
        __NR_tee => splice::tee(a[0], a[1], a[2], a[3] as u32),
        __NR_vmsplice => splice::vmsplice(a[0], a[1], a[2], a[3] as u32),
        _ => return descriptors::dispatch(nr, &a),
    })
}

/// The file of a descriptor of the process that calls.
#[inline]
pub(super) fn file(fd: usize) -> Result<FileHandle, Errno> {
    task::current().files().lock().get(fd).cloned()
}

/// An offset where -1 means the file's own position.
fn offset(at: usize) -> Option<usize> {
    (at != usize::MAX).then_some(at)
}

/// A byte offset that a program gave; EINVAL if it is negative.
fn checked(at: usize) -> Result<u64, Errno> {
    if (at as isize) < 0 {
        Err(Errno::EINVAL)
    } else {
        Ok(at as u64)
    }
}

fn read(fd: usize, address: usize, len: usize) -> Result<usize, Errno> {
    file(fd)?.read(&mut Buf::user(address, len.min(MAX_BYTES)))
}

fn write(fd: usize, address: usize, len: usize) -> Result<usize, Errno> {
    file(fd)?.write(&mut Buf::user(address, len.min(MAX_BYTES)))
}

fn pread(fd: usize, address: usize, len: usize, at: usize) -> Result<usize, Errno> {
    file(fd)?.read_at(checked(at)?, &mut Buf::user(address, len.min(MAX_BYTES)))
}

fn pwrite(fd: usize, address: usize, len: usize, at: usize) -> Result<usize, Errno> {
    file(fd)?.write_at(checked(at)?, &mut Buf::user(address, len.min(MAX_BYTES)))
}

/// Which way bytes go: into the program or out of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// readv(2) and its kin: piece by piece, until one is not filled.
fn vectored(
    way: Way,
    fd: usize,
    pieces: usize,
    count: usize,
    at: Option<usize>,
) -> Result<usize, Errno> {
    if count > MAX_PIECES {
        return Err(Errno::EINVAL);
    }
    let file = file(fd)?;
    let at = at.map(checked).transpose()?;
    if let Some(socket) = at.is_none().then(|| Socket::of(&file)).flatten() {
        // What is written at once is one message.
        let mut pieces = read_pieces(pieces, count)?;
        let data = &mut Pieces::new(&mut pieces);
        return match way {
            Way::In => socket.read_pieces(&file, data),
            Way::Out => socket.write_pieces(&file, data),
        };
    }
    let is_stream = file.io()?.size().is_none();
    let mut done = 0;
    for piece in 0..count {
        let step = || {
            let [address, len] =
                user::read::<[usize; 2]>(pieces + piece * size_of::<[usize; 2]>())?;
            if len > isize::MAX as usize {
                return Err(Errno::EINVAL);
            }
            let len = len.min(MAX_BYTES - done);
            let mut buf = Buf::user(address, len);
            let moved = match (way, at) {
                (Way::In, None) => file.read(&mut buf),
                (Way::Out, None) => file.write(&mut buf),
                (Way::In, Some(at)) => file.read_at(at + done as u64, &mut buf),
                (Way::Out, Some(at)) => file.write_at(at + done as u64, &mut buf),
            }?;
            Ok((moved, moved < len))
        };
        // What has been read of a stream is given at once: there may be no more for a long time.
        if done > 0 && way == Way::In && is_stream && file.ready() & POLLIN == 0 {
            break;
        }
        match step() {
            Ok((moved, is_short)) => {
                done += moved;
                if is_short {
                    break;
                }
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// The pieces of memory that this many `struct iovec` at an address name, at most [`MAX_BYTES`] in
/// all.
pub(super) fn read_pieces(at: usize, count: usize) -> Result<Vec<Buf<'static>>, Errno> {
    let mut pieces = Vec::new();
    let mut left = MAX_BYTES;
    for piece in 0..count {
        let [address, len] = user::read::<[usize; 2]>(at + piece * size_of::<[usize; 2]>())?;
        if len > isize::MAX as usize {
            return Err(Errno::EINVAL);
        }
        let len = len.min(left);
        left -= len;
        memory::push(&mut pieces, Buf::user(address, len))?;
    }
    Ok(pieces)
}

fn seek(fd: usize, offset: usize, whence: usize) -> Result<usize, Errno> {
    Ok(file(fd)?.seek(offset as i64, whence as u32)? as usize)
}

fn truncate(fd: usize, size: usize) -> Result<usize, Errno> {
    let size = checked(size)?;
    let file = file(fd)?;
    if !file.writable() {
        return Err(Errno::EINVAL);
    }
    file.io()?.truncate(size)?;
    Ok(0)
}

fn allocate(fd: usize, mode: usize, at: usize, len: usize) -> Result<usize, Errno> {
    let file = file(fd)?;
    if !file.writable() {
        return Err(Errno::EBADF);
    }
    const PUNCH: u32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    let mode = mode as u32;
    if !matches!(mode, 0 | FALLOC_FL_KEEP_SIZE | PUNCH) {
        return Err(Errno::EOPNOTSUPP);
    }
    let (at, len) = (checked(at)?, checked(len)?);
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let io = file.io()?;
    io.size().ok_or(Errno::ESPIPE)?;
    if mode == PUNCH {
        io.punch(at, len)?;
    } else {
        io.allocate(at, len, mode == FALLOC_FL_KEEP_SIZE)?;
    }
    Ok(0)
}

/// posix_fadvise(2). What will be needed is read, and what will not is written and dropped, if it is clean and nobody maps
/// it; other advice need not be followed.
fn advise(fd: usize, at: usize, len: usize, advice: u32) -> Result<usize, Errno> {
    let file = file(fd)?;
    let io = file.io()?;
    if file.node().kind() == Kind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if (len as isize) < 0 || advice > POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    // No length is all of the file, and what lies before it or beyond any is nowhere.
    let len = if len == 0 { usize::MAX } else { len };
    let Ok(at) = checked(at) else { return Ok(0) };
    if advice == POSIX_FADV_WILLNEED {
        will_need(&file, at, len);
    }
    if advice == POSIX_FADV_DONTNEED
        && let Ok(object) = io.object(file.node())
    {
        object.start_sync(at, len as u64);
        object.drop_clean(at, len as u64);
    }
    Ok(0)
}

fn read_ahead(fd: usize, at: usize, len: usize) -> Result<usize, Errno> {
    let file = file(fd)?;
    if !file.readable() {
        return Err(Errno::EBADF);
    }
    if file.node().kind() != Kind::Regular && file.node().kind() != Kind::BlockDevice {
        return Err(Errno::EINVAL);
    }
    will_need(&file, checked(at)?, len);
    Ok(0)
}

/// Begins to read a part of a file, if it is one that can be read.
fn will_need(file: &FileHandle, at: u64, len: usize) {
    if let Ok(object) = file.io().and_then(|io| io.object(file.node())) {
        object.will_need(at, len as u64);
    }
}

fn sync(fd: usize) -> Result<usize, Errno> {
    file(fd)?.io()?.sync()?;
    Ok(0)
}
