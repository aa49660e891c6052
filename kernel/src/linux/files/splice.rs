//! splice(2), tee(2), vmsplice(2): the arguments, and what they are about.

use alloc::sync::Arc;

use linux_raw_sys::general::{
    O_APPEND, SPLICE_F_GIFT, SPLICE_F_MORE, SPLICE_F_MOVE, SPLICE_F_NONBLOCK,
};

use super::transfer::{offset_at, put_offset};
use super::{MAX_BYTES, MAX_PIECES, file};
use crate::fs::buffer::Buf;
use crate::fs::pipe::Pipe;
use crate::fs::{FileHandle, splice};
use crate::linux::Errno;
use crate::mm::user;

const KNOWN: u32 = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT;

/// The pipe behind a file, if it is one.
fn pipe_of(file: &FileHandle) -> Result<Option<Arc<Pipe>>, Errno> {
    Ok(file.io()?.clone().into_any().downcast::<Pipe>().ok())
}

/// Whether to wait for a pipe.
fn waits(file: &FileHandle, flags: u32) -> bool {
    flags & SPLICE_F_NONBLOCK == 0 && !file.nonblocking()
}

pub(super) fn splice(a: &[usize; 6]) -> Result<usize, Errno> {
    let [from, from_at, to, to_at, len, flags] = *a;
    let (len, flags) = (len.min(MAX_BYTES), flags as u32);
    if len == 0 {
        return Ok(0);
    }
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (file(from)?, file(to)?);
    let (source, target) = (pipe_of(&from)?, pipe_of(&to)?);
    if source.is_some() && from_at != 0 || target.is_some() && to_at != 0 {
        return Err(Errno::ESPIPE);
    }
    let (mut from_offset, mut to_offset) = (offset_at(from_at)?, offset_at(to_at)?);
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    let done = match (source, target) {
        (Some(source), Some(target)) => {
            if Arc::ptr_eq(&source, &target) {
                return Err(Errno::EINVAL);
            }
            let waits = waits(&from, flags) && !to.nonblocking();
            splice::to_pipe(&source, &target, len, waits, false)?
        }
        (Some(source), None) => {
            if to.flags() & O_APPEND != 0 || to_offset.is_some() && to.io()?.size().is_none() {
                return Err(Errno::EINVAL);
            }
            splice::to_file(
                &source,
                len,
                waits(&from, flags),
                |buf| match &mut to_offset {
                    None => to.write(buf),
                    Some(at) => {
                        let done = to.write_at(*at, buf)?;
                        *at += done as u64;
                        Ok(done)
                    }
                },
            )?
        }
        (None, Some(target)) => {
            if from_offset.is_some() && from.io()?.size().is_none() {
                return Err(Errno::EINVAL);
            }
            let at = from_offset.unwrap_or(from.position());
            let done = splice::from_file(&from, at, &target, len, waits(&to, flags))?;
            match &mut from_offset {
                Some(at) => *at += done as u64,
                None => from.set_position(at + done as u64),
            }
            done
        }
        (None, None) => return Err(Errno::EINVAL),
    };
    put_offset(from_at, from_offset)?;
    put_offset(to_at, to_offset)?;
    Ok(done)
}

pub(super) fn tee(from: usize, to: usize, len: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (file(from)?, file(to)?);
    if !from.readable() || !to.writable() {
        return Err(Errno::EBADF);
    }
    match (pipe_of(&from)?, pipe_of(&to)?) {
        (Some(source), Some(target)) if !Arc::ptr_eq(&source, &target) => {
            let waits = waits(&from, flags) && !to.nonblocking();
            splice::to_pipe(&source, &target, len.min(MAX_BYTES), waits, true)
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Pieces of memory into a pipe, which are lent; or, of the other end, out of it.
pub(super) fn vmsplice(fd: usize, pieces: usize, count: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let file = file(fd)?;
    let pipe = pipe_of(&file)?.ok_or(Errno::EBADF)?;
    if count > MAX_PIECES {
        return Err(Errno::EINVAL);
    }
    let wait = waits(&file, flags);
    let mut done = 0;
    for piece in 0..count {
        let mut step = || {
            let [address, len] =
                user::read::<[usize; 2]>(pieces + piece * size_of::<[usize; 2]>())?;
            if len > isize::MAX as usize {
                return Err(Errno::EINVAL);
            }
            let len = len.min(MAX_BYTES - done);
            // The first wait is the last one.
            let moved = match len {
                0 => 0,
                _ if file.writable() => {
                    splice::from_memory(&pipe, address, len, wait && done == 0)?
                }
                _ => {
                    let mut buf = Buf::user(address, len);
                    pipe.drain(len, wait && done == 0, |bytes| buf.put(bytes))?
                }
            };
            done += moved;
            Ok(moved == len)
        };
        match step() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}
