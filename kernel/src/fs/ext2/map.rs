//! From the pages of a file to its blocks.

use scalvm::Access;

use super::inode::{Inode, POINTERS};
use super::metadata::Metadata;
use super::way::{DIRECT, IN_A_BLOCK, MOST_LEVELS, Way, span, trees};
use crate::fs::inode::Kind;
use crate::linux::Errno;

/// Blocks that are to be given back, gathered to runs.
#[derive(Default)]
struct Freed {
    first: u32,
    count: u32,
    /// All of them, with those that have been given back.
    total: i64,
    /// They are not of a regular file: the disk's cache has them, and must not write them any more
    /// once they are.
    is_metadata: bool,
}

/// Where the pointer at a slot of a block of pointers stands.
fn at(slot: u32) -> usize {
    slot as usize * size_of::<u32>()
}

impl Metadata {
    /// The block of a page; 0 for a hole. Blocks.
    pub fn find(&self, pointers: &[u32; POINTERS], page: u32) -> Result<u32, Errno> {
        let way = Way::to(page.into()).ok_or(Errno::EFBIG)?;
        let mut block = pointers[way.slots()[0] as usize];
        for slot in &way.slots()[1..] {
            if block == 0 {
                return Ok(0);
            }
            block = self.block(block, Access::Read)?.get(at(*slot));
        }
        if block < self.superblock.blocks {
            Ok(block)
        } else {
            Err(Errno::EIO)
        }
    }

    /// The block of a page, which gets one if it has none, near `goal`; and whether it has just got
    /// it. Its bytes are then what they were. The inode is changed, but not yet stored; on an error
    /// nothing is. Blocks.
    pub fn assign(
        &mut self,
        inode: &mut Inode,
        page: u32,
        goal: u32,
    ) -> Result<(u32, bool), Errno> {
        let way = Way::to(page.into()).ok_or(Errno::EFBIG)?;
        let slots = way.slots();
        // As far as there are pointers: the block that has the first one that is missing, if that is
        // not the inode.
        let mut holder = None;
        let mut level = 0;
        let mut pointer = inode.raw.pointers[slots[0] as usize];
        while pointer != 0 && level + 1 < slots.len() {
            level += 1;
            holder = Some(pointer);
            pointer = self.block(pointer, Access::Read)?.get(at(slots[level]));
        }
        if pointer != 0 {
            return Ok((pointer, false));
        }
        let mut holder = match holder {
            Some(block) => Some(self.block(block, Access::Write)?),
            None => None,
        };
        let missing = slots.len() - level;
        let mut new = [0; MOST_LEVELS + 1];
        let made = self.make_way(&mut new[..missing], &slots[level + 1..], goal);
        if let Err(error) = made {
            for block in new.into_iter().filter(|block| *block != 0) {
                // It may be dirty already, and must not be written once it is a file's.
                self.sync(block)?;
                self.free_blocks(block, 1)?;
            }
            return Err(error);
        }
        match &mut holder {
            Some(block) => block.put(at(slots[level]), &new[0]),
            None => inode.raw.pointers[slots[0] as usize] = new[0],
        }
        inode.add_blocks(missing as i64);
        Ok((new[missing - 1], true))
    }

    /// Allocates blocks that lead to each other by these slots.
    fn make_way(&mut self, new: &mut [u32], slots: &[u32], goal: u32) -> Result<(), Errno> {
        let mut goal = goal;
        for block in new.iter_mut() {
            *block = self.allocate_block(goal)?;
            goal = *block + 1;
        }
        for (pair, slot) in new.windows(2).zip(slots) {
            let mut block = self.own(pair[0])?;
            block.with_mut(|bytes| bytes.fill(0));
            block.put(at(*slot), &pair[1]);
        }
        Ok(())
    }

    /// Takes all blocks from a page on away from a file, and gives them back. Nothing may be writing
    /// them. The inode is changed, but not yet stored. Blocks.
    pub fn truncate(&mut self, inode: &mut Inode, from: u64) -> Result<(), Errno> {
        let mut freed = Freed {
            is_metadata: inode.kind() != Some(Kind::Regular),
            ..Freed::default()
        };
        let result = self.cut_all(inode, from, &mut freed);
        let given_back = self.give_back(&mut freed);
        inode.add_blocks(-freed.total);
        result.and(given_back)
    }

    fn cut_all(&mut self, inode: &mut Inode, from: u64, freed: &mut Freed) -> Result<(), Errno> {
        for page in from.min(DIRECT)..DIRECT {
            let pointer = &mut inode.raw.pointers[page as usize];
            if *pointer != 0 {
                let block = core::mem::take(pointer);
                self.free(block, freed)?;
            }
        }
        for (slot, levels, first) in trees() {
            let pointer = inode.raw.pointers[slot];
            if pointer != 0 && self.cut(pointer, levels, first, from, freed)? {
                inode.raw.pointers[slot] = 0;
            }
        }
        Ok(())
    }

    /// Takes away what lies from page `from` on below a block of pointers, the first of which leads to
    /// page `first`; the block itself, too, if nothing is left: tells so. Goes as deep as there are
    /// levels, which are three at most.
    fn cut(
        &mut self,
        number: u32,
        levels: usize,
        first: u64,
        from: u64,
        freed: &mut Freed,
    ) -> Result<bool, Errno> {
        let each = span(levels - 1);
        if from >= first + each * IN_A_BLOCK {
            return Ok(false);
        }
        let is_whole = from <= first;
        let access = if is_whole {
            Access::Read
        } else {
            Access::Write
        };
        let mut block = self.block(number, access)?;
        let start = from.saturating_sub(first) / each;
        for slot in start..IN_A_BLOCK {
            let pointer: u32 = block.get(at(slot as u32));
            if pointer == 0 {
                continue;
            }
            let is_gone = if levels == 1 {
                self.free(pointer, freed)?;
                true
            } else {
                self.cut(pointer, levels - 1, first + slot * each, from, freed)?
            };
            if is_gone && !is_whole {
                block.put(at(slot as u32), &0u32);
            }
        }
        drop(block);
        if is_whole {
            self.sync(number)?;
            self.free(number, freed)?;
        }
        Ok(is_whole)
    }

    fn free(&mut self, block: u32, freed: &mut Freed) -> Result<(), Errno> {
        if freed.is_metadata {
            self.sync(block)?;
        }
        freed.total += 1;
        if freed.first + freed.count == block {
            freed.count += 1;
            return Ok(());
        }
        let given_back = self.give_back(freed);
        (freed.first, freed.count) = (block, 1);
        given_back
    }

    fn give_back(&mut self, freed: &mut Freed) -> Result<(), Errno> {
        let (first, count) = (freed.first, core::mem::take(&mut freed.count));
        if count == 0 {
            return Ok(());
        }
        self.free_blocks(first, count)
    }
}
