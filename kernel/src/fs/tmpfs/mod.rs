//! The file system in memory: the root of the tree, /dev, and whatever is mounted as tmpfs.
//!
//! A regular file's bytes are an anonymous [`Object`](crate::mm::Object) of the manager, so that a
//! mapping of the file, reads and writes all see the same pages. Directories keep their entries
//! ([`directory`]); each inode is a [`TmpNode`], whose verbs on names are in [`verbs`], those on
//! bytes in [`data`], and what nobody may do with them in [`seals`].

mod budget;
mod data;
mod directory;
mod node;
mod seals;
mod verbs;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use scalvm::{PAGE_SIZE, malloc_type};
use scalvm_alloc::typed_alloc;

use super::inode::{FileIo, FsStat, New, Node};
use crate::linux::Errno;
use crate::mm::{VM, typed};

malloc_type!(
    M_NAMES,
    "names",
    "names of files in memory, and where links lead"
);
typed_alloc!(NameMemory, VM, M_NAMES);

/// A name.
type Name = typed::Box<[u8], NameMemory>;

/// A copy of a name.
fn name(from: &[u8]) -> Result<Name, Errno> {
    typed::bytes(from, NameMemory)
}

pub use budget::set_limit;
pub use node::TmpNode;

/// TMPFS_MAGIC of statfs(2).
const MAGIC: u64 = 0x0102_1994;
/// The largest file, as Linux has it on 64-bit machines.
pub const MAX_SIZE: u64 = i64::MAX as u64 & !(PAGE_SIZE as u64 - 1);

/// An empty file system: its root directory.
pub fn new_root(mode: u32) -> Result<Node, Errno> {
    // Device numbers of file systems without a device have major number 0.
    static NEXT_DEVICE: AtomicU64 = AtomicU64::new(20);
    let root: Node = TmpNode::new(NEXT_DEVICE.fetch_add(1, Relaxed), New::Directory, mode)?;
    Ok(root)
}

/// A file without a name in any directory, called `name` in /proc, with these permissions and seals: what
/// memfd_create(2) makes.
pub fn nameless(
    name: &[u8],
    permissions: u32,
    seals: u32,
) -> Result<(Node, Arc<dyn FileIo>), Errno> {
    const MEMFD_DEVICE: u64 = 1;
    let node = TmpNode::new(MEMFD_DEVICE, New::Regular, permissions)?;
    node.set_label(name)?;
    node.seals.begin_with(seals);
    Ok((node.clone(), node))
}

/// What statfs(2) tells of any of these file systems: half of the memory, as on Linux, or what is
/// free if that is less.
fn fs_stat() -> FsStat {
    let blocks = budget::limit();
    let used = super::names::shared_memory_pages();
    FsStat {
        magic: MAGIC,
        blocks,
        free: blocks.saturating_sub(used).min(VM.stats().frames_free),
    }
}
