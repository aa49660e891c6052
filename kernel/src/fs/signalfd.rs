//! [`SignalFd`]: signals to be read, as signalfd(2) makes it.
//!
//! It has none of its own: who reads gets those that wait for itself, held back as they should be.

use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::{O_RDWR, POLLIN, SI_QUEUE, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};

use super::buffer::Buf;
use super::file::{File, FileHandle};
use super::inode::FileIo;
use super::label::Anonymous;
use super::{memory, wait};
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::{self, SigInfo, SigSet};

/// Bytes of Linux's `struct signalfd_siginfo`.
const SIZE: usize = 128;

/// Signals to be read.
pub struct SignalFd {
    which: Mutex<SigSet>,
}

/// An open file that gives these signals.
pub fn open(which: SigSet, flags: u32) -> Result<FileHandle, Errno> {
    let io = memory::arc(SignalFd {
        which: Mutex::new(which),
    })?;
    File::new(
        Anonymous::node("anon_inode:[signalfd]")?,
        io,
        O_RDWR | flags,
    )
}

/// Changes which signals a file gives. EINVAL if it gives none.
pub fn change(file: &File, which: SigSet) -> Result<(), Errno> {
    let io = file.io()?.clone().into_any();
    let signals = io.downcast::<SignalFd>().map_err(|_| Errno::EINVAL)?;
    *signals.which.lock() = which;
    wait::changed();
    Ok(())
}

impl SignalFd {
    fn take(&self) -> Option<SigInfo> {
        task::current_thread().take_signal(*self.which.lock())
    }

    /// Whether the caller could read one.
    fn has_any(&self) -> bool {
        let thread = task::current_thread();
        !thread.has_come().and(*self.which.lock()).is_empty()
    }

    /// The next signal. Blocks until one comes, if `waits`.
    fn next(&self, waits: bool) -> Result<SigInfo, Errno> {
        let mut found = self.take();
        if found.is_none() && waits {
            let which = *self.which.lock();
            task::wait_for_signal(which, || {
                found = self.take();
                found.is_some()
            })?;
        }
        found.ok_or(Errno::EAGAIN)
    }
}

impl FileIo for SignalFd {
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if buf.len() < SIZE {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        while buf.len() >= SIZE {
            match self.next(done == 0 && !file.nonblocking()) {
                Ok(info) => done += buf.put(&encode(info))?,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn ready(&self, _file: &File) -> u32 {
        if self.has_any() { POLLIN } else { 0 }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A signal as the file shows it: Linux's `struct signalfd_siginfo`.
fn encode(info: SigInfo) -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    let mut put = |at: usize, word: &[u8]| bytes[at..at + word.len()].copy_from_slice(word);
    put(0, &info.signal.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    let is_fault = matches!(info.signal, SIGILL | SIGTRAP | SIGBUS | SIGFPE | SIGSEGV);
    if is_fault && info.code > 0 {
        put(72, &info.first.to_ne_bytes());
        return bytes;
    }
    // Process and user.
    put(12, &info.first.to_ne_bytes());
    match info.code {
        SI_QUEUE => {
            put(44, &(info.second as u32).to_ne_bytes());
            put(48, &info.second.to_ne_bytes());
        }
        // How a child ended.
        code if code > 0 => put(40, &(info.second as u32).to_ne_bytes()),
        _ => {}
    }
    bytes
}
