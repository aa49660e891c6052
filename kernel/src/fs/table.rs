//! [`FileTable`]: the descriptors of a process.
//!
//! Lives behind `Arc<Mutex<..>>`, so that threads share it. A file that leaves the table is handed
//! to the caller, who lets it go after the lock: the last close may wake others.
//!
//! Invariant: no free descriptor is below `first_free`.

use scalvm::malloc_type;
use scalvm_alloc::typed_alloc;

use super::file::FileHandle;
use super::{locks, socket};
use crate::linux::Errno;
use crate::mm::VM;
use crate::mm::typed::Vec;
use crate::sync::Mutex;

malloc_type!(M_FILES, "files", "tables of open files");
typed_alloc!(FileMemory, VM, M_FILES);

/// Descriptors are below this: RLIMIT_NOFILE.
pub const MAX_FILES: usize = 1024;

/// One descriptor.
#[derive(Clone)]
struct Slot {
    file: FileHandle,
    close_on_exec: bool,
}

/// The descriptors of a process.
pub struct FileTable {
    slots: Vec<Option<Slot>, FileMemory>,
    first_free: usize,
}

impl FileTable {
    /// No descriptors.
    pub const fn new() -> FileTable {
        FileTable {
            slots: Vec::new_in(FileMemory),
            first_free: 0,
        }
    }

    /// A table with the same files, for fork.
    pub fn duplicate(&self) -> Result<FileTable, Errno> {
        let used = self
            .slots
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |last| last + 1);
        let mut slots = Vec::new_in(FileMemory);
        slots.try_reserve_exact(used).map_err(|_| Errno::ENOMEM)?;
        slots.extend_from_slice(&self.slots[..used]);
        Ok(FileTable {
            slots,
            first_free: self.first_free.min(used),
        })
    }

    /// The file of a descriptor.
    #[inline]
    pub fn get(&self, fd: usize) -> Result<&FileHandle, Errno> {
        match self.slots.get(fd) {
            Some(Some(slot)) => Ok(&slot.file),
            _ => Err(Errno::EBADF),
        }
    }

    /// Gives a file the lowest free descriptor that is at least `least`.
    pub fn add(
        &mut self,
        file: FileHandle,
        least: usize,
        close_on_exec: bool,
    ) -> Result<usize, Errno> {
        if least >= MAX_FILES {
            return Err(Errno::EINVAL);
        }
        let from = least.max(self.first_free);
        let fd = (from..self.slots.len())
            .find(|fd| self.slots[*fd].is_none())
            .unwrap_or(from.max(self.slots.len()));
        if fd >= MAX_FILES {
            return Err(Errno::EMFILE);
        }
        self.make_room(fd)?;
        self.slots[fd] = Some(Slot {
            file,
            close_on_exec,
        });
        if least <= self.first_free {
            self.first_free = fd + 1;
        }
        Ok(fd)
    }

    /// Gives a file this descriptor; returns the file that had it.
    pub fn put(
        &mut self,
        fd: usize,
        file: FileHandle,
        close_on_exec: bool,
    ) -> Result<Option<FileHandle>, Errno> {
        if fd >= MAX_FILES {
            return Err(Errno::EBADF);
        }
        self.make_room(fd)?;
        let old = self.slots[fd].replace(Slot {
            file,
            close_on_exec,
        });
        Ok(old.map(|slot| slot.file))
    }

    /// Frees a descriptor; returns its file.
    pub fn remove(&mut self, fd: usize) -> Result<FileHandle, Errno> {
        let slot = self
            .slots
            .get_mut(fd)
            .and_then(Option::take)
            .ok_or(Errno::EBADF)?;
        self.first_free = self.first_free.min(fd);
        Ok(slot.file)
    }

    /// Whether a descriptor is closed by exec.
    pub fn is_close_on_exec(&self, fd: usize) -> Result<bool, Errno> {
        match self.slots.get(fd) {
            Some(Some(slot)) => Ok(slot.close_on_exec),
            _ => Err(Errno::EBADF),
        }
    }

    /// Says whether a descriptor is closed by exec.
    pub fn set_close_on_exec(&mut self, fd: usize, yes: bool) -> Result<(), Errno> {
        match self.slots.get_mut(fd) {
            Some(Some(slot)) => {
                slot.close_on_exec = yes;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Closes what exec closes.
    pub fn close_on_exec(&mut self) {
        for fd in 0..self.slots.len() {
            let closes = |slot: &mut Slot| slot.close_on_exec;
            if let Some(slot) = self.slots[fd].take_if(closes) {
                socket::released(&slot.file);
                drop(slot);
                self.first_free = self.first_free.min(fd);
            }
        }
        socket::collect();
    }

    /// The descriptors in use from `from` on.
    pub fn used(&self, from: usize) -> impl Iterator<Item = (usize, &FileHandle)> {
        let slots = self.slots.get(from..).unwrap_or(&[]);
        slots
            .iter()
            .enumerate()
            .filter_map(move |(i, slot)| Some((from + i, &slot.as_ref()?.file)))
    }

    /// One above the highest descriptor that was ever used.
    pub fn end(&self) -> usize {
        self.slots.len()
    }

    fn make_room(&mut self, fd: usize) -> Result<(), Errno> {
        if fd >= self.slots.len() {
            self.slots
                .try_reserve(fd + 1 - self.slots.len())
                .map_err(|_| Errno::ENOMEM)?;
            self.slots.resize_with(fd + 1, || None);
        }
        Ok(())
    }
}

impl FileTable {
    /// What the record locks taken through this table are known by.
    pub fn lock_owner(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }
}

impl Drop for FileTable {
    fn drop(&mut self) {
        locks::table_gone(self.lock_owner());
        for slot in self.slots.drain(..).flatten() {
            socket::released(&slot.file);
        }
        socket::collect();
    }
}

/// Frees a descriptor, and gives up the record locks on its file, as close(2) does.
pub fn close(table: &Mutex<FileTable>, fd: usize) -> Result<(), Errno> {
    let mut table = table.lock();
    let file = table.remove(fd)?;
    let owner = table.lock_owner();
    drop(table);
    replaced(owner, file);
    Ok(())
}

/// Lets a file go that has left the table of this lock owner.
pub fn replaced(owner: usize, file: FileHandle) {
    locks::process_closed(owner, &file);
    socket::released(&file);
    drop(file);
    // It may be open still, but where nobody can reach it.
    socket::collect();
}
