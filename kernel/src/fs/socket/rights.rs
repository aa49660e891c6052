//! [`Rights`]: files on their way from one process to another (SCM_RIGHTS).
//!
//! Sockets among them are counted and listed while they are in flight, for [`collect`].
//!
//! [`collect`]: super::collect

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use super::collect::released;
use super::state::Socket;
use crate::fs::{FileHandle, memory};
use crate::linux::Errno;
use crate::sync::Mutex;

/// The most files that go along with one message.
pub const MAX_RIGHTS: usize = 253;

/// The sockets that lie in messages.
pub(super) static IN_FLIGHT: Mutex<Vec<Weak<Socket>>> = Mutex::new(Vec::new());

/// Files that go along with a message.
pub struct Rights {
    files: Vec<FileHandle>,
}

impl Rights {
    /// These files, of which there must be no more than [`MAX_RIGHTS`]. ENOMEM if they cannot be
    /// listed.
    pub fn new(files: Vec<FileHandle>) -> Result<Rights, Errno> {
        let mut rights = Rights { files: Vec::new() };
        rights
            .files
            .try_reserve_exact(files.len())
            .map_err(|_| Errno::ENOMEM)?;
        for file in files {
            if let Some(socket) = Socket::of(&file) {
                take_off(&socket)?;
            }
            // What has taken off lands when the rights go.
            rights.files.push(file);
        }
        Ok(rights)
    }

    /// The files.
    pub fn files(&self) -> &[FileHandle] {
        &self.files
    }

    /// The same files once more, for who only has a look at the message. They are in nobody's
    /// queue.
    pub fn copy(&self) -> Result<Vec<FileHandle>, Errno> {
        let mut files = Vec::new();
        files
            .try_reserve_exact(self.files.len())
            .map_err(|_| Errno::ENOMEM)?;
        files.extend_from_slice(&self.files);
        Ok(files)
    }

    /// The files, which have arrived.
    pub fn arrive(mut self) -> Vec<FileHandle> {
        self.land();
        // Not all of them need get a descriptor.
        self.files.iter().for_each(released);
        core::mem::take(&mut self.files)
    }

    fn land(&self) {
        for socket in self.files.iter().filter_map(|file| Socket::of(file)) {
            if socket.flights.fetch_sub(1, Relaxed) == 1 {
                let this = socket.weak();
                IN_FLIGHT.lock().retain(|other| !other.ptr_eq(&this));
            }
        }
    }
}

/// A socket begins to lie in one more message.
fn take_off(socket: &Arc<Socket>) -> Result<(), Errno> {
    if socket.flights.load(Relaxed) == 0 {
        memory::push(&mut IN_FLIGHT.lock(), socket.weak())?;
    }
    socket.flights.fetch_add(1, Relaxed);
    Ok(())
}

impl Drop for Rights {
    fn drop(&mut self) {
        self.land();
        self.files.iter().for_each(released);
    }
}
