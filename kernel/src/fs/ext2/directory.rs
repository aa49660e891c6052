//! Directories: the blocks of entries of one, looked through from the first on.
//!
//! Directories with a tree of hashes are read like others, since its nodes look like gaps; when one is
//! changed it is marked as having no tree any more.

use scalvm::Access;

use super::BLOCK;
use super::entry::{self, Damaged, Entry};
use super::inode::{FLAG_HASHED, Inode};
use super::metadata::Metadata;
use crate::fs::inode::{DirEntry, Kind};
use crate::linux::Errno;

/// Where an entry is, and what it names.
#[derive(Clone, Copy)]
pub(super) struct Spot {
    block: u32,
    at: usize,
    /// The inode's number.
    pub ino: u32,
}

impl From<Damaged> for Errno {
    fn from(_: Damaged) -> Errno {
        Errno::EIO
    }
}

/// ext2's number of a kind.
fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => 1,
        Kind::Directory => 2,
        Kind::CharDevice => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

/// The kind of this number.
fn kind(code: u8) -> Result<Kind, Damaged> {
    use Kind::*;
    let kinds = [
        Regular,
        Directory,
        CharDevice,
        BlockDevice,
        Fifo,
        Socket,
        Symlink,
    ];
    kinds
        .into_iter()
        .find(|kind| self::code(*kind) == code)
        .ok_or(Damaged)
}

impl Metadata {
    /// The blocks of a directory.
    fn blocks(&self, dir: &Inode) -> u32 {
        (dir.size() / BLOCK as u64) as u32
    }

    /// The block of a page of a directory, which has no holes.
    fn directory_block(&self, dir: &Inode, page: u32) -> Result<u32, Errno> {
        match self.find(&dir.raw.pointers, page)? {
            0 => Err(Errno::EIO),
            block => Ok(block),
        }
    }

    /// Finds a name. Blocks.
    pub fn find_entry(&self, dir: &Inode, name: &[u8]) -> Result<Option<Spot>, Errno> {
        for page in 0..self.blocks(dir) {
            let block = self.directory_block(dir, page)?;
            let found = self.block(block, Access::Read)?.with(|bytes| {
                for entry in entry::entries(bytes) {
                    let Entry {
                        at,
                        ino,
                        name: here,
                        ..
                    } = entry?;
                    if here == name {
                        return Ok(Some(Spot { block, at, ino }));
                    }
                }
                Ok::<_, Damaged>(None)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Shows the entries behind an offset in the directory, until `each` says false; their cookies
    /// are their offsets. `each` must not block. Blocks itself.
    pub fn each_entry(
        &self,
        dir: &Inode,
        after: u64,
        each: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let first = u32::try_from(after / BLOCK as u64).unwrap_or(u32::MAX);
        for page in first..self.blocks(dir) {
            let block = self.block(self.directory_block(dir, page)?, Access::Read)?;
            let start = u64::from(page) * BLOCK as u64;
            let goes_on = block.with(|bytes| {
                for entry in entry::entries(bytes) {
                    let entry = entry?;
                    let at = start + entry.at as u64;
                    let is_dots = matches!(entry.name, b"." | b"..");
                    if at <= after || is_dots {
                        continue;
                    }
                    let shown = DirEntry {
                        ino: entry.ino.into(),
                        cookie: at,
                        kind: kind(entry.kind)?,
                        name: entry.name,
                    };
                    if !each(shown) {
                        return Ok(false);
                    }
                }
                Ok::<_, Damaged>(true)
            })?;
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// Whether a directory has no entries but for itself and the one above. Blocks.
    pub fn is_empty(&self, dir: &Inode) -> Result<bool, Errno> {
        let mut is_empty = true;
        self.each_entry(dir, 0, &mut |_| {
            is_empty = false;
            false
        })?;
        Ok(is_empty)
    }

    /// Adds an entry. The directory's inode may change, and is not yet stored; on an error nothing
    /// has changed. Blocks.
    pub fn add_entry(
        &mut self,
        dir: &mut Inode,
        name: &[u8],
        ino: u32,
        kind: Kind,
    ) -> Result<(), Errno> {
        let code = code(kind);
        let pages = self.blocks(dir);
        for page in 0..pages {
            let number = self.directory_block(dir, page)?;
            let block = self.block(number, Access::Read)?;
            let has_room = block.with(|bytes| entry::has_room(bytes, name.len()))?;
            if has_room {
                let mut block = self.block(number, Access::Write)?;
                block.with_mut(|bytes| entry::add(bytes, name, ino, code))?;
                dir.raw.flags &= !FLAG_HASHED;
                return Ok(());
            }
        }
        let goal = dir.raw.pointers[0];
        let mut grown = *dir;
        let (number, _) = self.assign(&mut grown, pages, goal)?;
        let mut block = match self.own(number) {
            Ok(block) => block,
            Err(error) => {
                self.truncate(&mut grown, pages.into())?;
                return Err(error);
            }
        };
        block.with_mut(|bytes| {
            entry::clear(bytes);
            entry::add(bytes, name, ino, code)
        })?;
        grown.set_size(u64::from(pages + 1) * BLOCK as u64);
        grown.raw.flags &= !FLAG_HASHED;
        *dir = grown;
        Ok(())
    }

    /// Takes an entry away. Blocks.
    pub fn remove_entry(&mut self, dir: &mut Inode, spot: Spot) -> Result<(), Errno> {
        let mut block = self.block(spot.block, Access::Write)?;
        block.with_mut(|bytes| entry::remove(bytes, spot.at))?;
        dir.raw.flags &= !FLAG_HASHED;
        Ok(())
    }

    /// Lets an entry name another inode. Blocks.
    pub fn replace_entry(&mut self, spot: Spot, ino: u32, kind: Kind) -> Result<(), Errno> {
        let code = code(kind);
        let mut block = self.block(spot.block, Access::Write)?;
        block.with_mut(|bytes| entry::replace(bytes, spot.at, ino, code));
        Ok(())
    }

    /// Makes the first block of a new directory, whose inode is not yet stored. Blocks.
    pub fn begin_directory(
        &mut self,
        dir: &mut Inode,
        ino: u32,
        above: u32,
        goal: u32,
    ) -> Result<(), Errno> {
        let code = code(Kind::Directory);
        let (number, _) = self.assign(dir, 0, goal)?;
        let mut block = match self.own(number) {
            Ok(block) => block,
            Err(error) => {
                self.truncate(dir, 0)?;
                return Err(error);
            }
        };
        block.with_mut(|bytes| entry::begin(bytes, ino, above, code));
        dir.set_size(BLOCK as u64);
        Ok(())
    }
}
