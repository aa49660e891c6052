//! [`File`]: an open file description, what descriptors refer to.
//!
//! Descriptors that come from dup or fork share one, and with it the position and the status flags.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{
    O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY, SEEK_CUR, SEEK_DATA,
    SEEK_END, SEEK_HOLE, SEEK_SET,
};

use super::buffer::Buf;
use super::inode::{Edges, FileIo, Kind, Node};
use super::memory;
use crate::linux::Errno;
use crate::mm::Object;
use crate::sync::Mutex;
use scalvm::{PAGE_SHIFT, Prot, Stream};

/// What a descriptor refers to, shared by all of its copies.
pub type FileHandle = Arc<File>;

/// An open file.
pub struct File {
    node: Node,
    /// None for O_PATH.
    io: Option<Arc<dyn FileIo>>,
    flags: AtomicU32,
    position: AtomicU64,
    /// What has been read of it, so that what comes next can be read ahead.
    stream: Mutex<Stream>,
}

impl File {
    /// An open file on `io`; `node` is what stat tells of and what the file is called by.
    pub fn new(node: Node, io: Arc<dyn FileIo>, flags: u32) -> Result<FileHandle, Errno> {
        let file = memory::arc(File {
            node,
            io: Some(io),
            flags: AtomicU32::new(flags),
            position: AtomicU64::new(0),
            stream: Mutex::new(Stream::new()),
        })?;
        if let Some(io) = &file.io {
            io.opened(&file);
        }
        Ok(file)
    }

    /// An open file that only names its inode, as O_PATH asks.
    pub fn path_only(node: Node, flags: u32) -> Result<FileHandle, Errno> {
        memory::arc(File {
            node,
            io: None,
            flags: AtomicU32::new(flags | O_PATH),
            position: AtomicU64::new(0),
            stream: Mutex::new(Stream::new()),
        })
    }

    /// Has `object`, which is the file's, begin to read what is needed for a read of so many bytes,
    /// and some ahead.
    pub fn read_ahead(&self, object: &Object, at: u64, len: usize) {
        if len == 0 {
            return;
        }
        let first = at >> PAGE_SHIFT;
        let last = (at.saturating_add(len as u64 - 1)) >> PAGE_SHIFT;
        // The driver may block.
        let mut stream = *self.stream.lock();
        object.read_ahead(&mut stream, first, last - first + 1);
        *self.stream.lock() = stream;
    }

    /// The inode.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// What it reads and writes; EBADF for O_PATH.
    pub fn io(&self) -> Result<&Arc<dyn FileIo>, Errno> {
        self.io.as_ref().ok_or(Errno::EBADF)
    }

    /// The access mode and status flags.
    pub fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }

    /// Sets those of the status flags that are in `mask`.
    pub fn set_flags(&self, flags: u32, mask: u32) {
        self.flags
            .store(self.flags() & !mask | flags & mask, Relaxed);
    }

    /// Whether calls return EAGAIN where they would wait.
    pub fn nonblocking(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }

    /// Whether it may be read.
    pub fn readable(&self) -> bool {
        matches!(self.flags() & (O_ACCMODE | O_PATH), O_RDONLY | O_RDWR)
    }

    /// Whether it may be written.
    pub fn writable(&self) -> bool {
        matches!(self.flags() & (O_ACCMODE | O_PATH), O_WRONLY | O_RDWR)
    }

    /// Reads at the position, which moves. Blocks.
    pub fn read(&self, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if !self.readable() {
            return Err(Errno::EBADF);
        }
        let at = self.position.load(Relaxed);
        let done = self.io()?.read(self, at, buf)?;
        self.position.store(at + done as u64, Relaxed);
        Ok(done)
    }

    /// Writes at the position, or at the end for O_APPEND; the position moves. Blocks.
    pub fn write(&self, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        let io = self.io()?;
        let at = match io.size() {
            Some(size) if self.flags() & O_APPEND != 0 => size,
            _ => self.position.load(Relaxed),
        };
        let done = io.write(self, at, buf)?;
        self.position.store(at + done as u64, Relaxed);
        Ok(done)
    }

    /// Reads at an offset; the position stays. Blocks.
    pub fn read_at(&self, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if !self.readable() {
            return Err(Errno::EBADF);
        }
        let io = self.io()?;
        io.size().ok_or(Errno::ESPIPE)?;
        io.read(self, at, buf)
    }

    /// Writes at an offset, or at the end for O_APPEND (as Linux does); the position stays. Blocks.
    pub fn write_at(&self, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if !self.writable() {
            return Err(Errno::EBADF);
        }
        let io = self.io()?;
        let size = io.size().ok_or(Errno::ESPIPE)?;
        let at = if self.flags() & O_APPEND != 0 {
            size
        } else {
            at
        };
        io.write(self, at, buf)
    }

    /// lseek(2).
    pub fn seek(&self, offset: i64, whence: u32) -> Result<u64, Errno> {
        let io = self.io()?;
        let size = io.size().ok_or(Errno::ESPIPE)?;
        if self.node.kind() == Kind::CharDevice {
            // The bytes of /dev/zero are the same everywhere.
            self.position.store(0, Relaxed);
            return Ok(0);
        }
        let base = match whence {
            SEEK_SET => 0,
            SEEK_CUR => self.position.load(Relaxed) as i64,
            SEEK_END => size as i64,
            // Everything up to the end counts as data; the only hole is at the end.
            SEEK_DATA | SEEK_HOLE if offset < 0 || offset as u64 >= size => {
                return Err(Errno::ENXIO);
            }
            SEEK_DATA => 0,
            SEEK_HOLE => {
                self.position.store(size, Relaxed);
                return Ok(size);
            }
            _ => return Err(Errno::EINVAL),
        };
        let to = base
            .checked_add(offset)
            .filter(|to| *to >= 0)
            .ok_or(Errno::EINVAL)? as u64;
        self.position.store(to, Relaxed);
        Ok(to)
    }

    /// The position.
    pub fn position(&self) -> u64 {
        self.position.load(Relaxed)
    }

    /// Sets the position.
    pub fn set_position(&self, at: u64) {
        self.position.store(at, Relaxed);
    }

    /// What poll(2) would report now.
    pub fn ready(&self) -> u32 {
        match &self.io {
            Some(io) => io.ready(self),
            None => linux_raw_sys::general::POLLNVAL,
        }
    }

    /// How often it has become ready.
    pub fn edges(&self) -> Option<Edges> {
        self.io.as_ref()?.edges(self)
    }

    /// What mmap(2) of this file maps, and the most rights that the mapping may ever have.
    pub fn object_for_mmap(&self, prot: Prot, shared: bool) -> Result<(Object, Prot), Errno> {
        if !self.readable() || shared && prot.contains(Prot::WRITE) && !self.writable() {
            return Err(if self.io.is_some() {
                Errno::EACCES
            } else {
                Errno::EBADF
            });
        }
        let io = self.io()?;
        let object = io.object(&self.node)?;
        let sealed = shared && io.is_write_sealed();
        if sealed && prot.contains(Prot::WRITE) {
            return Err(Errno::EPERM);
        }
        if shared && self.writable() {
            io.mapped_to_write()?;
        }
        let max = if sealed || shared && !self.writable() {
            Prot::RX
        } else {
            Prot::all()
        };
        Ok((object, max))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if let Some(io) = self.io.take() {
            super::locks::file_gone(self);
            io.closed(self);
        }
    }
}
