//! The bytes of files, as open files see them.

use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::O_APPEND;
use scalvm::PAGE_SHIFT;

use super::contents::pages;
use super::node::Ext2Node;
use super::reap;
use crate::arch::time::wall_ns;
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::{FileIo, Node};
use crate::fs::paged;
use crate::linux::Errno;
use crate::mm::Object;

/// The largest file that 32 bits of 512-byte units can count, with its blocks of pointers, as on
/// Linux.
const MAX_SIZE: u64 = 2_194_719_883_264;

impl FileIo for Ext2Node {
    fn read(&self, file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let object = &self.bytes()?.object;
        if at < object.size() {
            file.read_ahead(object, at, buf.len());
        }
        paged::read(object, at, buf)
    }

    fn write(&self, file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let contents = self.bytes()?;
        self.volume.check_writable()?;
        if buf.is_empty() {
            return Ok(0);
        }
        let _changes = contents.changes.lock_killable()?;
        contents.check_no_swap()?;
        let object = &contents.object;
        let old = object.size();
        // Others may have written since the end was looked up.
        let at = if file.flags() & O_APPEND != 0 {
            old
        } else {
            at
        };
        let end = at
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= MAX_SIZE)
            .ok_or(Errno::EFBIG)?;
        if end > old {
            self.grow(end)?;
        }
        let result = paged::write_through(object, at, buf, |index| self.page_to_write(index));
        let reached = match result {
            Ok(done) if done > 0 => at + done as u64,
            _ => old,
        };
        if reached < end && end > old {
            // What was not written does not count.
            self.shrink(reached.max(old))?;
        }
        self.stamp()?;
        result
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes().map_or(0, |contents| contents.object.size()))
    }

    fn object(&self, _node: &Node) -> Result<Object, Errno> {
        let contents = self.bytes().map_err(|_| Errno::ENODEV)?;
        Ok(contents.object.clone())
    }

    fn mapped_to_write(&self) -> Result<(), Errno> {
        self.fill()
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        let contents = self.bytes()?;
        self.volume.check_writable()?;
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        let _changes = contents.changes.lock_killable()?;
        contents.check_no_swap()?;
        if size < contents.object.size() {
            self.shrink(size)?;
        } else {
            self.grow(size)?;
        }
        self.stamp()
    }

    fn allocate(&self, at: u64, len: u64, keep_size: bool) -> Result<(), Errno> {
        let contents = self.bytes().map_err(|_| Errno::ENODEV)?;
        self.volume.check_writable()?;
        let end = at
            .checked_add(len)
            .filter(|end| *end <= MAX_SIZE)
            .ok_or(Errno::EFBIG)?;
        let _changes = contents.changes.lock_killable()?;
        contents.check_no_swap()?;
        let old = contents.object.size();
        if end > old {
            // No block may lie beyond the end of a file.
            if keep_size {
                return Err(Errno::EOPNOTSUPP);
            }
            self.grow(end)?;
        }
        let mut indices = at >> PAGE_SHIFT..pages(end);
        let result = indices.try_for_each(|index| self.allocate_page(index));
        if result.is_err() && end > old {
            self.shrink(old)?;
        }
        self.stamp()?;
        result
    }

    fn sync(&self) -> Result<(), Errno> {
        self.sync_contents()?;
        // Which blocks of metadata are the file's is not known: all that are dirty are written.
        self.volume.device.sync()
    }

    fn closed(&self, _file: &File) {
        if self.links() == 0 {
            reap::look();
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Ext2Node {
    /// Notes that the bytes changed now, and the size. Blocks.
    fn stamp(&self) -> Result<(), Errno> {
        let size = self.bytes()?.object.size();
        let now = wall_ns();
        self.update(|inode| {
            inode.set_size(size);
            inode.set_mtime(now);
            inode.set_ctime(now);
        })
    }

    /// Gives a page a block, with zeros, unless it has one. Blocks.
    fn allocate_page(&self, index: u64) -> Result<(), Errno> {
        let page = u32::try_from(index).map_err(|_| Errno::EFBIG)?;
        let pointers = self.inode.lock().raw.pointers;
        let block = self.volume.metadata.lock().find(&pointers, page)?;
        if block == 0 {
            drop(self.page_to_write(index)?);
        }
        Ok(())
    }
}
