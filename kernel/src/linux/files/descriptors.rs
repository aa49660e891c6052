//! System calls that make, copy and close descriptors.

// Linux's names of its calls.
#![allow(non_upper_case_globals)]

use linux_raw_sys::general::*;

use super::file;
use crate::fs::file::File;
use crate::fs::{FileHandle, epoll, eventfd, memory, pipe, signalfd, table, tmpfs};
use crate::linux::Errno;
use crate::mm::user;
use crate::task::{self, SigSet};

/// Flags of close_range(2).
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;
/// The longest name of memfd_create(2).
const MAX_MEMFD_NAME: usize = 249;

pub(super) fn dispatch(nr: usize, a: &[usize; 6]) -> Option<Result<usize, Errno>> {
    Some(match nr as u32 {
        __NR_close => close(a[0]),
        __NR_close_range => close_range(a[0], a[1], a[2] as u32),
        __NR_dup => duplicate(a[0], 0, false),
        __NR_dup2 => duplicate_to(a[0], a[1], None),
        __NR_dup3 => duplicate_to(a[0], a[1], Some(a[2] as u32)),
        __NR_pipe => make_pipe(a[0], 0),
        __NR_pipe2 => make_pipe(a[0], a[1] as u32),
        __NR_eventfd => make_eventfd(a[0], 0),
        __NR_eventfd2 => make_eventfd(a[0], a[1] as u32),
        __NR_signalfd => make_signalfd(a[0], a[1], a[2], 0),
        __NR_signalfd4 => make_signalfd(a[0], a[1], a[2], a[3] as u32),
        __NR_epoll_create if (a[0] as isize) <= 0 => Err(Errno::EINVAL),
        __NR_epoll_create => make_epoll(0),
        __NR_epoll_create1 => make_epoll(a[0] as u32),
        __NR_memfd_create => memfd_create(a[0], a[1] as u32),
        _ => return None,
    })
}

/// Gives a file the lowest descriptor.
pub(in crate::linux) fn install(file: FileHandle, close_on_exec: bool) -> Result<usize, Errno> {
    task::current().files().lock().add(file, 0, close_on_exec)
}

fn close(fd: usize) -> Result<usize, Errno> {
    table::close(&task::current().files(), fd)?;
    Ok(0)
}

fn close_range(first: usize, last: usize, flags: u32) -> Result<usize, Errno> {
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        task::current().unshare_files()?;
    }
    let files = task::current().files();
    let end = files.lock().end().min(last.saturating_add(1));
    for fd in first..end {
        // Descriptors that are free are passed over.
        let _ = if flags & CLOSE_RANGE_CLOEXEC != 0 {
            files.lock().set_close_on_exec(fd, true)
        } else {
            table::close(&files, fd)
        };
    }
    Ok(0)
}

/// A copy of a descriptor that is at least `least`.
pub(super) fn duplicate(fd: usize, least: usize, close_on_exec: bool) -> Result<usize, Errno> {
    let files = task::current().files();
    let mut files = files.lock();
    let file = files.get(fd)?.clone();
    files.add(file, least, close_on_exec)
}

/// dup2(2), or dup3(2) with its flags.
fn duplicate_to(fd: usize, to: usize, flags: Option<u32>) -> Result<usize, Errno> {
    if flags.unwrap_or(0) & !O_CLOEXEC != 0 || flags.is_some() && fd == to {
        return Err(Errno::EINVAL);
    }
    let file = file(fd)?;
    if fd == to {
        return Ok(to);
    }
    let files = task::current().files();
    let old = files
        .lock()
        .put(to, file, flags.unwrap_or(0) & O_CLOEXEC != 0)?;
    if let Some(old) = old {
        let owner = files.lock().lock_owner();
        table::replaced(owner, old);
    }
    Ok(to)
}

fn make_pipe(address: usize, flags: u32) -> Result<usize, Errno> {
    // Packets (O_DIRECT) are not offered.
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let (read, write) = pipe::open_pair(flags & O_NONBLOCK)?;
    install_pair([read, write], address, flags & O_CLOEXEC != 0)
}

/// Gives two files the lowest descriptors, and writes those to this address.
pub(in crate::linux) fn install_pair(
    [one, other]: [FileHandle; 2],
    address: usize,
    close_on_exec: bool,
) -> Result<usize, Errno> {
    let one = install(one, close_on_exec)?;
    let result = install(other, close_on_exec).and_then(|other| {
        let pair = [one as u32, other as u32];
        user::write(address, &pair).inspect_err(|_| undo(other))
    });
    result.inspect_err(|_| undo(one)).map(|()| 0)
}

/// Closes what a call that failed had opened.
pub(in crate::linux) fn undo(fd: usize) {
    // Another thread may have closed it already.
    let _ = close(fd);
}

fn make_eventfd(count: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !(EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let semaphore = flags & EFD_SEMAPHORE != 0;
    let file = eventfd::open(u64::from(count as u32), semaphore, flags & O_NONBLOCK)?;
    install(file, flags & EFD_CLOEXEC != 0)
}

/// signalfd4(2): a new file, or other signals for one that there is.
fn make_signalfd(fd: usize, set: usize, size: usize, flags: u32) -> Result<usize, Errno> {
    if size != size_of::<SigSet>() || flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let which = SigSet(user::read_u64(set)?).without(SigSet::UNMASKABLE);
    if fd as i32 == -1 {
        let file = signalfd::open(which, flags & O_NONBLOCK)?;
        return install(file, flags & O_CLOEXEC != 0);
    }
    signalfd::change(&*file(fd)?, which)?;
    Ok(fd)
}

fn make_epoll(flags: u32) -> Result<usize, Errno> {
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    install(epoll::open()?, flags & EPOLL_CLOEXEC != 0)
}

fn memfd_create(name: usize, flags: u32) -> Result<usize, Errno> {
    const KNOWN: u32 = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC;
    const SIZES: u32 = MFD_HUGE_MASK << MFD_HUGE_SHIFT;
    let huge = flags & MFD_HUGETLB != 0;
    if flags & !(KNOWN | if huge { SIZES } else { 0 }) != 0
        || flags & (MFD_EXEC | MFD_NOEXEC_SEAL) == MFD_EXEC | MFD_NOEXEC_SEAL
    {
        return Err(Errno::EINVAL);
    }
    let name = user::copy_in_str_or(name, MAX_MEMFD_NAME + 1, Errno::EINVAL)?;
    let mut label = memory::vec(b"/memfd:")?;
    memory::extend(&mut label, &name)?;
    memory::extend(&mut label, b" (deleted)")?;
    if huge {
        // As where there is no hugetlbfs.
        return Err(Errno::ENOSYS);
    }
    let (permissions, seals) = match flags {
        _ if flags & MFD_NOEXEC_SEAL != 0 => (0o666, F_SEAL_EXEC),
        _ if flags & MFD_ALLOW_SEALING != 0 => (0o777, 0),
        _ => (0o777, F_SEAL_SEAL),
    };
    let (node, io) = tmpfs::nameless(&label, permissions, seals)?;
    install(
        File::new(node, io, O_RDWR | O_LARGEFILE)?,
        flags & MFD_CLOEXEC != 0,
    )
}
