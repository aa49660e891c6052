//! A socket as a file and as an inode.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::slice;

use linux_raw_sys::general::{
    POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM,
};
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};

use super::message::Credentials;
use super::receive::Receiving;
use super::send::Sending;
use super::state::{Phase, Socket, Style};
use super::wait::Patience;
use crate::fs::buffer::{Buf, Pieces};
use crate::fs::file::File;
use crate::fs::inode::{Change, Edges, FileIo, FsStat, Inode, Kind, Stat};
use crate::fs::label;
use crate::linux::Errno;
use crate::mm::user;

/// The magic number of the file system that sockets are on.
const SOCKFS: u64 = 0x534f_434b;

impl Socket {
    /// How long a call that sends may wait.
    pub fn send_patience(&self, dont_wait: bool) -> Patience {
        match dont_wait {
            true => Patience::None,
            false => Patience::of(self.options.lock().send_timeout),
        }
    }

    /// How long a call that receives may wait.
    pub fn receive_patience(&self, dont_wait: bool) -> Patience {
        match dont_wait {
            true => Patience::None,
            false => Patience::of(self.options.lock().receive_timeout),
        }
    }

    /// readv(2). Blocks.
    pub fn read_pieces(&self, file: &File, data: &mut Pieces<'_, '_>) -> Result<usize, Errno> {
        if data.is_empty() {
            return Ok(0);
        }
        let how = Receiving {
            peeks: false,
            fills: false,
            patience: self.receive_patience(file.nonblocking()),
        };
        // Files that came along are closed: nobody asked for them.
        Ok(self.receive(data, how)?.bytes)
    }

    /// writev(2). Blocks.
    pub fn write_pieces(&self, file: &File, data: &mut Pieces<'_, '_>) -> Result<usize, Errno> {
        let how = Sending {
            to: None,
            rights: None,
            credentials: Credentials::mine(),
            signals: true,
            patience: self.send_patience(file.nonblocking()),
        };
        self.send(data, how)
    }

    /// Whether so little of what it sent is there still that more can be sent.
    fn has_room(&self) -> bool {
        4 * self.unreceived() <= self.options.lock().send_buffer
    }

    /// Bytes that the next receive may give.
    fn readable_bytes(&self) -> Result<usize, Errno> {
        let state = self.state.lock();
        match self.style() {
            _ if state.phase == Phase::Listening => Err(Errno::EINVAL),
            Style::Datagram => Ok(state.queue.front().map_or(0, |first| first.bytes().len())),
            _ => Ok(state.unread()),
        }
    }
}

impl FileIo for Socket {
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        self.read_pieces(file, &mut Pieces::new(slice::from_mut(buf)))
    }

    fn write(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        self.write_pieces(file, &mut Pieces::new(slice::from_mut(buf)))
    }

    fn ready(&self, _file: &File) -> u32 {
        const READABLE: u32 = POLLIN | POLLRDNORM;
        const WRITABLE: u32 = POLLOUT | POLLWRNORM | POLLWRBAND;
        let state = self.state.lock();
        let mut events = 0;
        if state.error.is_some() {
            events |= POLLERR;
        }
        if !state.receives {
            events |= POLLRDHUP | READABLE;
        }
        let idle = self.style().connects() && state.phase == Phase::Idle;
        if idle || !state.receives && !state.sends {
            events |= POLLHUP;
        }
        if !state.queue.is_empty() || !state.pending.is_empty() {
            events |= READABLE;
        }
        let listens = state.phase == Phase::Listening;
        drop(state);
        let crowded = match self.style() {
            Style::Datagram => self.peer().is_some_and(|peer| peer.is_crowded_for(self)),
            _ => false,
        };
        if !listens && !crowded && self.has_room() {
            events |= WRITABLE;
        }
        events
    }

    fn edges(&self, _file: &File) -> Option<Edges> {
        let mut edges = *self.edges.lock();
        // There may be room for datagrams at the peer, too.
        if self.style() == Style::Datagram
            && let Some(peer) = self.peer()
        {
            edges.output += peer.edges.lock().output;
        }
        Some(edges)
    }

    fn ioctl(&self, _file: &File, request: u32, arg: usize) -> Result<usize, Errno> {
        let count = match request {
            FIONREAD => self.readable_bytes()?,
            TIOCOUTQ => self.unreceived(),
            _ => return Err(Errno::ENOTTY),
        };
        user::write(arg, &(count as i32))?;
        Ok(0)
    }

    fn closed(&self, _file: &File) {
        self.close();
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Inode for Socket {
    fn kind(&self) -> Kind {
        Kind::Socket
    }

    fn stat(&self) -> Stat {
        label::stat(Kind::Socket, 0o777, self.ino, self.made)
    }

    fn fs_stat(&self) -> FsStat {
        FsStat::without_blocks(SOCKFS)
    }

    fn change(&self, _change: Change) -> Result<(), Errno> {
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
        Err(Errno::ENXIO)
    }

    fn label(&self) -> Option<Vec<u8>> {
        label::numbered("socket", self.ino).ok()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
