//! [`PidFd`]: a process as a file, as pidfd_open(2) makes it.
//!
//! It stands for the same process for ever, whatever becomes of its number, and is readable when
//! that has ended.

use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::{O_RDWR, POLLHUP, POLLIN, POLLRDNORM};

use super::file::{File, FileHandle};
use super::inode::FileIo;
use super::label::Anonymous;
use super::memory;
use crate::linux::Errno;
use crate::task::{self, Process};

/// A process.
pub struct PidFd {
    process: Arc<Process>,
}

/// An open file on a process.
pub fn open(process: Arc<Process>, flags: u32) -> Result<FileHandle, Errno> {
    let io = memory::arc(PidFd { process })?;
    File::new(Anonymous::node("anon_inode:[pidfd]")?, io, O_RDWR | flags)
}

/// The process that a file is. EBADF if it is something else.
pub fn process(file: &File) -> Result<Arc<Process>, Errno> {
    let pidfd = file.io()?.clone().into_any().downcast::<PidFd>();
    Ok(pidfd.map_err(|_| Errno::EBADF)?.process.clone())
}

impl PidFd {
    /// Whether somebody has waited for its end.
    fn is_reaped(&self) -> bool {
        let found = task::find(self.process.pid);
        !found.is_some_and(|found| Arc::ptr_eq(&found, &self.process))
    }
}

impl FileIo for PidFd {
    fn ready(&self, _file: &File) -> u32 {
        match (self.process.is_zombie(), self.is_reaped()) {
            (_, true) => POLLIN | POLLRDNORM | POLLHUP,
            (true, false) => POLLIN | POLLRDNORM,
            (false, false) => 0,
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
