//! Which blocks and inodes are used.
//!
//! Bitmap, group and superblock are held before the first of them is changed, so an allocation
//! happens wholly or not at all.

use scalvm::Access;

use super::bitmap;
use super::group::Group;
use super::metadata::Metadata;
use super::superblock;
use crate::linux::Errno;

impl Metadata {
    /// Takes a free block, the next one behind `goal` if that can be. ENOSPC if there is none. Blocks.
    pub fn allocate_block(&mut self, goal: u32) -> Result<u32, Errno> {
        if self.superblock.free_blocks == 0 {
            return Err(Errno::ENOSPC);
        }
        let (groups, per_group) = (self.superblock.groups(), self.superblock.blocks_per_group);
        let goal = goal % self.superblock.blocks;
        for step in 0..=groups {
            let number = (goal / per_group + step) % groups;
            // The goal's group is looked at twice: from the goal on, and at last from its start.
            let from = if step == 0 { goal % per_group } else { 0 };
            let (mut descriptors, at) = self.group(number, Access::Read)?;
            let mut group: Group = descriptors.get(at);
            if group.free_blocks == 0 {
                continue;
            }
            let first = number * per_group;
            let count = per_group.min(self.superblock.blocks - first);
            let bits = self.block(group.block_bitmap, Access::Read)?;
            let found = bits.with(|b| bitmap::first_free(b, from as usize, count as usize));
            let Some(found) = found else {
                continue;
            };
            drop((bits, descriptors));
            let mut bits = self.block(group.block_bitmap, Access::Write)?;
            let mut first_block = self.block(0, Access::Write)?;
            (descriptors, _) = self.group(number, Access::Write)?;
            bits.with_mut(|b| bitmap::set(b, found));
            group.free_blocks -= 1;
            descriptors.put(at, &group);
            self.superblock.free_blocks -= 1;
            first_block.put(superblock::AT, &self.superblock);
            return Ok(first + found as u32);
        }
        Err(Errno::ENOSPC)
    }

    /// Gives blocks back that follow each other. Blocks.
    pub fn free_blocks(&mut self, first: u32, count: u32) -> Result<(), Errno> {
        let per_group = self.superblock.blocks_per_group;
        let end = first
            .checked_add(count)
            .filter(|end| *end <= self.superblock.blocks)
            .ok_or(Errno::EIO)?;
        let mut at = first;
        while at < end {
            let number = at / per_group;
            let here = (per_group - at % per_group).min(end - at);
            self.free_in_group(number, at % per_group, here)?;
            at += here;
        }
        Ok(())
    }

    fn free_in_group(&mut self, number: u32, first: u32, count: u32) -> Result<(), Errno> {
        let mut first_block = self.block(0, Access::Write)?;
        let (mut descriptors, at) = self.group(number, Access::Write)?;
        let mut group: Group = descriptors.get(at);
        let mut bits = self.block(group.block_bitmap, Access::Write)?;
        let mut freed = 0;
        bits.with_mut(|b| {
            for bit in first as usize..(first + count) as usize {
                // What is free already was named twice, by a damaged file system.
                freed += u16::from(bitmap::is_set(b, bit));
                bitmap::clear(b, bit);
            }
        });
        group.free_blocks = group.free_blocks.saturating_add(freed);
        descriptors.put(at, &group);
        self.superblock.free_blocks = self.superblock.free_blocks.saturating_add(freed.into());
        first_block.put(superblock::AT, &self.superblock);
        Ok(())
    }

    /// Takes a free inode, in the group `near` if that can be; directories go where most are free.
    /// ENOSPC if there is none. Blocks.
    pub fn allocate_inode(&mut self, near: u32, is_directory: bool) -> Result<u32, Errno> {
        let groups = self.superblock.groups();
        let start = if is_directory {
            self.emptiest_group()?
        } else {
            near % groups
        };
        for step in 0..groups {
            let number = (start + step) % groups;
            let (mut descriptors, at) = self.group(number, Access::Read)?;
            let mut group: Group = descriptors.get(at);
            if group.free_inodes == 0 {
                continue;
            }
            let per_group = self.superblock.inodes_per_group;
            let first = number * per_group + 1;
            let from = self.superblock.first_inode().saturating_sub(first);
            let end = per_group.min(self.superblock.inodes + 1 - first);
            let bits = self.block(group.inode_bitmap, Access::Read)?;
            let found = bits.with(|b| bitmap::first_free(b, from as usize, end as usize));
            let Some(found) = found else {
                continue;
            };
            drop((bits, descriptors));
            let mut bits = self.block(group.inode_bitmap, Access::Write)?;
            let mut first_block = self.block(0, Access::Write)?;
            (descriptors, _) = self.group(number, Access::Write)?;
            bits.with_mut(|b| bitmap::set(b, found));
            group.free_inodes -= 1;
            group.directories += u16::from(is_directory);
            descriptors.put(at, &group);
            self.superblock.free_inodes = self.superblock.free_inodes.saturating_sub(1);
            first_block.put(superblock::AT, &self.superblock);
            return Ok(first + found as u32);
        }
        Err(Errno::ENOSPC)
    }

    /// The group with the most free inodes.
    fn emptiest_group(&self) -> Result<u32, Errno> {
        let mut best = (0, 0);
        for number in 0..self.superblock.groups() {
            let (descriptors, at) = self.group(number, Access::Read)?;
            let group: Group = descriptors.get(at);
            if group.free_inodes > best.1 {
                best = (number, group.free_inodes);
            }
        }
        Ok(best.0)
    }

    /// Gives an inode back. Blocks.
    pub fn free_inode(&mut self, ino: u32, is_directory: bool) -> Result<(), Errno> {
        let (number, index) = self.group_of_inode(ino);
        let mut first_block = self.block(0, Access::Write)?;
        let (mut descriptors, at) = self.group(number, Access::Write)?;
        let mut group: Group = descriptors.get(at);
        let mut bits = self.block(group.inode_bitmap, Access::Write)?;
        bits.with_mut(|b| bitmap::clear(b, index as usize));
        group.free_inodes = group.free_inodes.saturating_add(1);
        group.directories = group.directories.saturating_sub(u16::from(is_directory));
        descriptors.put(at, &group);
        self.superblock.free_inodes = self.superblock.free_inodes.saturating_add(1);
        first_block.put(superblock::AT, &self.superblock);
        Ok(())
    }
}
