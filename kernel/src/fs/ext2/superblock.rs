//! [`Superblock`]: what a file system says of itself, at byte 1024 of its disk.

use bytemuck::{Pod, Zeroable};

use super::inode::Raw;
use super::{BLOCK, group};
use crate::linux::Errno;

/// Where it is in the first block.
pub(super) const AT: usize = 1024;
const MAGIC: u16 = 0xef53;
/// The revision that has features and says how large inodes are.
const DYNAMIC: u32 = 1;
/// Block sizes are 1024 shifted by a number: this one for [`BLOCK`].
const LOG_BLOCK: u32 = BLOCK.trailing_zeros() - 10;

/// It was unmounted in order.
const STATE_CLEAN: u16 = 1;
/// Directory entries tell what they name: which every file system has that is not very old, and which
/// is asked for here.
const INCOMPAT_FILETYPE: u32 = 2;
/// Only some groups have copies of the superblock; files may be larger than 2 GiB.
const RO_COMPAT_KNOWN: u32 = 1 | 2;

/// A superblock, as it lies on the disk, up to the last field that is used here.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Superblock {
    pub inodes: u32,
    pub blocks: u32,
    pub reserved_blocks: u32,
    pub free_blocks: u32,
    pub free_inodes: u32,
    pub first_data_block: u32,
    log_block: u32,
    log_fragment: u32,
    pub blocks_per_group: u32,
    fragments_per_group: u32,
    pub inodes_per_group: u32,
    pub mount_time: u32,
    pub write_time: u32,
    pub mounts: u16,
    most_mounts: u16,
    magic: u16,
    state: u16,
    errors: u16,
    minor_revision: u16,
    check_time: u32,
    check_interval: u32,
    creator: u32,
    revision: u32,
    reserved_uid: u16,
    reserved_gid: u16,
    first_inode: u32,
    inode_size: u16,
    group: u16,
    compat: u32,
    incompat: u32,
    ro_compat: u32,
}

impl Superblock {
    /// Fails unless this kernel can read the file system, whose disk has so many bytes; and, if it
    /// is `to_write`, change it. EINVAL, as on Linux.
    pub fn check(&self, bytes: u64, to_write: bool) -> Result<(), Errno> {
        let bits_of_a_block = 8 * BLOCK as u32;
        let is_sound = self.magic == MAGIC
            && self.revision >= DYNAMIC
            && self.log_block == LOG_BLOCK
            && self.first_data_block == 0
            && self.blocks > 0
            && u64::from(self.blocks) * BLOCK as u64 <= bytes
            && (1..=bits_of_a_block).contains(&self.blocks_per_group)
            && (1..=bits_of_a_block).contains(&self.inodes_per_group)
            && self.inode_size.is_power_of_two()
            && (size_of::<Raw>()..=BLOCK).contains(&self.inode_size())
            && u64::from(self.inodes)
                <= u64::from(self.groups()) * u64::from(self.inodes_per_group)
            && u64::from(self.groups()).div_ceil(group::IN_A_BLOCK.into()) < u64::from(self.blocks);
        let is_known = self.incompat == INCOMPAT_FILETYPE
            && (!to_write || self.ro_compat & !RO_COMPAT_KNOWN == 0);
        if is_sound && is_known {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Groups of blocks.
    pub fn groups(&self) -> u32 {
        self.blocks.div_ceil(self.blocks_per_group)
    }

    /// Bytes of an inode.
    pub fn inode_size(&self) -> usize {
        self.inode_size.into()
    }

    /// The first inode that a file may have.
    pub fn first_inode(&self) -> u32 {
        self.first_inode
    }

    /// Notes whether everything is on the disk.
    pub fn set_clean(&mut self, is_clean: bool) {
        self.state = self.state & !STATE_CLEAN | if is_clean { STATE_CLEAN } else { 0 };
    }
}
