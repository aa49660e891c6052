//! fcntl(2), flock(2), and what every file understands of ioctl(2).

use linux_raw_sys::general::*;
use linux_raw_sys::ioctl::{FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};

use super::descriptors::duplicate;
use super::file;
use crate::fs::FileHandle;
use crate::fs::inode::Kind;
use crate::fs::locks::{self, Lock, Owner};
use crate::fs::pipe::{self, Pipe};
use crate::fs::tmpfs::TmpNode;
use crate::linux::Errno;
use crate::linux::paths::may_be_direct;
use crate::mm::user;
use crate::task;

/// The status flags that F_SETFL changes.
const CHANGEABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME | FASYNC;

pub(super) fn fcntl(fd: usize, command: u32, arg: usize) -> Result<usize, Errno> {
    let files = task::current().files();
    match command {
        F_DUPFD => duplicate(fd, arg, false),
        F_DUPFD_CLOEXEC => duplicate(fd, arg, true),
        F_GETFD => Ok(if files.lock().is_close_on_exec(fd)? {
            FD_CLOEXEC as usize
        } else {
            0
        }),
        F_SETFD => {
            files
                .lock()
                .set_close_on_exec(fd, arg as u32 & FD_CLOEXEC != 0)?;
            Ok(0)
        }
        F_GETFL => Ok(file(fd)?.flags() as usize),
        F_SETFL => {
            let file = file(fd)?;
            if arg as u32 & O_DIRECT != 0 && !may_be_direct(file.node()) {
                return Err(Errno::EINVAL);
            }
            file.set_flags(arg as u32, CHANGEABLE);
            Ok(0)
        }
        F_GETLK | F_SETLK | F_SETLKW => range_lock(&file(fd)?, command, arg),
        F_SETOWN | F_GETOWN => file(fd).map(|_| 0),
        F_GETPIPE_SZ | F_SETPIPE_SZ => {
            if !file(fd)?.io()?.clone().into_any().is::<Pipe>() {
                return Err(Errno::EBADF);
            }
            // All pipes have the same size.
            if command == F_SETPIPE_SZ && arg > pipe::CAPACITY {
                Err(Errno::EPERM)
            } else {
                Ok(pipe::CAPACITY)
            }
        }
        F_ADD_SEALS | F_GET_SEALS => seals(&file(fd)?, command, arg),
        _ => file(fd).and(Err(Errno::EINVAL)),
    }
}

/// F_ADD_SEALS and F_GET_SEALS, of files in memory.
fn seals(file: &FileHandle, command: u32, arg: usize) -> Result<usize, Errno> {
    if command == F_ADD_SEALS && !file.writable() {
        return Err(Errno::EPERM);
    }
    let node = file.io()?.clone().into_any().downcast::<TmpNode>();
    let node = node.map_err(|_| Errno::EINVAL)?;
    if command == F_GET_SEALS {
        return Ok(node.seals()? as usize);
    }
    node.add_seals(u32::try_from(arg).map_err(|_| Errno::EINVAL)?)?;
    Ok(0)
}

/// F_GETLK and F_SETLK with Linux's `struct flock`: type and whence, start, length, process.
fn range_lock(file: &FileHandle, command: u32, address: usize) -> Result<usize, Errno> {
    let [kind, start, len, _] = user::read::<[u64; 4]>(address)?;
    let (kind, whence) = (kind as u16, (kind >> 16) as u16);
    let base = match u32::from(whence) {
        SEEK_SET => 0,
        SEEK_CUR => file.position(),
        SEEK_END => file.io()?.size().unwrap_or(0),
        _ => return Err(Errno::EINVAL),
    };
    let start = base.checked_add_signed(start as i64).ok_or(Errno::EINVAL)?;
    let (start, end) = match len as i64 {
        0 => (start, u64::MAX),
        len if len > 0 => (
            start,
            start.checked_add(len as u64).ok_or(Errno::EOVERFLOW)?,
        ),
        len => (start.checked_add_signed(len).ok_or(Errno::EINVAL)?, start),
    };
    let process = task::current();
    let owner = Owner::Table(process.files().lock().lock_owner());
    let exclusive = match u32::from(kind) {
        F_RDLCK => false,
        F_WRLCK => true,
        F_UNLCK if command != F_GETLK => {
            locks::release(file.node(), owner, start, end)?;
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL),
    };
    let lock = Lock {
        owner,
        pid: process.pid as u32,
        exclusive,
        start,
        end,
    };
    if command == F_GETLK {
        match locks::conflict(file.node(), &lock) {
            None => user::write(address, &(F_UNLCK as u16))?,
            Some(lock) => {
                let kind = if lock.exclusive { F_WRLCK } else { F_RDLCK };
                let len = if lock.end == u64::MAX {
                    0
                } else {
                    lock.end - lock.start
                };
                user::write(
                    address,
                    &[u64::from(kind), lock.start, len, u64::from(lock.pid)],
                )?;
            }
        }
        return Ok(0);
    }
    if if exclusive {
        !file.writable()
    } else {
        !file.readable()
    } {
        return Err(Errno::EBADF);
    }
    locks::take(file.node(), lock, command == F_SETLKW)?;
    Ok(0)
}

pub(super) fn flock(fd: usize, operation: u32) -> Result<usize, Errno> {
    let file = file(fd)?;
    file.io()?;
    let owner = Owner::File(core::ptr::from_ref(&*file).addr());
    let exclusive = match operation & !LOCK_NB {
        LOCK_SH => false,
        LOCK_EX => true,
        LOCK_UN => {
            locks::release(file.node(), owner, 0, u64::MAX)?;
            return Ok(0);
        }
        _ => return Err(Errno::EINVAL),
    };
    let pid = task::current().pid as u32;
    let lock = Lock {
        owner,
        pid,
        exclusive,
        start: 0,
        end: u64::MAX,
    };
    locks::take(file.node(), lock, operation & LOCK_NB == 0)?;
    Ok(0)
}

pub(super) fn ioctl(fd: usize, request: u32, arg: usize) -> Result<usize, Errno> {
    let file = file(fd)?;
    let io = file.io()?;
    let files = task::current().files();
    match request {
        FIOCLEX => files.lock().set_close_on_exec(fd, true)?,
        FIONCLEX => files.lock().set_close_on_exec(fd, false)?,
        FIONBIO | FIOASYNC => {
            let flag = if request == FIONBIO {
                O_NONBLOCK
            } else {
                FASYNC
            };
            let set = user::read::<u32>(arg)? != 0;
            file.set_flags(if set { flag } else { 0 }, flag);
        }
        FIONREAD if file.node().kind() == Kind::Regular => {
            let left = io.size().unwrap_or(0).saturating_sub(file.position());
            user::write(arg, &(left.min(i32::MAX as u64) as u32))?;
        }
        _ => return io.ioctl(&file, request, arg),
    }
    Ok(0)
}
