//! [`Volume`]: a mounted file system, and the inodes of it that are in memory.
//!
//! An inode stays in memory after its last use, and with it what is cached of its file, until others
//! need the room ([`Volume::node`]) or the file system is unmounted. One that has lost its last name
//! ends on the disk when nobody uses it any more: whoever takes the last name away does that if he
//! can, else the thread of [`reap`](super::reap), or whoever finds the disk full.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::metadata::Metadata;
use super::node::Ext2Node;
use crate::arch::time::{SECOND, wall_ns};
use crate::fs::block::{self, BlockDevice};
use crate::fs::inode::FsStat;
use crate::fs::{dev, memory};
use crate::linux::Errno;
use crate::mm::VM;
use crate::sync::Mutex;
use crate::task::{SleepGuard, SleepMutex};

/// EXT2_SUPER_MAGIC of statfs(2).
const MAGIC: u64 = 0xef53;
/// The inode of the root directory.
const ROOT: u32 = 2;
/// One inode is kept in memory for so many frames (arbitrary: they and what belongs to them are a
/// small part of memory then).
const FRAMES_OF_A_NODE: u64 = 16;

/// A mounted file system.
pub(super) struct Volume {
    /// The disk's number in the order of the bus.
    index: usize,
    pub device: Arc<BlockDevice>,
    /// Its device number.
    pub number: u64,
    is_read_only: AtomicBool,
    pub metadata: SleepMutex<Metadata>,
    nodes: Mutex<BTreeMap<u32, Arc<Ext2Node>>>,
}

impl Volume {
    /// Mounts what is on a disk; returns its root directory. EBUSY if the disk is used, EINVAL if
    /// there is no such file system on it, EACCES if it is to be written and cannot be. Blocks.
    pub fn mount(index: usize, read_only: bool) -> Result<Arc<Ext2Node>, Errno> {
        let device = block::claim(index)?;
        let root = Self::open(index, device, read_only);
        if root.is_err() {
            block::release(index);
        }
        root
    }

    fn open(
        index: usize,
        device: Arc<BlockDevice>,
        read_only: bool,
    ) -> Result<Arc<Ext2Node>, Errno> {
        if !read_only && device.disk().is_read_only() {
            return Err(Errno::EACCES);
        }
        // What a program has written there through the disk's own file is part of it.
        device.sync()?;
        let metadata = Metadata::read(device.object().clone(), !read_only)?;
        let volume = memory::arc(Volume {
            index,
            device,
            number: dev::disk_number(index),
            is_read_only: AtomicBool::new(true),
            metadata: SleepMutex::new(metadata),
            nodes: Mutex::new(BTreeMap::new()),
        })?;
        let root = volume.node(&volume.metadata.lock(), ROOT)?;
        if !read_only {
            volume.begin_writing()?;
        }
        Ok(root)
    }

