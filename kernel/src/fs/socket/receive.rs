//! Receiving.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::address::Address;
use super::message::{Credentials, Message};
use super::options::Flag;
use super::state::{Phase, Socket, Style};
use super::wait::Patience;
use crate::fs::FileHandle;
use crate::fs::buffer::Pieces;
use crate::linux::Errno;

/// How something is to be received.
#[derive(Clone, Copy, Debug)]
pub struct Receiving {
    /// Whether it stays where it is.
    pub peeks: bool,
    /// Whether a stream is to fill all of the room.
    pub fills: bool,
    /// How long to wait for something to come.
    pub patience: Patience,
}

/// What has been received.
#[derive(Default)]
pub struct Received {
    /// Bytes that were put where they should go.
    pub bytes: usize,
    /// Bytes of the whole message, of a stream the same.
    pub whole: usize,
    /// What the sender is called.
    pub from: Option<Arc<Address>>,
    /// Who the sender is, if anything came.
    pub credentials: Option<Credentials>,
    /// The files that came along.
    pub files: Vec<FileHandle>,
}

/// What a thread that wants to receive finds.
enum Turn {
    /// There is something, and nobody else takes it meanwhile.
    Mine,
    /// There is nothing now.
    Wait,
    /// There will be nothing more.
    Over,
    /// The connection broke.
    Failed(Errno),
}

impl Socket {
    /// Receives into `data`. Blocks until something comes, and while it copies.
    pub fn receive(&self, data: &mut Pieces<'_, '_>, how: Receiving) -> Result<Received, Errno> {
        let connected = self.state.lock().phase == Phase::Connected;
        match self.style() {
            Style::Stream if !connected => Err(Errno::EINVAL),
            Style::Packets if !connected => Err(Errno::ENOTCONN),
            Style::Stream => self.receive_stream(data, how),
            _ => self.receive_message(data, how),
        }
    }

    fn receive_stream(&self, data: &mut Pieces<'_, '_>, how: Receiving) -> Result<Received, Errno> {
        let least = if how.fills {
            data.len()
        } else {
            self.options.lock().low_water.min(data.len())
        };
        let mut received = Received::default();
        loop {
            let result = self.take_turn(how.patience).and_then(|more| match more {
                false => Ok(true),
                true => {
                    let result = self.drain(data, how.peeks, &mut received);
                    self.end_turn();
                    result
                }
            });
            match result {
                Err(error) if received.bytes == 0 => return Err(error),
                Ok(false) if received.bytes < least => {}
                _ => break,
            }
        }
        received.whole = received.bytes;
        Ok(received)
    }

    /// Takes from a stream what there is, in this thread's turn. True if nothing is to be added to
    /// that: no room is left, files came along, what follows is from another, or it was a look.
    fn drain(
        &self,
        data: &mut Pieces<'_, '_>,
        peeks: bool,
        received: &mut Received,
    ) -> Result<bool, Errno> {
        let tells_senders = self.options.lock().has(Flag::PassCredentials);
        let mut at = 0;
        loop {
            let (message, offset) = {
                let state = self.state.lock();
                let Some(message) = state.queue.get(at) else {
                    return Ok(peeks);
                };
                (message.clone(), if at == 0 { state.consumed } else { 0 })
            };
            match received.credentials {
                None => {
                    received.credentials = Some(message.credentials);
                    received.from = message.from.clone();
                }
                Some(known) if tells_senders && known != message.credentials => return Ok(true),
                Some(_) => {}
            }
            let rest = &message.bytes()[offset..];
            let moved = data.put(rest)?;
            received.bytes += moved;
            let files = message.files(peeks)?;
            let is_last = moved < rest.len() || data.is_empty() || !files.is_empty();
            if !files.is_empty() {
                received.files = files;
            }
            if peeks {
                at += 1;
            } else {
                self.consume(&message, moved);
            }
            if is_last {
                return Ok(true);
            }
        }
    }

    fn receive_message(
        &self,
        data: &mut Pieces<'_, '_>,
        how: Receiving,
    ) -> Result<Received, Errno> {
        if !self.take_turn(how.patience)? {
            return Ok(Received::default());
        }
        let message = self.state.lock().queue.front().cloned();
        let Some(message) = message else {
            self.end_turn();
            return Ok(Received::default());
        };
        // If it finds no room in the program's memory it is lost, as on Linux.
        let moved = data.put(message.bytes());
        let files = message.files(how.peeks);
        if !how.peeks {
            self.consume(&message, message.bytes().len());
            self.made_room();
        }
        self.end_turn();
        Ok(Received {
            bytes: moved?,
            whole: message.bytes().len(),
            from: message.from.clone(),
            credentials: Some(message.credentials),
            files: files?,
        })
    }

    /// Waits until there is something to receive, and is then the one who does. False if nothing
    /// will come any more.
    fn take_turn(&self, patience: Patience) -> Result<bool, Errno> {
        let mut turn = Turn::Wait;
        let waited = patience.wait(&self.arrivals, || {
            turn = self.turn();
            !matches!(turn, Turn::Wait)
        });
        match turn {
            Turn::Mine => Ok(true),
            // Nothing ends for datagrams: others can come, if not now.
            Turn::Over if self.style() == Style::Datagram && patience == Patience::None => {
                Err(Errno::EAGAIN)
            }
            Turn::Over => Ok(false),
            Turn::Failed(error) => Err(error),
            Turn::Wait => waited.map(|()| false),
        }
    }

    fn turn(&self) -> Turn {
        let mut state = self.state.lock();
        if state.reading {
            return Turn::Wait;
        }
        // A stream is read to its end first.
        if (self.style() != Style::Stream || state.queue.is_empty())
            && let Some(error) = state.error.take()
        {
            return Turn::Failed(error);
        }
        if !state.queue.is_empty() {
            state.reading = true;
            Turn::Mine
        } else if state.receives {
            Turn::Wait
        } else {
            Turn::Over
        }
    }

    /// Lets others receive.
    fn end_turn(&self) {
        self.state.lock().reading = false;
        self.arrivals.wake_all();
    }

    /// So many bytes of the first message have been read: one that is used up goes. It may have gone
    /// before, with all that lay in the queue of a datagram socket that got another peer.
    fn consume(&self, message: &Arc<Message>, bytes: usize) {
        let mut state = self.state.lock();
        let is_first = |first: &Arc<Message>| Arc::ptr_eq(first, message);
        if !state.queue.front().is_some_and(is_first) {
            return;
        }
        state.consumed += bytes;
        if state.consumed < message.bytes().len() {
            return;
        }
        state.consumed = 0;
        let done = state.queue.pop_front();
        drop(state);
        drop(done);
    }
}

impl Message {
    /// The files that come along: the same once more for who only has a look.
    fn files(&self, peeks: bool) -> Result<Vec<FileHandle>, Errno> {
        if peeks {
            let rights = self.rights.lock();
            return rights
                .as_ref()
                .map_or(Ok(Vec::new()), |rights| rights.copy());
        }
        let rights = self.rights.lock().take();
        Ok(rights.map_or(Vec::new(), |rights| rights.arrive()))
    }
}
