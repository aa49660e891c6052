//! stat(2), and what changes what it tells.

use linux_raw_sys::general::*;

use super::{At, CWD, node_at};
use crate::arch::time::{SECOND, wall_ns};
use crate::fs::dev;
use crate::fs::inode::{Change, FsStat, Kind, Node, Stat};
use crate::linux::Errno;
use crate::linux::files::file;
use crate::mm::user;
use crate::task;
use scalvm::PAGE_SIZE;

pub(super) fn stat(fd: usize, path: usize, to: usize, flags: u32) -> Result<usize, Errno> {
    put_stat(to, &node_at(fd, path, flags)?.stat())
}

pub(super) fn fstat(fd: usize, to: usize) -> Result<usize, Errno> {
    put_stat(to, &file(fd)?.node().stat())
}

/// Linux's `struct stat`, in words.
fn put_stat(to: usize, stat: &Stat) -> Result<usize, Errno> {
    let words: [u64; 18] = [
        stat.dev,
        stat.ino,
        stat.nlink.into(),
        u64::from(stat.mode) | u64::from(stat.uid) << 32,
        stat.gid.into(),
        stat.rdev,
        stat.size,
        PAGE_SIZE as u64,
        stat.blocks,
        stat.atime / SECOND,
        stat.atime % SECOND,
        stat.mtime / SECOND,
        stat.mtime % SECOND,
        stat.ctime / SECOND,
        stat.ctime % SECOND,
        0,
        0,
        0,
    ];
    user::write(to, &words)?;
    Ok(0)
}

/// statx(2), with Linux's `struct statx` in words.
pub(super) fn statx(fd: usize, path: usize, flags: u32, to: usize) -> Result<usize, Errno> {
    let stat = node_at(fd, path, flags)?.stat();
    let pair = |low: u64, high: u64| low | high << 32;
    let mut words = [0u64; 32];
    words[0] = pair(STATX_BASIC_STATS.into(), PAGE_SIZE as u64);
    words[2] = pair(stat.nlink.into(), stat.uid.into());
    words[3] = pair(stat.gid.into(), stat.mode.into());
    words[4..7].copy_from_slice(&[stat.ino, stat.size, stat.blocks]);
    // The time of birth, which would come second, is not kept.
    for (at, time) in [(8, stat.atime), (12, stat.ctime), (14, stat.mtime)] {
        words[at] = time / SECOND;
        words[at + 1] = time % SECOND;
    }
    words[16] = pair(dev::major(stat.rdev), dev::minor(stat.rdev));
    words[17] = pair(dev::major(stat.dev), dev::minor(stat.dev));
    user::write(to, &words)?;
    Ok(0)
}

/// access(2): everything is allowed but to run what nobody may.
pub(super) fn access(fd: usize, path: usize, mode: u32, flags: u32) -> Result<usize, Errno> {
    if mode & !(R_OK | W_OK | X_OK) != 0 {
        return Err(Errno::EINVAL);
    }
    let node = node_at(fd, path, flags)?;
    let runs = node.kind() == Kind::Directory || node.stat().mode & 0o111 != 0;
    if mode & X_OK != 0 && !runs {
        Err(Errno::EACCES)
    } else {
        Ok(0)
    }
}

/// The inode of a descriptor that is open for more than its path.
fn open_node(fd: usize) -> Result<Node, Errno> {
    let file = file(fd)?;
    file.io()?;
    Ok(file.node().clone())
}

/// What chmod(2) changes.
fn permissions(mode: u32) -> Change {
    Change {
        mode: Some(mode),
        ..Change::default()
    }
}

/// What chown(2) changes: user and group, of which -1 stays.
fn owner(to: [usize; 2]) -> Change {
    let [uid, gid] = to.map(|id| (id as u32 != u32::MAX).then_some(id as u32));
    Change {
        uid,
        gid,
        ..Change::default()
    }
}

pub(super) fn chmod(fd: usize, path: usize, mode: u32, flags: u32) -> Result<usize, Errno> {
    let node = node_at(fd, path, flags)?;
    if node.kind() == Kind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    node.change(permissions(mode))?;
    Ok(0)
}

pub(super) fn fchmod(fd: usize, mode: u32) -> Result<usize, Errno> {
    open_node(fd)?.change(permissions(mode))?;
    Ok(0)
}

