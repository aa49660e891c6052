//! [`Metadata`]: everything on the disk but the bytes of files.
//!
//! Blocks are pages of the disk's own object, which is their cache. One [`Volume`](super::Volume) has
//! one of these behind its lock, so what is here has it alone; the allocators are in `allocator`, the
//! pointers of files in `map`, directories in `directory`.

use scalvm::{Access, PAGE_SIZE};

use super::BLOCK;
use super::block::Block;
use super::group::{self, Group};
use super::inode::{Extra, Inode, Raw};
use super::superblock::{self, Superblock};
use crate::fs::paged;
use crate::linux::Errno;
use crate::mm::Object;

/// The metadata of a file system.
pub(super) struct Metadata {
    device: Object,
    pub superblock: Superblock,
}

impl Metadata {
    /// That of the file system on a disk, whose pages these are. EINVAL unless this kernel knows it,
    /// and can change it if that is wanted. Blocks.
    pub fn read(device: Object, to_write: bool) -> Result<Metadata, Errno> {
        let bytes = device.size();
        if bytes < BLOCK as u64 {
            return Err(Errno::EINVAL);
        }
        let first = Block::new(device.hold(0, Access::Read).map_err(paged::errno)?);
        let superblock: Superblock = first.get(superblock::AT);
        superblock.check(bytes, to_write)?;
        Ok(Metadata { device, superblock })
    }

    /// A block. EIO if there is none of this number, which only a damaged file system names. Blocks.
    pub fn block(&self, number: u32, access: Access) -> Result<Block, Errno> {
        if number >= self.superblock.blocks {
            return Err(Errno::EIO);
        }
        let page = self.device.hold(number.into(), access);
        page.map(Block::new).map_err(paged::errno)
    }

    /// A block that has just been allocated, to be written: its bytes are what they were.
    pub fn own(&self, number: u32) -> Result<Block, Errno> {
        self.block(number, Access::Write)
    }

    /// Puts a block to the disk, if it is dirty, and waits for it. Blocks.
    pub fn sync(&self, number: u32) -> Result<(), Errno> {
        let at = u64::from(number) * BLOCK as u64;
        let synced = self.device.sync(at, PAGE_SIZE as u64);
        synced.map_err(paged::pager_errno)
    }

    /// Puts the superblock where the disk's cache has it.
    pub fn put_superblock(&self) -> Result<(), Errno> {
        self.own(0)?.put(superblock::AT, &self.superblock);
        Ok(())
    }

    /// The block with a group's descriptor, and where it is there.
    pub fn group(&self, number: u32, access: Access) -> Result<(Block, usize), Errno> {
        let block = self.block(group::TABLE + number / group::IN_A_BLOCK, access)?;
        let at = (number % group::IN_A_BLOCK) as usize * size_of::<Group>();
        Ok((block, at))
    }

    /// Reads an inode. Blocks.
    pub fn load(&self, ino: u32) -> Result<Inode, Errno> {
        let (block, at) = self.inode_at(ino, Access::Read)?;
        let extra = if self.has_extra() {
            block.get(at + size_of::<Raw>())
        } else {
            bytemuck::Zeroable::zeroed()
        };
        let raw = block.get(at);
        Ok(Inode { raw, extra })
    }

    /// Writes an inode, whole. Blocks.
    pub fn store(&self, ino: u32, inode: &Inode) -> Result<(), Errno> {
        let (mut block, at) = self.inode_at(ino, Access::Write)?;
        block.put(at, &inode.raw);
        if self.has_extra() {
            block.put(at + size_of::<Raw>(), &inode.extra);
        }
        Ok(())
    }

    /// Whether there is room for what large inodes have.
    fn has_extra(&self) -> bool {
        self.superblock.inode_size() >= size_of::<Raw>() + size_of::<Extra>()
    }

    /// The block with an inode, and where it is there.
    fn inode_at(&self, ino: u32, access: Access) -> Result<(Block, usize), Errno> {
        if ino == 0 || ino > self.superblock.inodes {
            return Err(Errno::EIO);
        }
        let (number, index) = self.group_of_inode(ino);
        let (block, at) = self.group(number, Access::Read)?;
        let group: Group = block.get(at);
        let offset = index as usize * self.superblock.inode_size();
        let table = group.inode_table.checked_add((offset / BLOCK) as u32);
        let block = self.block(table.ok_or(Errno::EIO)?, access)?;
        Ok((block, offset % BLOCK))
    }

    /// Where to look for a block for an inode that has none: at the start of its group.
    pub fn first_block_near(&self, ino: u32) -> u32 {
        self.group_of_inode(ino).0 * self.superblock.blocks_per_group
    }

    /// The group of an inode, and its number there.
    pub fn group_of_inode(&self, ino: u32) -> (u32, u32) {
        let per_group = self.superblock.inodes_per_group;
        ((ino - 1) / per_group, (ino - 1) % per_group)
    }
}
