//! Sending.

use alloc::sync::Arc;

use linux_raw_sys::general::SIGPIPE;

use super::address::Address;
use super::message::{Credentials, Message};
use super::names;
use super::rights::Rights;
use super::state::{Phase, Socket, Style};
use super::wait::Patience;
use crate::fs::buffer::Pieces;
use crate::linux::Errno;
use crate::task;

/// The most bytes of a stream that make one message: a long write is received while it is written.
const MAX_PIECE: usize = 16 * 1024;
/// What Linux keeps of a buffer for itself.
const BUFFER_MARGIN: usize = 32;

/// How something is sent.
pub struct Sending<'a> {
    /// Where to, if not to the peer.
    pub to: Option<&'a Address>,
    /// Files that go along.
    pub rights: Option<Rights>,
    /// Who it is told to be from.
    pub credentials: Credentials,
    /// Whether SIGPIPE comes where there is nobody any more to receive it.
    pub signals: bool,
    /// How long to wait for room.
    pub patience: Patience,
}

impl Socket {
    /// Sends the bytes; how many of them. Blocks for room, and while it copies.
    pub fn send(&self, data: &mut Pieces<'_, '_>, how: Sending<'_>) -> Result<usize, Errno> {
        match self.style() {
            Style::Stream => self.send_stream(data, how),
            Style::Datagram => self.send_message(data, how),
            Style::Packets if self.state.lock().phase != Phase::Connected => Err(Errno::ENOTCONN),
            Style::Packets => self.send_message(data, Sending { to: None, ..how }),
        }
    }

    fn send_stream(&self, data: &mut Pieces<'_, '_>, mut how: Sending<'_>) -> Result<usize, Errno> {
        if how.to.is_some() {
            return Err(match self.state.lock().phase {
                Phase::Connected => Errno::EISCONN,
                _ => Errno::EOPNOTSUPP,
            });
        }
        if self.state.lock().peer.is_none() {
            return Err(Errno::ENOTCONN);
        }
        let mut done = 0;
        while !data.is_empty() {
            match self.send_piece(data, &mut how) {
                Ok(moved) => done += moved,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            // What has been sent is the result; the next call meets what is wrong.
            how.signals = false;
        }
        Ok(done)
    }

    /// Sends the next bytes of a stream.
    fn send_piece(&self, data: &mut Pieces<'_, '_>, how: &mut Sending<'_>) -> Result<usize, Errno> {
        let half = self.options.lock().send_buffer / 2;
        let len = data.len().min(MAX_PIECE).min(half);
        let mut step = || {
            self.open_peer()?;
            self.wait_for_room(how.patience)?;
            self.open_peer()?;
            let message = Message::new(self, data, len, how.credentials, how.rights.take())?;
            // The copy may have taken long.
            self.open_peer()?.receive_into_queue(message)
        };
        let result = step();
        if how.signals && result == Err(Errno::EPIPE) {
            task::signal_current(SIGPIPE);
        }
        result.map(|()| len)
    }

    /// The peer, if this may send and that receive. EPIPE if not.
    fn open_peer(&self) -> Result<Arc<Socket>, Errno> {
        let sends = self.state.lock().sends;
        let receives = |peer: &Arc<Socket>| peer.state.lock().receives;
        self.peer()
            .filter(|peer| sends && receives(peer))
            .ok_or(Errno::EPIPE)
    }

    /// Waits until more can be sent, or nothing can any more. What went wrong before is told first.
    fn wait_for_room(&self, patience: Patience) -> Result<(), Errno> {
        let mut error = None;
        patience.wait(&self.room, || {
            error = self.take_error();
            let size = self.options.lock().send_buffer;
            error.is_some() || self.unreceived() < size || !self.state.lock().sends
        })?;
        error.map_or(Ok(()), Err)
    }

    /// Sends all of it as one message.
    fn send_message(&self, data: &mut Pieces<'_, '_>, how: Sending<'_>) -> Result<usize, Errno> {
        let len = data.len();
        if how.to.is_none() && self.state.lock().peer.is_none() {
            return Err(Errno::ENOTCONN);
        }
        if len > self.options.lock().send_buffer - BUFFER_MARGIN {
            return Err(Errno::EMSGSIZE);
        }
        self.wait_for_room(how.patience)?;
        if !self.state.lock().sends {
            return Err(Errno::EPIPE);
        }
        let message = Message::new(self, data, len, how.credentials, how.rights)?;
        loop {
            let other = self.receiver(how.to)?;
            if !other.takes_from(self) {
                return Err(Errno::EPERM);
            }
            if !other.state.lock().receives {
                return Err(Errno::EPIPE);
            }
            if !other.is_crowded_for(self) {
                other.receive_into_queue(message)?;
                return Ok(len);
            }
            how.patience.wait(&other.room, || {
                !other.is_crowded_for(self) || !other.state.lock().receives
            })?;
        }
    }

    /// Who receives a message for this address, or else from this socket. ECONNREFUSED if it has
    /// closed; it is nobody's peer then any more.
    fn receiver(&self, to: Option<&Address>) -> Result<Arc<Socket>, Errno> {
        if let Some(address) = to {
            return names::find(address, self.style());
        }
        if let Some(peer) = self.peer() {
            return Ok(peer);
        }
        if self.style().connects() {
            return Err(Errno::EPIPE);
        }
        match self.state.lock().peer.take() {
            Some(_) => Err(Errno::ECONNREFUSED),
            None => Err(Errno::ENOTCONN),
        }
    }

    /// Whether messages of `from` may come here: a datagram socket with a peer takes only those of
    /// that.
    pub(super) fn takes_from(&self, from: &Socket) -> bool {
        self.state.lock().peer.is_none() || self.is_peer(from)
    }

    /// Whether `from` has to wait, since too many datagrams are here. The peer's own count for it.
    pub(super) fn is_crowded_for(&self, from: &Socket) -> bool {
        !core::ptr::eq(self, from) && !self.is_peer(from) && self.state.lock().is_full()
    }

    /// Puts a message into the queue.
    fn receive_into_queue(&self, message: Arc<Message>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.queue.try_reserve(1).is_err() {
            drop(state);
            return Err(Errno::ENOBUFS);
        }
        state.queue.push_back(message);
        drop(state);
        self.came();
        Ok(())
    }
}
