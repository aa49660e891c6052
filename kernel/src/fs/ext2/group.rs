//! [`Group`]: what a group of blocks has, and where.

use bytemuck::{Pod, Zeroable};

use super::BLOCK;

/// The block where the table of groups begins: behind the superblock's.
pub(super) const TABLE: u32 = 1;
/// Descriptors in a block.
pub(super) const IN_A_BLOCK: u32 = (BLOCK / size_of::<Group>()) as u32;

/// A group's descriptor, as it lies on the disk.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct Group {
    /// The block that says which blocks are used.
    pub block_bitmap: u32,
    /// The block that says which inodes are used.
    pub inode_bitmap: u32,
    /// The first block of its inodes.
    pub inode_table: u32,
    pub free_blocks: u16,
    pub free_inodes: u16,
    pub directories: u16,
    flags: u16,
    reserved: [u32; 3],
}