    /// Whether nothing of it may be changed.
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Relaxed)
    }

    /// EROFS if nothing may be changed.
    pub fn check_writable(&self) -> Result<(), Errno> {
        if self.is_read_only() {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    /// Allows changes, and notes that the disk is in use. Blocks.
    pub fn begin_writing(&self) -> Result<(), Errno> {
        let mut metadata = self.metadata.lock();
        metadata
            .superblock
            .check(self.device.disk().bytes(), true)?;
        if self.device.disk().is_read_only() {
            return Err(Errno::EACCES);
        }
        metadata.superblock.set_clean(false);
        metadata.superblock.mounts = metadata.superblock.mounts.saturating_add(1);
        metadata.superblock.mount_time = (wall_ns() / SECOND) as u32;
        metadata.put_superblock()?;
        self.is_read_only.store(false, Relaxed);
        Ok(())
    }

    /// Locks the metadata for somebody who needs so many free blocks, or an inode: if there are fewer,
    /// what has no name and no user ends first. Blocks.
    pub fn lock_with_room(&self, blocks: u32) -> SleepGuard<'_, Metadata> {
        let metadata = self.metadata.lock();
        let superblock = &metadata.superblock;
        if blocks == 0 || superblock.free_blocks >= blocks && superblock.free_inodes > 0 {
            return metadata;
        }
        drop(metadata);
        // If that fails there is no room, which the caller finds out.
        let _ = self.reap();
        self.metadata.lock()
    }

    /// The inode of this number. Blocks.
    pub fn node(self: &Arc<Self>, metadata: &Metadata, ino: u32) -> Result<Arc<Ext2Node>, Errno> {
        if let Some(node) = self.nodes.lock().get(&ino) {
            return Ok(node.clone());
        }
        let inode = metadata.load(ino)?;
        if inode.raw.links == 0 {
            return Err(Errno::EIO);
        }
        let node = Ext2Node::new(self, ino, inode)?;
        self.keep(&node)?;
        Ok(node)
    }

    /// Puts an inode among those that are in memory. Blocks.
    pub fn keep(&self, node: &Arc<Ext2Node>) -> Result<(), Errno> {
        let most = VM.stats().frames_total / FRAMES_OF_A_NODE;
        if self.nodes.lock().len() as u64 >= most {
            self.forget_unused()?;
        }
        memory::prove_insert::<u32, Arc<Ext2Node>>()?;
        self.nodes.lock().insert(node.ino, node.clone());
        Ok(())
    }

    /// Lets the inodes go that nobody uses, when what is dirty of them has been written; those without
    /// a name stay. Blocks.
    fn forget_unused(&self) -> Result<(), Errno> {
        for node in self.list()? {
            // The table has it, and this list.
            if node.links() > 0 && node.is_unused(2) {
                node.sync_contents()?;
                if node.is_unused(2) {
                    self.nodes.lock().remove(&node.ino);
                }
            }
        }
        Ok(())
    }

    /// An inode has ended: nobody has it.
    pub fn forget(&self, ino: u32) {
        self.nodes.lock().remove(&ino);
    }

    /// The inodes in memory, in the order of their numbers.
    pub fn list(&self) -> Result<Vec<Arc<Ext2Node>>, Errno> {
        let nodes = self.nodes.lock();
        let mut list = Vec::new();
        list.try_reserve_exact(nodes.len())
            .map_err(|_| Errno::ENOMEM)?;
        list.extend(nodes.values().cloned());
        Ok(list)
    }

    /// Ends it: everything is written, and the disk is free for other uses. EBUSY if anything but its
    /// root is used. Blocks.
    pub fn unmount(&self) -> Result<(), Errno> {
        // A directory is used by the names in it that are in memory: level by level.
        loop {
            let before = self.nodes.lock().len();
            self.reap()?;
            self.forget_unused()?;
            let left = self.nodes.lock().len();
            if left == before {
                break;
            }
        }
        if self.nodes.lock().len() > 1 {
            return Err(Errno::EBUSY);
        }
        self.end_writing()?;
        self.nodes.lock().clear();
        // Blocks of files were not written through the disk's own cache.
        self.device.forget_pages()?;
        block::release(self.index);
        Ok(())
    }

    /// Allows no more changes, puts everything to the disk and notes that. EBUSY if there are inodes
    /// that have no name but users, or mappings that may write. Blocks.
    pub fn end_writing(&self) -> Result<(), Errno> {
        let is_written = |node: &Arc<Ext2Node>| {
            let contents = node.contents.as_ref();
            contents.is_some_and(|contents| contents.is_filled() && !contents.is_unused())
        };
        if self.reap()? || self.list()?.iter().any(is_written) {
            return Err(Errno::EBUSY);
        }
        if self.is_read_only.swap(true, Relaxed) {
            return Ok(());
        }
        let result = self.finish();
        if result.is_err() {
            self.is_read_only.store(false, Relaxed);
        }
        result
    }

    /// The power goes off: inodes without a name end, whoever uses them, and everything is put to the
    /// disk. Blocks.
    pub fn shut_down(&self) -> Result<(), Errno> {
        if self.is_read_only.swap(true, Relaxed) {
            return Ok(());
        }
        for node in self.list()? {
            if node.links() == 0 {
                self.end(&node)?;
            }
        }
        self.finish()
    }

    fn finish(&self) -> Result<(), Errno> {
        for node in self.list()? {
            node.sync_contents()?;
        }
        self.device.sync()?;
        let mut metadata = self.metadata.lock();
        metadata.superblock.set_clean(true);
        metadata.superblock.write_time = (wall_ns() / SECOND) as u32;
        metadata.put_superblock()?;
        self.device.sync()
    }

    /// What statfs(2) tells. Blocks.
    pub fn stat(&self) -> FsStat {
        // What has no name and no user any more is free, or else still counts.
        let _ = self.reap();
        let superblock = self.metadata.lock().superblock;
        FsStat {
            magic: MAGIC,
            blocks: superblock.blocks.into(),
            free: superblock.free_blocks.into(),
        }
    }
}
