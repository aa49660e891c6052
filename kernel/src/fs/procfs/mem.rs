//! [`Memory`]: `/proc/PID/mem`, a process's memory as a file, at its addresses.
//!
//! Rights are no hindrance, as for ptrace(2): what is private is copied for the process and written, even where it
//! may only be read. The file is of the memory that the process had when it was opened: it is empty when that is
//! gone, and does not keep it.

use alloc::sync::{Arc, Weak};
use core::any::Any;

use scalvm::{Access, FaultError, PAGE_MASK, PAGE_SIZE};

use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::FileIo;
use crate::fs::memory;
use crate::linux::Errno;
use crate::mm::HeldPage;
use crate::task::{Process, Space, with_memory};

/// A process's memory.
pub struct Memory(Weak<Space>);

impl Memory {
    /// That of a process.
    pub fn of(process: &Process) -> Result<Arc<Memory>, Errno> {
        memory::arc(Memory(Arc::downgrade(&process.map())))
    }

    /// Moves bytes page by page; EIO if there is none at the first.
    fn each(
        &self,
        at: u64,
        buf: &mut Buf<'_>,
        access: Access,
        mut step: impl FnMut(&mut Buf<'_>, &HeldPage, usize) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        while !buf.is_empty() {
            // Held only for the page: the process may end while bytes move.
            let Some(space) = self.0.upgrade() else { break };
            let here = usize::try_from(at).ok().and_then(|at| at.checked_add(done));
            let page = here.ok_or(FaultError::NoMapping).and_then(|here| {
                let page = with_memory(|| space.hold_forced(here, access))?;
                Ok((page, here & PAGE_MASK))
            });
            let moved = match page {
                Ok((page, offset)) => step(buf, &page, offset),
                Err(_) => Err(Errno::EIO),
            };
            match moved {
                Ok(moved) => done += moved,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

impl FileIo for Memory {
    fn read(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        self.each(at, buf, Access::Read, |buf, page, offset| {
            // SAFETY: the frame has PAGE_SIZE readable bytes and stays while it is held.
            unsafe { buf.put_raw(page.as_ptr().add(offset), PAGE_SIZE - offset) }
        })
    }

    fn write(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        self.each(at, buf, Access::Write, |buf, page, offset| {
            // SAFETY: the frame has PAGE_SIZE writable bytes and stays while it is held.
            unsafe { buf.take_raw(page.as_ptr().add(offset), PAGE_SIZE - offset) }
        })
    }

    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Ok(())
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
