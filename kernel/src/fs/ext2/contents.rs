//! [`Contents`]: the bytes of a file, in memory and on the disk.
//!
//! The file's object is the one cache of its bytes: reads, writes and mappings see the same pages.
//!
//! Invariants:
//! 1. A page that may be dirty has a block, which the extents know: so that it can leave memory with
//!    no lock taken, nothing read and nothing allocated (see [`pager`](super::pager)).
//! 2. A file that has ever been mapped shared by somebody who may write it is *filled*: its pages have
//!    blocks as soon as they are in memory, since a store through a mapping tells nobody.
//! 3. No block lies beyond the end of a file.
//! 4. While memory is put back to a file (see [`swap`](super::swap)) all of its pages have blocks, which the
//!    extents know; nobody writes to it, maps it to be written, changes its size or removes a name of it.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use scalvm::{Access, PAGE_SHIFT, PAGE_SIZE};

use super::extents::Extents;
use super::node::Ext2Node;
use super::pager::PAGER;
use super::way::MOST_LEVELS;
use crate::fs::{memory, names, paged};
use crate::linux::Errno;
use crate::mm::{HeldPage, Object, VM};
use crate::sync::Mutex;
use crate::task::SleepMutex;

/// The bytes of a file.
pub(super) struct Contents {
    pub object: Object,
    /// What the object and /proc call it.
    pub cookie: usize,
    /// The blocks of pages in memory, and of others that have been there.
    pub extents: Mutex<Extents>,
    /// Held by whoever writes to the file, or changes its size: one after the other.
    pub changes: SleepMutex<()>,
    is_filled: AtomicBool,
    is_swap: AtomicBool,
}

impl Contents {
    /// Those of a file of this size.
    pub fn new(size: u64) -> Result<Contents, Errno> {
        let cookie = names::next_ino() as usize;
        Ok(Contents {
            object: VM.new_vnode(&PAGER, cookie, size)?,
            cookie,
            extents: Mutex::new(Extents::new()),
            changes: SleepMutex::new(()),
            is_filled: AtomicBool::new(false),
            is_swap: AtomicBool::new(false),
        })
    }

    /// Whether nobody maps the file, and nothing of it is being read or written.
    pub fn is_unused(&self) -> bool {
        self.object.holders() == 1
    }

    /// Whether its holes get blocks as they are brought to memory.
    pub fn is_filled(&self) -> bool {
        self.is_filled.load(Relaxed)
    }

    /// ETXTBSY while memory is put back to it, as on Linux. The changes are locked.
    pub fn check_no_swap(&self) -> Result<(), Errno> {
        match self.is_swap() {
            true => Err(Errno::ETXTBSY),
            false => Ok(()),
        }
    }

    /// Whether memory is put back to it.
    pub fn is_swap(&self) -> bool {
        self.is_swap.load(Relaxed)
    }

    /// Notes whether memory is put back to it. The changes are locked.
    pub fn set_swap(&self, is_swap: bool) {
        self.is_swap.store(is_swap, Relaxed);
    }

    /// Puts what is dirty to the disk. Blocks.
    pub fn sync(&self) -> Result<(), Errno> {
        let synced = self.object.sync(0, self.object.size());
        synced.map_err(paged::pager_errno)
    }

    /// Notes the block of a page. Blocks where room must be made in memory.
    pub fn note(&self, page: u32, block: u32) -> Result<(), Errno> {
        VM.with_room(memory::prove_insert::<u32, [u32; 2]>, |error| {
            *error == Errno::ENOMEM
        })?;
        let mut extents = self.extents.lock();
        if extents.get(page).is_none() {
            extents.insert(page, block);
        }
        Ok(())
    }
}

/// The most blocks that are needed for a page: its own, and those of pointers that lead to it.
pub(super) const BLOCKS_OF_A_PAGE: u32 = 1 + MOST_LEVELS as u32;

/// Pages of so many bytes.
pub(super) fn pages(size: u64) -> u64 {
    size.div_ceil(PAGE_SIZE as u64)
}

