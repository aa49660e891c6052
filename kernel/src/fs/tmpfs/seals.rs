//! Seals of files in memory: what can be done with a file no more, by anybody (memfd_create(2), fcntl(2)).
//!
//! A file has `F_SEAL_SEAL` from the beginning, and so gets no others, unless memfd_create(2) was told otherwise.
//!
//! Invariant: while a file has `F_SEAL_WRITE`, nothing can write it: no write is under way, and no shared
//! mapping has, or can be given, the right.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use linux_raw_sys::general::{
    F_SEAL_EXEC, F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE,
};

use super::node::{Body, TmpNode};
use crate::linux::Errno;

/// All there are.
const ALL: u32 =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC;
/// Those against writing.
const AGAINST_WRITING: u32 = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
/// Permissions to execute.
const EXECUTE: u32 = 0o111;

/// The seals of one file, and how many write it right now.
pub(super) struct Seals {
    seals: AtomicU32,
    writing: AtomicU32,
}

/// A write that is under way.
#[must_use]
pub(super) struct Writing<'a>(&'a Seals);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.writing.fetch_sub(1, Relaxed);
    }
}

impl Seals {
    /// What files have that get no seals.
    pub fn none() -> Seals {
        Seals {
            seals: AtomicU32::new(F_SEAL_SEAL),
            writing: AtomicU32::new(0),
        }
    }

    /// Whether the file has one of these.
    pub fn has(&self, seals: u32) -> bool {
        self.seals.load(Relaxed) & seals != 0
    }

    /// Sets what it has, when it is made.
    pub fn begin_with(&self, seals: u32) {
        self.seals.store(seals, Relaxed);
    }

    /// Begins to write. EPERM if that is sealed.
    pub fn write(&self) -> Result<Writing<'_>, Errno> {
        if self.has(AGAINST_WRITING) {
            return Err(Errno::EPERM);
        }
        self.writing.fetch_add(1, Relaxed);
        Ok(Writing(self))
    }

    /// EPERM if the size may not become this one.
    pub fn resize(&self, from: u64, to: u64) -> Result<(), Errno> {
        let sealed = to > from && self.has(F_SEAL_GROW) || to < from && self.has(F_SEAL_SHRINK);
        if sealed { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// EPERM if the permissions may not change so: a seal keeps those to execute.
    pub fn change_mode(&self, from: u32, to: u32) -> Result<(), Errno> {
        if self.has(F_SEAL_EXEC) && (from ^ to) & EXECUTE != 0 {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whether new shared mappings cannot write.
    pub fn against_writing(&self) -> bool {
        self.has(AGAINST_WRITING)
    }
}

impl TmpNode {
    /// The seals; EINVAL for what has no bytes.
    pub fn seals(&self) -> Result<u32, Errno> {
        match self.body {
            Body::Regular(_) => Ok(self.seals.seals.load(Relaxed)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Adds seals, for ever. EPERM if it gets none any more; EBUSY if it shall not be written, but a mapping
    /// may write it, or somebody does.
    pub fn add_seals(&self, mut seals: u32) -> Result<(), Errno> {
        if seals & !ALL != 0 {
            return Err(Errno::EINVAL);
        }
        let Body::Regular(object) = &self.body else {
            return Err(Errno::EINVAL);
        };
        if self.seals.has(F_SEAL_SEAL) {
            return Err(Errno::EPERM);
        }
        if seals & F_SEAL_WRITE != 0
            && !self.seals.has(F_SEAL_WRITE)
            && (object.is_mapped_writable() || self.seals.writing.load(Relaxed) != 0)
        {
            return Err(Errno::EBUSY);
        }
        // What may be executed for ever must not be written any more.
        if seals & F_SEAL_EXEC != 0 && self.attributes.lock().permissions & EXECUTE != 0 {
            seals |= F_SEAL_SHRINK | F_SEAL_GROW | AGAINST_WRITING;
        }
        if seals & AGAINST_WRITING != 0 {
            object.keep_contents();
        }
        self.seals.seals.fetch_or(seals, Relaxed);
        Ok(())
    }
}
