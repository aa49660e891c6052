//! swapon(2) and swapoff(2).

use linux_raw_sys::general::AT_FDCWD;

use super::At;
use crate::fs::inode::{Kind, Node};
use crate::fs::swap;
use crate::fs::walk::Last;
use crate::linux::Errno;

/// The flags say a priority, in the bits below.
const PREFER: u32 = 0x8000;
const PRIORITY: u32 = 0x7fff;
/// Whether the disk is told of pages that are free, and when. None is.
const DISCARD: u32 = 0x7_0000;

pub(super) fn swapon(path: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !(PREFER | PRIORITY | DISCARD) != 0 {
        return Err(Errno::EINVAL);
    }
    let priority = (flags & PREFER != 0).then_some((flags & PRIORITY) as i16);
    swap::turn_on(&node(path)?, priority)?;
    Ok(0)
}

pub(super) fn swapoff(path: usize) -> Result<usize, Errno> {
    swap::turn_off(&node(path)?)?;
    Ok(0)
}

/// What the path leads to, which Linux opens to be written.
fn node(path: usize) -> Result<Node, Errno> {
    let node = At::new(AT_FDCWD as isize as usize, path)?
        .locate(Last::Follow)?
        .existing()?;
    match node.kind() {
        Kind::Directory => Err(Errno::EISDIR),
        _ => Ok(node),
    }
}