pub(super) fn chown(fd: usize, path: usize, to: [usize; 2], flags: u32) -> Result<usize, Errno> {
    node_at(fd, path, flags)?.change(owner(to))?;
    Ok(0)
}

pub(super) fn fchown(fd: usize, to: [usize; 2]) -> Result<usize, Errno> {
    open_node(fd)?.change(owner(to))?;
    Ok(0)
}

pub(super) fn utimensat(fd: usize, path: usize, times: usize, flags: u32) -> Result<usize, Errno> {
    let mut new = [Some(wall_ns()); 2];
    if times != 0 {
        let [a, a_ns, m, m_ns] = user::read::<[u64; 4]>(times)?;
        for (new, (seconds, ns)) in new.iter_mut().zip([(a, a_ns), (m, m_ns)]) {
            match ns {
                _ if ns == u64::from(UTIME_NOW) => {}
                _ if ns == u64::from(UTIME_OMIT) => *new = None,
                _ => *new = Some(time(seconds, ns)?),
            }
        }
    }
    // Without a path the descriptor's own file is meant.
    let flags = if path == 0 {
        flags | AT_EMPTY_PATH
    } else {
        flags
    };
    set_times(fd, path, new, flags)
}

/// utimes(2): seconds and microseconds.
pub(super) fn futimesat(fd: usize, path: usize, times: usize) -> Result<usize, Errno> {
    let mut new = [Some(wall_ns()); 2];
    if times != 0 {
        let [a, a_us, m, m_us] = user::read::<[u64; 4]>(times)?;
        let ns = |us: u64| us.checked_mul(1000).ok_or(Errno::EINVAL);
        new = [Some(time(a, ns(a_us)?)?), Some(time(m, ns(m_us)?)?)];
    }
    set_times(fd, path, new, 0)
}

/// utime(2): seconds.
pub(super) fn utime(path: usize, times: usize) -> Result<usize, Errno> {
    let mut new = [Some(wall_ns()); 2];
    if times != 0 {
        let [a, m] = user::read::<[u64; 2]>(times)?;
        new = [Some(time(a, 0)?), Some(time(m, 0)?)];
    }
    set_times(CWD, path, new, 0)
}

fn set_times(fd: usize, path: usize, new: [Option<u64>; 2], flags: u32) -> Result<usize, Errno> {
    let [atime, mtime] = new;
    node_at(fd, path, flags)?.change(Change {
        atime,
        mtime,
        ..Change::default()
    })?;
    Ok(0)
}

/// Nanoseconds since 1970; times before that become 1970.
fn time(seconds: u64, ns: u64) -> Result<u64, Errno> {
    if ns >= SECOND {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as i64)
        .max(0)
        .unsigned_abs()
        .saturating_mul(SECOND)
        .saturating_add(ns))
}

pub(super) fn truncate(path: usize, size: usize) -> Result<usize, Errno> {
    if (size as isize) < 0 {
        return Err(Errno::EINVAL);
    }
    let node = At::new(CWD, path)?.node(0)?;
    match node.kind() {
        Kind::Directory => Err(Errno::EISDIR),
        Kind::Regular => {
            node.open(O_WRONLY)?.truncate(size as u64)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn statfs(path: usize, to: usize) -> Result<usize, Errno> {
    put_fs_stat(to, At::new(CWD, path)?.node(0)?.fs_stat())
}

pub(super) fn fstatfs(fd: usize, to: usize) -> Result<usize, Errno> {
    put_fs_stat(to, file(fd)?.node().fs_stat())
}

/// Linux's `struct statfs`, in words. Inodes are not limited, so none are counted.
fn put_fs_stat(to: usize, stat: FsStat) -> Result<usize, Errno> {
    const MAX_NAME: u64 = crate::fs::walk::MAX_NAME as u64;
    let page = PAGE_SIZE as u64;
    let mut words = [0u64; 15];
    words[..5].copy_from_slice(&[stat.magic, page, stat.blocks, stat.free, stat.free]);
    words[8] = MAX_NAME;
    words[9] = page;
    user::write(to, &words)?;
    Ok(0)
}

pub(super) fn umask(mask: u32) -> usize {
    let context = task::current().fs();
    core::mem::replace(&mut context.lock().umask, mask & 0o777) as usize
}
