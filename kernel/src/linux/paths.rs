//! System calls that take paths.
//!
//! Here the calls and what they have in common; in [`open`] opening, in [`attributes`] stat, chmod
//! and their kin, in [`names`] what makes, removes and shows names, in [`place`] directories to
//! stand in and mounts, in [`swap`] swapping. The older calls are the newer ones relative to the working directory.

// Linux's names of its calls.
#![allow(non_upper_case_globals)]

mod attributes;
mod names;
mod open;
mod place;
mod swap;

use linux_raw_sys::general::*;

use super::Errno;
use crate::fs::FsContext;
use crate::fs::inode::Node;
use crate::fs::walk::{self, Found, Last, MAX_PATH};
use crate::mm::user;

use crate::task;
pub use open::may_be_direct;

/// The descriptor that stands for the working directory.
const CWD: usize = AT_FDCWD as isize as usize;

/// Carries a call out; none if it is not one of these.
pub fn dispatch(nr: usize, a: [usize; 6]) -> Option<Result<usize, Errno>> {
    const CREATE: u32 = O_CREAT | O_WRONLY | O_TRUNC;
    let [a0, a1, a2, a3, a4, _] = a;
    Some(match nr as u32 {
        __NR_open => open::open(CWD, a0, a1 as u32, a2 as u32),
        __NR_openat => open::open(a0, a1, a2 as u32, a3 as u32),
        __NR_creat => open::open(CWD, a0, CREATE, a1 as u32),
        __NR_openat2 => Err(Errno::ENOSYS),
        __NR_stat => attributes::stat(CWD, a0, a1, 0),
        __NR_lstat => attributes::stat(CWD, a0, a1, AT_SYMLINK_NOFOLLOW),
        __NR_fstat => attributes::fstat(a0, a1),
        __NR_newfstatat => attributes::stat(a0, a1, a2, a3 as u32),
        __NR_statx => attributes::statx(a0, a1, a2 as u32, a4),
        __NR_access => attributes::access(CWD, a0, a1 as u32, 0),
        __NR_faccessat => attributes::access(a0, a1, a2 as u32, 0),
        __NR_faccessat2 => attributes::access(a0, a1, a2 as u32, a3 as u32),
        __NR_chmod => attributes::chmod(CWD, a0, a1 as u32, 0),
        __NR_fchmod => attributes::fchmod(a0, a1 as u32),
        __NR_fchmodat => attributes::chmod(a0, a1, a2 as u32, 0),
        __NR_fchmodat2 => attributes::chmod(a0, a1, a2 as u32, a3 as u32),
        __NR_chown => attributes::chown(CWD, a0, [a1, a2], 0),
        __NR_lchown => attributes::chown(CWD, a0, [a1, a2], AT_SYMLINK_NOFOLLOW),
        __NR_fchown => attributes::fchown(a0, [a1, a2]),
        __NR_fchownat => attributes::chown(a0, a1, [a2, a3], a4 as u32),
        __NR_utimensat => attributes::utimensat(a0, a1, a2, a3 as u32),
        __NR_utime => attributes::utime(a0, a1),
        __NR_utimes => attributes::futimesat(CWD, a0, a1),
        __NR_futimesat => attributes::futimesat(a0, a1, a2),
        __NR_truncate => attributes::truncate(a0, a1),
        __NR_statfs => attributes::statfs(a0, a1),
        __NR_fstatfs => attributes::fstatfs(a0, a1),
        __NR_umask => Ok(attributes::umask(a0 as u32)),
        __NR_getdents64 => names::getdents64(a0, a1, a2),
        __NR_mkdir => names::mkdir(CWD, a0, a1 as u32),
        __NR_mkdirat => names::mkdir(a0, a1, a2 as u32),
        __NR_mknod => names::mknod(CWD, a0, a1 as u32, a2),
        __NR_mknodat => names::mknod(a0, a1, a2 as u32, a3),
        __NR_rmdir => names::unlink(CWD, a0, AT_REMOVEDIR),
        __NR_unlink => names::unlink(CWD, a0, 0),
        __NR_unlinkat => names::unlink(a0, a1, a2 as u32),
        __NR_rename => names::rename([CWD, a0], [CWD, a1], 0),
        __NR_renameat => names::rename([a0, a1], [a2, a3], 0),
        __NR_renameat2 => names::rename([a0, a1], [a2, a3], a4 as u32),
        __NR_link => names::link([CWD, a0], [CWD, a1], 0),
        __NR_linkat => names::link([a0, a1], [a2, a3], a4 as u32),
        __NR_symlink => names::symlink(a0, CWD, a1),
        __NR_symlinkat => names::symlink(a0, a1, a2),
        __NR_readlink => names::readlink(CWD, a0, a1, a2),
        __NR_readlinkat => names::readlink(a0, a1, a2, a3),
        __NR_chdir => place::chdir(a0),
        __NR_fchdir => place::fchdir(a0),
        __NR_chroot => place::chroot(a0),
        __NR_getcwd => place::getcwd(a0, a1),
        __NR_mount => place::mount(a0, a1, a2, a3 as u32, a4),
        __NR_umount2 => place::umount(a0, a1 as u32),
        __NR_swapon => swap::swapon(a0, a1 as u32),
        __NR_swapoff => swap::swapoff(a0),
        _ => return None,
    })
}

/// A path that a program gave, and where it starts.
struct At {
    context: FsContext,
    base: Node,
    path: alloc::vec::Vec<u8>,
}

impl At {
    /// The path at this address, seen from the directory that `fd` is.
    fn new(fd: usize, address: usize) -> Result<At, Errno> {
        let path = user::copy_in_str(address, MAX_PATH)?;
        let process = task::current();
        let context = process.fs().lock().clone();
        let base = match fd as i32 {
            AT_FDCWD => context.cwd.clone(),
            _ if path.first() == Some(&b'/') => context.root.clone(),
            _ if path.is_empty() => super::files::file(fd)?.node().clone(),
            _ => walk::directory(super::files::file(fd)?.node().clone())?,
        };
        Ok(At {
            context,
            base,
            path,
        })
    }

    /// Where it leads: all but the last name exists.
    fn locate(&self, last: Last) -> Result<Found<'_>, Errno> {
        walk::locate(&self.context, &self.base, &self.path, last)
    }

    /// The inode that it leads to. With AT_EMPTY_PATH an empty path leads to the descriptor's own.
    fn node(&self, flags: u32) -> Result<Node, Errno> {
        if self.path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            return Ok(self.base.clone());
        }
        self.locate(last(flags))?.existing()
    }
}

/// What the AT_ flags say of a symbolic link at the end.
fn last(flags: u32) -> Last {
    if flags & AT_SYMLINK_NOFOLLOW != 0 {
        Last::Keep
    } else {
        Last::Follow
    }
}

/// The inode that a descriptor and a path lead to. With AT_EMPTY_PATH the path may be missing.
fn node_at(fd: usize, address: usize, flags: u32) -> Result<Node, Errno> {
    if address == 0 && flags & AT_EMPTY_PATH != 0 {
        return match fd as i32 {
            AT_FDCWD => Ok(task::current().fs().lock().cwd.clone()),
            _ => Ok(super::files::file(fd)?.node().clone()),
        };
    }
    At::new(fd, address)?.node(flags)
}

/// Permission bits without those that the process's mask takes away.
fn masked(mode: u32) -> u32 {
    mode & 0o7777 & !task::current().fs().lock().umask
}
