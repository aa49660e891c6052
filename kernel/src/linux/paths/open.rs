//! open(2).

use linux_raw_sys::general::*;

use super::{At, masked};
use crate::fs::file::File;
use crate::fs::inode::{Kind, New, Node};
use crate::fs::walk::Last;
use crate::linux::Errno;
use crate::linux::files::install;

/// The flags that an open file keeps.
const KEPT: u32 =
    O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_NOATIME | FASYNC;

pub(super) fn open(fd: usize, path: usize, flags: u32, mode: u32) -> Result<usize, Errno> {
    let at = At::new(fd, path)?;
    let file = if flags & O_PATH != 0 {
        let last = if flags & O_NOFOLLOW != 0 {
            Last::Keep
        } else {
            Last::Follow
        };
        let node = at.locate(last)?.existing()?;
        check_kind(&node, flags & O_DIRECTORY)?;
        File::path_only(node, flags & (O_DIRECTORY | O_NOFOLLOW))?
    } else {
        let (node, is_new) = find(&at, flags, mode)?;
        if flags & O_DIRECT != 0 && !may_be_direct(&node) {
            return Err(Errno::EINVAL);
        }
        let truncates = flags & O_TRUNC != 0 && !is_new && node.kind() == Kind::Regular;
        let io = node.clone().open(flags)?;
        if truncates {
            io.truncate(0)?;
        }
        File::new(node, io, flags & KEPT | O_LARGEFILE)?
    };
    install(file, flags & O_CLOEXEC != 0)
}

/// The inode to open, and whether it was made for that.
fn find(at: &At, flags: u32, mode: u32) -> Result<(Node, bool), Errno> {
    let creates = flags & O_CREAT != 0;
    let exclusive = creates && flags & O_EXCL != 0;
    let last = if exclusive || flags & O_NOFOLLOW != 0 {
        Last::Keep
    } else {
        Last::Follow
    };
    let found = at.locate(last)?;
    match &found.node {
        Some(_) if exclusive => Err(Errno::EEXIST),
        Some(node) => {
            check_kind(node, flags)?;
            Ok((node.clone(), false))
        }
        None if !creates => Err(Errno::ENOENT),
        None if found.slash => Err(Errno::EISDIR),
        None if flags & O_DIRECTORY != 0 => Err(Errno::EINVAL),
        None => Ok((
            found.dir.make(found.name(), New::Regular, masked(mode))?,
            true,
        )),
    }
}

/// Whether O_DIRECT is taken. Files of file systems take it, and are read and written by way of the cache all the same.
pub fn may_be_direct(node: &Node) -> bool {
    !matches!(node.kind(), Kind::Directory | Kind::CharDevice)
}

/// Whether an inode of this kind can be opened so.
fn check_kind(node: &Node, flags: u32) -> Result<(), Errno> {
    match node.kind() {
        Kind::Directory if flags & (O_ACCMODE | O_CREAT) != O_RDONLY => Err(Errno::EISDIR),
        Kind::Directory => Ok(()),
        _ if flags & O_DIRECTORY != 0 => Err(Errno::ENOTDIR),
        Kind::Symlink if flags & O_NOFOLLOW != 0 => Err(Errno::ELOOP),
        _ => Ok(()),
    }
}
