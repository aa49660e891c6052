//! ext2: the file system on a disk.
//!
//! It reads and writes what mke2fs(8) makes with `-t ext2 -b 4096`: blocks are as large as pages, so
//! that each page of a file is one block. What else there is in the family (journals, extents, other
//! block sizes) is refused at the mount.
//!
//! | file | what |
//! |---|---|
//! | [`superblock`], [`group`], [`inode`], [`entry`], [`bitmap`] | what lies on the disk |
//! | [`block`], [`metadata`] | blocks of metadata in the disk's page cache |
//! | [`allocator`], [`way`], [`map`], [`directory`] | what is done with them |
//! | [`volume`], [`node`], [`verbs`], [`reap`] | a mount, its inodes, their names, their end |
//! | [`contents`], [`extents`], [`pager`], [`data`] | the bytes of files |
//! | [`swap`] | files that memory is put back to |
//!
//! # One cache
//!
//! The bytes of a file are the pages of its vnode object, for read, write and mmap alike. Metadata is in
//! the object of the disk itself, each inode also in its [`Ext2Node`](node::Ext2Node); every change is
//! made in both at once, so that writing back is nothing but putting dirty pages. A block is never in
//! both caches: one that was metadata is clean when it is given back.
//!
//! Blocks are allocated when a page is written, or, in a file that is mapped shared by somebody who may
//! write it, when a page comes to memory. A store through a mapping so cannot fail later; where the disk
//! is full the page cannot come, and the program gets SIGBUS, as on Linux (but there only for stores).
//!
//! # Locks
//!
//! In this order:
//! 1. a file's `changes`: one thread at a time writes to it, or changes its size;
//! 2. the volume's `metadata`: one thread at a time looks at the disk's metadata or changes it. Pages of
//!    files may need it to come, so nobody waits for such a page while he holds it;
//! 3. the short ones of a node's fields and of the table of nodes, taken alone, never while blocking.
//!
//! Pages leave without any of the first two, so making room never waits for who needs it.

mod allocator;
mod bitmap;
mod block;
mod contents;
mod data;
mod directory;
mod entry;
mod extents;
mod group;
mod inode;
mod map;
mod metadata;
mod node;
mod pager;
mod reap;
mod superblock;
pub(super) mod swap;
mod verbs;
mod volume;
mod way;

use alloc::sync::Arc;

use super::inode::Node;
use crate::linux::Errno;
use node::Ext2Node;
use volume::Volume;

pub use reap::start;

/// Bytes of a block.
const BLOCK: usize = scalvm::PAGE_SIZE;

/// Mounts the file system on the disk of this number; returns its root directory. EBUSY if the disk is
/// used, EINVAL if there is no file system that this kernel knows, EACCES if it is to be written and
/// cannot be. Blocks.
pub fn mount(index: usize, read_only: bool) -> Result<Node, Errno> {
    let root: Node = Volume::mount(index, read_only)?;
    Ok(root)
}

/// An inode, if it is one of these file systems.
fn root_of(node: &Node) -> Option<Arc<Ext2Node>> {
    node.clone().into_any().downcast().ok()
}

/// Ends the file system with this root, if it is one of these: everything is written. EBUSY if anything
/// but the root is used. Blocks.
pub fn unmount(root: &Node) -> Result<(), Errno> {
    root_of(root).map_or(Ok(()), |root| root.volume.unmount())
}

/// Whether nothing may be changed in the file system with this root.
pub fn is_read_only(root: &Node) -> bool {
    root_of(root).is_some_and(|root| root.volume.is_read_only())
}

/// Allows changes in the file system with this root, or no more. Blocks.
pub fn set_read_only(root: &Node, read_only: bool) -> Result<(), Errno> {
    match root_of(root) {
        Some(root) if read_only => root.volume.end_writing(),
        Some(root) if root.volume.is_read_only() => root.volume.begin_writing(),
        _ => Ok(()),
    }
}

/// The power goes off: inodes without a name end, whoever uses them, and everything is written. Blocks.
pub fn shut_down(root: &Node) -> Result<(), Errno> {
    root_of(root).map_or(Ok(()), |root| root.volume.shut_down())
}
