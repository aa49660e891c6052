//! Where a process stands, and what is mounted where.

use linux_raw_sys::general::{
    MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MOVE, MS_PRIVATE, MS_RDONLY, MS_REMOUNT,
    MS_SHARED, MS_SLAVE, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};

use super::{At, CWD};
use crate::fs::mount::{self as mounts, Medium};
use crate::fs::walk::{self, Last, MAX_PATH};
use crate::fs::{ext2, names, tmpfs};
use crate::linux::Errno;
use crate::linux::files::file;
use crate::mm::user;
use crate::task;

pub(super) fn chdir(path: usize) -> Result<usize, Errno> {
    let node = walk::directory(At::new(CWD, path)?.node(0)?)?;
    task::current().fs().lock().cwd = node;
    Ok(0)
}

pub(super) fn fchdir(fd: usize) -> Result<usize, Errno> {
    let node = walk::directory(file(fd)?.node().clone())?;
    task::current().fs().lock().cwd = node;
    Ok(0)
}

pub(super) fn chroot(path: usize) -> Result<usize, Errno> {
    let node = walk::directory(At::new(CWD, path)?.node(0)?)?;
    task::current().fs().lock().root = node;
    Ok(0)
}

pub(super) fn getcwd(to: usize, len: usize) -> Result<usize, Errno> {
    let context = task::current().fs().lock().clone();
    if context.cwd.stat().nlink == 0 {
        return Err(Errno::ENOENT);
    }
    let mut path = names::path_below(&context.cwd, Some(&context.root))?;
    crate::fs::memory::push(&mut path, 0)?;
    if path.len() > len {
        return Err(Errno::ERANGE);
    }
    user::copy_out(to, &path)?;
    Ok(path.len())
}

pub(super) fn mount(
    source: usize,
    target: usize,
    kind: usize,
    flags: u32,
    data: usize,
) -> Result<usize, Errno> {
    let string = |address: usize| match address {
        0 => Ok(alloc::vec::Vec::new()),
        address => user::copy_in_str(address, MAX_PATH),
    };
    let (source, kind, data) = (string(source)?, string(kind)?, string(data)?);
    let node = At::new(CWD, target)?.node(0)?;
    if flags & (MS_BIND | MS_MOVE) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_memory = matches!(kind.as_slice(), b"tmpfs" | b"ramfs") || flags & MS_REMOUNT != 0;
    for option in data.split(|byte| *byte == b',').filter(|_| is_memory) {
        if let Some(size) = option.strip_prefix(b"size=") {
            tmpfs::set_limit(size)?;
        }
    }
    let read_only = flags & MS_RDONLY != 0;
    if flags & MS_REMOUNT != 0 && mounts::is_root(&node) {
        ext2::set_read_only(&node, read_only)?;
        return Ok(0);
    }
    // Nothing is shared between mounts, and no other option changes anything.
    if flags & (MS_REMOUNT | MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE) != 0 {
        return Ok(0);
    }
    let is_on_disk = mounts::ON_DISKS.iter().any(|name| name.as_bytes() == kind);
    let medium = match is_on_disk {
        true => {
            let context = task::current().fs().lock().clone();
            let node = walk::lookup(&context, &context.cwd, &source, Last::Follow)?;
            Some(Medium { node, read_only })
        }
        false => None,
    };
    mounts::mount(node, &kind, &source, medium)?;
    Ok(0)
}

pub(super) fn umount(path: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let at = At::new(CWD, path)?;
    let last = if flags & UMOUNT_NOFOLLOW != 0 {
        Last::Keep
    } else {
        Last::Follow
    };
    mounts::unmount(&at.locate(last)?.existing()?, flags & MNT_DETACH != 0)?;
    Ok(0)
}
