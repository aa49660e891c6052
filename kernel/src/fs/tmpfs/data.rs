//! The bytes of files in memory.

use alloc::sync::Arc;
use core::any::Any;

use scalvm::{FaultError, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};

use super::node::{Body, TmpNode};
use super::{MAX_SIZE, budget};
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::{FileIo, Node};
use crate::fs::paged;
use crate::linux::Errno;
use crate::mm::Object;
use crate::task::with_memory;

impl TmpNode {
    /// The bytes; EISDIR for a directory, which is the only other thing that is opened as itself.
    fn bytes(&self) -> Result<&Object, Errno> {
        match &self.body {
            Body::Regular(object) => Ok(object),
            _ => Err(Errno::EISDIR),
        }
    }

    /// How far a write from `at` to `end` gets that may not make the file longer: as on Linux, a page that it
    /// would leave beyond the end is not written at all. EPERM if that is the first.
    fn reach(&self, size: u64, at: u64, end: u64) -> Result<u64, Errno> {
        if end <= size || self.seals.resize(size, end).is_ok() {
            return Ok(end);
        }
        let whole = size & !(PAGE_MASK as u64);
        if whole > at {
            Ok(whole)
        } else {
            Err(Errno::EPERM)
        }
    }
}

impl FileIo for TmpNode {
    fn read(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        paged::read(self.bytes()?, at, buf)
    }

    fn write(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let object = self.bytes()?;
        let end = at
            .checked_add(buf.len() as u64)
            .filter(|end| *end <= MAX_SIZE)
            .ok_or(Errno::EFBIG)?;
        if buf.is_empty() {
            return Ok(0);
        }
        let _writing = self.seals.write()?;
        let end = self.reach(object.size(), at, end)?;
        buf.limit((end - at) as usize);
        let offset = at as usize & PAGE_MASK;
        let pages = (offset + buf.len()).div_ceil(PAGE_SIZE);
        let granted = budget::take(pages as u64) as usize;
        if granted == 0 {
            return Err(Errno::ENOSPC);
        }
        buf.limit(granted * PAGE_SIZE - offset);
        let end = end.min(at + buf.len() as u64);
        let old = object.size();
        if end > old {
            object.set_size(end).map_err(no_room)?;
        }
        let result = paged::write(object, at, buf).map_err(|error| match error {
            Errno::ENOMEM => Errno::ENOSPC,
            error => error,
        });
        // What was not written does not count, unless somebody else has grown the file since.
        let reached = at + *result.as_ref().unwrap_or(&0) as u64;
        if reached < end && object.size() == end && end > old {
            object.set_size(reached.max(old)).map_err(no_room)?;
        }
        self.touch();
        result
    }

    fn size(&self) -> Option<u64> {
        Some(self.bytes().map_or(0, Object::size))
    }

    fn object(&self, _node: &Node) -> Result<Object, Errno> {
        self.bytes().cloned().map_err(|_| Errno::ENODEV)
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        let object = self.bytes()?;
        if size > MAX_SIZE {
            return Err(Errno::EFBIG);
        }
        self.seals.resize(object.size(), size)?;
        object.set_size(size).map_err(no_room)?;
        self.touch();
        Ok(())
    }

    fn allocate(&self, at: u64, len: u64, keep_size: bool) -> Result<(), Errno> {
        let object = self.bytes().map_err(|_| Errno::ENODEV)?;
        let end = at
            .checked_add(len)
            .filter(|end| *end <= MAX_SIZE)
            .ok_or(Errno::EFBIG)?;
        self.seals.resize(object.size(), end.max(object.size()))?;
        let pages = len.div_ceil(PAGE_SIZE as u64);
        if budget::take(pages) < pages {
            return Err(Errno::ENOSPC);
        }
        if end > object.size() {
            // Memory beyond the end cannot be kept, and need not be: it is there when it is written.
            if keep_size {
                return Ok(());
            }
            object.set_size(end).map_err(no_room)?;
        }
        for index in at >> PAGE_SHIFT..((end - 1) >> PAGE_SHIFT) + 1 {
            paged::hold_to_write(object, index).map_err(no_room)?;
        }
        Ok(())
    }

    fn punch(&self, at: u64, len: u64) -> Result<(), Errno> {
        let object = self.bytes().map_err(|_| Errno::ENODEV)?;
        let _writing = self.seals.write()?;
        with_memory(|| object.punch(at, len)).map_err(no_room)?;
        self.touch();
        Ok(())
    }

    fn is_write_sealed(&self) -> bool {
        self.seals.against_writing()
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

fn no_room(error: FaultError) -> Errno {
    match error {
        FaultError::OutOfMemory => Errno::ENOSPC,
        error => paged::errno(error),
    }
}
