//! [`EventFd`]: a counter to wait for, as eventfd2(2) makes it.

use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::{O_RDWR, POLLIN, POLLOUT};

use super::buffer::Buf;
use super::file::{File, FileHandle};
use super::inode::{Edges, FileIo};
use super::label::Anonymous;
use super::{memory, wait};
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::WaitQueue;

/// The highest value of the counter.
const MAX: u64 = u64::MAX - 1;

/// A counter.
struct EventFd {
    count: Mutex<u64>,
    edges: Mutex<Edges>,
    /// Whether a read takes one, not all.
    semaphore: bool,
    changed: WaitQueue,
}

/// An open file on a new counter.
pub fn open(count: u64, semaphore: bool, flags: u32) -> Result<FileHandle, Errno> {
    let counter = memory::arc(EventFd {
        count: Mutex::new(count),
        edges: Mutex::new(Edges::default()),
        semaphore,
        changed: WaitQueue::new(),
    })?;
    File::new(
        Anonymous::node("anon_inode:[eventfd]")?,
        counter,
        O_RDWR | flags,
    )
}

impl EventFd {
    /// Takes from the counter, if it is not zero.
    fn take(&self) -> Option<u64> {
        let mut count = self.count.lock();
        match (*count, self.semaphore) {
            (0, _) => None,
            (_, true) => {
                *count -= 1;
                Some(1)
            }
            (_, false) => Some(core::mem::take(&mut count)),
        }
    }

    /// Adds to the counter, if it stays in its range.
    fn add(&self, more: u64) -> Option<()> {
        let mut count = self.count.lock();
        *count = count.checked_add(more).filter(|sum| *sum <= MAX)?;
        Some(())
    }

    /// Waits until `step` succeeds, unless the file does not wait.
    fn until<T>(&self, file: &File, step: impl Fn() -> Option<T>) -> Result<T, Errno> {
        let mut result = step();
        if result.is_none() {
            if file.nonblocking() {
                return Err(Errno::EAGAIN);
            }
            self.changed.wait_until(|| {
                result = step();
                result.is_some()
            })?;
        }
        self.changed.wake_all();
        wait::changed();
        result.ok_or(Errno::EAGAIN)
    }
}

impl FileIo for EventFd {
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if buf.len() < 8 {
            return Err(Errno::EINVAL);
        }
        let count = self.until(file, || self.take())?;
        self.edges.lock().output += 1;
        buf.put(&count.to_ne_bytes())
    }

    fn write(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if buf.len() < 8 {
            return Err(Errno::EINVAL);
        }
        let mut bytes = [0; 8];
        if buf.take(&mut bytes)? < bytes.len() {
            return Err(Errno::EFAULT);
        }
        let more = u64::from_ne_bytes(bytes);
        if more > MAX {
            return Err(Errno::EINVAL);
        }
        self.until(file, || self.add(more))?;
        self.edges.lock().input += 1;
        Ok(8)
    }

    fn ready(&self, _file: &File) -> u32 {
        let count = *self.count.lock();
        (if count > 0 { POLLIN } else { 0 }) | (if count < MAX { POLLOUT } else { 0 })
    }

    fn edges(&self, _file: &File) -> Option<Edges> {
        Some(*self.edges.lock())
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
