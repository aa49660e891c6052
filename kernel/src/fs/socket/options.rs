//! What can be asked of a socket and told to it.

use core::mem;

use super::message::Credentials;
use super::state::{Phase, Socket};
use crate::linux::Errno;

/// The largest size of a buffer that can be asked for, and the first: as on Linux.
const MAX_BUFFER: usize = 212_992;
/// The smallest sizes that a buffer gets, to send and to receive.
const MIN_SEND: usize = 4608;
const MIN_RECEIVE: usize = 2304;

/// Options that are on or off, and change nothing here but [`Flag::PassCredentials`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    /// SO_DEBUG.
    Debug,
    /// SO_REUSEADDR.
    ReuseAddress,
    /// SO_DONTROUTE.
    DontRoute,
    /// SO_BROADCAST.
    Broadcast,
    /// SO_KEEPALIVE.
    KeepAlive,
    /// SO_OOBINLINE.
    UrgentInline,
    /// SO_PASSCRED: each message comes with who sent it.
    PassCredentials,
}

/// SO_LINGER, which concerns no local socket.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Linger {
    /// Whether it is on.
    pub on: bool,
    /// How long, in seconds.
    pub seconds: u32,
}

/// The options of a socket.
#[derive(Clone, Debug)]
pub struct Options {
    /// A bit for each [`Flag`].
    flags: u32,
    /// SO_LINGER.
    pub linger: Linger,
    /// SO_SNDBUF: how much may be sent and not yet received.
    pub send_buffer: usize,
    /// SO_RCVBUF, which is only kept: who sends pays.
    pub receive_buffer: usize,
    /// SO_RCVLOWAT: with how many bytes a stream's receive is content.
    pub low_water: usize,
    /// SO_RCVTIMEO in nanoseconds, 0 for none.
    pub receive_timeout: u64,
    /// SO_SNDTIMEO in nanoseconds, 0 for none.
    pub send_timeout: u64,
    /// SO_PRIORITY, which is only kept.
    pub priority: u32,
}

impl Options {
    pub(super) fn new() -> Options {
        Options {
            flags: 0,
            linger: Linger::default(),
            send_buffer: MAX_BUFFER,
            receive_buffer: MAX_BUFFER,
            low_water: 1,
            receive_timeout: 0,
            send_timeout: 0,
            priority: 0,
        }
    }

    /// Whether an option is on.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags >> flag as u32 & 1 != 0
    }

    /// Switches an option.
    pub fn set(&mut self, flag: Flag, on: bool) {
        self.flags = self.flags & !(1 << flag as u32) | u32::from(on) << flag as u32;
    }

    /// Changes the size of the buffer to send: twice what is asked for, within bounds.
    pub fn set_send_buffer(&mut self, bytes: u32) {
        self.send_buffer = buffer(bytes, MIN_SEND);
    }

    /// The same to receive.
    pub fn set_receive_buffer(&mut self, bytes: u32) {
        self.receive_buffer = buffer(bytes, MIN_RECEIVE);
    }
}

fn buffer(bytes: u32, least: usize) -> usize {
    (2 * (bytes as usize).min(MAX_BUFFER)).max(least)
}

impl Socket {
    /// Its options as they are now.
    pub fn options(&self) -> Options {
        self.options.lock().clone()
    }

    /// Changes its options.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.options.lock());
        // There may be room now.
        self.made_room();
    }

    /// Why its connection ended, if that has not been told yet.
    pub fn take_error(&self) -> Option<Errno> {
        mem::take(&mut self.state.lock().error)
    }

    /// Whether it waits for connections.
    pub fn listens(&self) -> bool {
        self.state.lock().phase == Phase::Listening
    }

    /// Who connected, or listened, at the other end.
    pub fn peer_credentials(&self) -> Credentials {
        self.state.lock().peer_credentials
    }
}