impl Ext2Node {
    /// The bytes; EISDIR for a directory, which is the only other thing that is opened as itself.
    pub fn bytes(&self) -> Result<&Contents, Errno> {
        self.contents.as_ref().ok_or(Errno::EISDIR)
    }

    /// A page of the file, to be written; it has a block then. ENOSPC if there is none left. The
    /// changes are locked. Blocks.
    pub fn page_to_write(&self, index: u64) -> Result<HeldPage, Errno> {
        let contents = self.bytes()?;
        let page = u32::try_from(index).map_err(|_| Errno::EFBIG)?;
        let known = contents.extents.lock().get(page);
        // A new block's bytes are what they were: the page must not be read from it, so it stays here,
        // as zeros, from before it has the block until it is dirty.
        let mut _kept = None;
        if known.is_none() {
            let object = &contents.object;
            _kept = Some(object.hold(index, Access::Read).map_err(paged::errno)?);
            self.give_block(page)?;
        }
        paged::hold_to_write(&contents.object, index).map_err(paged::errno)
    }

    /// Gives a page of the file a block, unless it has one.
    fn give_block(&self, page: u32) -> Result<(), Errno> {
        let mut metadata = self.volume.lock_with_room(BLOCKS_OF_A_PAGE);
        self.assign(&mut metadata, page).map(|_| ())
    }

    /// Makes the file mapped by somebody who may write it through the mapping. Blocks.
    pub fn fill(&self) -> Result<(), Errno> {
        let contents = self.bytes()?;
        contents.check_no_swap()?;
        if contents.is_filled() {
            return Ok(());
        }
        let _changes = contents.changes.lock_killable()?;
        contents.check_no_swap()?;
        let metadata = self.volume.metadata.lock();
        contents.is_filled.store(true, Relaxed);
        // Pages that were being read before this have come.
        self.volume.device.disk().settle();
        drop(metadata);
        if contents.object.resident() == 0 {
            return Ok(());
        }
        let result = (0..pages(contents.object.size())).try_for_each(|index| {
            let has_block = contents.extents.lock().get(index as u32).is_some();
            if !has_block && contents.object.is_resident(index) {
                drop(self.page_to_write(index)?);
            }
            Ok(())
        });
        if result.is_err() {
            contents.is_filled.store(false, Relaxed);
        }
        result
    }

    /// Makes the file longer. The changes are locked. Blocks.
    pub fn grow(&self, size: u64) -> Result<(), Errno> {
        let contents = self.bytes()?;
        let old = contents.object.size();
        let offset = old as usize % PAGE_SIZE;
        if contents.is_filled() && offset != 0 {
            // Programs may have written beyond the end.
            let page = self.page_to_write(old >> PAGE_SHIFT)?;
            // SAFETY: the rest of a frame that is held.
            unsafe { page.as_ptr().add(offset).write_bytes(0, PAGE_SIZE - offset) };
        }
        contents.object.set_size(size).map_err(paged::errno)
    }

    /// Makes the file shorter; the size is not stored yet. The changes are locked. Blocks.
    pub fn shrink(&self, size: u64) -> Result<(), Errno> {
        let contents = self.bytes()?;
        let tail = size >> PAGE_SHIFT;
        if !size.is_multiple_of(PAGE_SIZE as u64) {
            // The rest of the last page becomes zero, which the disk must be told.
            let object = &contents.object;
            let _kept = object.hold(tail, Access::Read).map_err(paged::errno)?;
            let has_block = contents.extents.lock().get(tail as u32).is_some();
            if has_block {
                drop(self.page_to_write(tail)?);
            }
        }
        let mut metadata = self.volume.metadata.lock();
        contents.object.set_size(size).map_err(paged::errno)?;
        let from = pages(size);
        contents
            .extents
            .lock()
            .cut(u32::try_from(from).unwrap_or(u32::MAX));
        // What was being written when the pages went must not be written over the blocks' next use.
        self.volume.device.disk().settle();
        let mut inode = *self.inode.lock();
        let result = metadata.truncate(&mut inode, from);
        inode.set_size(size);
        *self.inode.lock() = inode;
        metadata.store(self.ino, &inode)?;
        result
    }
}
