//! [`Socket`]: one end of a connection, or what can become one.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::address::Address;
use super::collect::Mark;
use super::message::{Credentials, Message};
use super::names::Key;
use super::options::Options;
use crate::arch::time::wall_ns;
use crate::fs::file::File;
use crate::fs::inode::{Edges, Kind, Node};
use crate::fs::{memory, names, wait};
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::WaitQueue;

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Style {
    /// Bytes, of a connection.
    Stream,
    /// Messages, from anybody.
    Datagram,
    /// Messages, of a connection.
    Packets,
}

impl Style {
    /// Whether it has to be connected before it carries anything.
    pub fn connects(self) -> bool {
        self != Style::Datagram
    }
}

/// How far a socket has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It is new. Datagram sockets stay so.
    Idle,
    /// It waits for connections.
    Listening,
    /// It is one end of a connection.
    Connected,
}

/// A socket of the local kind.
pub struct Socket {
    this: Weak<Socket>,
    style: Style,
    pub(super) ino: u64,
    pub(super) made: u64,
    pub(super) state: Mutex<State>,
    pub(super) options: Mutex<Options>,
    /// Those that wait for messages or connections to come, or for nothing more to come.
    pub(super) arrivals: WaitQueue,
    /// Those that wait for room: for what this socket sends, or for connections and datagrams in
    /// its queue.
    pub(super) room: WaitQueue,
    /// What happened here.
    pub(super) edges: Mutex<Edges>,
    /// Invariant 3.
    pub(super) sent: AtomicUsize,
    /// In how many messages its own file lies.
    pub(super) flights: AtomicUsize,
    pub(super) mark: Mark,
    /// Whether its queue is to be dropped, ...
    pub(super) is_doomed: AtomicBool,
    /// ... and that of which one after it.
    pub(super) next_doomed: Mutex<Option<Arc<Socket>>>,
}

/// What changes.
pub struct State {
    pub phase: Phase,
    /// What it is bound to.
    pub address: Option<Arc<Address>>,
    pub bound: Option<Bound>,
    pub peer: Option<Weak<Socket>>,
    /// What has been received and not been read.
    pub queue: VecDeque<Arc<Message>>,
    /// How many bytes of the first message have been read.
    pub consumed: usize,
    /// Invariant 4.
    pub reading: bool,
    /// Connections that nobody has accepted.
    pub pending: VecDeque<Arc<Socket>>,
    /// How many of those may wait, and one more.
    pub backlog: usize,
    /// Whether it may receive more than lies in its queue.
    pub receives: bool,
    /// Whether it may send.
    pub sends: bool,
    /// Whether its file is closed.
    pub closed: bool,
    /// Why the connection ended, until somebody asks.
    pub error: Option<Errno>,
    /// Of who listened or connected at the other end.
    pub peer_credentials: Credentials,
    /// Of who listens here.
    pub own_credentials: Credentials,
}

/// A name that a socket has.
pub struct Bound {
    pub key: Key,
    /// The inode, which keeps its number while the socket is bound to it.
    pub _node: Option<Node>,
}

impl Socket {
    /// A socket that is connected to nothing.
    pub(super) fn new(style: Style) -> Result<Arc<Socket>, Errno> {
        memory::prove(
            size_of::<Socket>() + 2 * size_of::<usize>(),
            align_of::<Socket>(),
        )?;
        Ok(Arc::new_cyclic(|this| Socket {
            this: this.clone(),
            style,
            ino: names::next_ino(),
            made: wall_ns(),
            state: Mutex::new(State::new()),
            options: Mutex::new(Options::new()),
            arrivals: WaitQueue::new(),
            room: WaitQueue::new(),
            edges: Mutex::new(Edges::default()),
            sent: AtomicUsize::new(0),
            flights: AtomicUsize::new(0),
            mark: Mark::new(),
            is_doomed: AtomicBool::new(false),
            next_doomed: Mutex::new(None),
        }))
    }

    /// The socket that a file is, if it is one.
    pub fn of(file: &File) -> Option<Arc<Socket>> {
        // Nothing else has such an inode and can be open.
        if file.node().kind() != Kind::Socket {
            return None;
        }
        file.io().ok()?.clone().into_any().downcast().ok()
    }

    /// What it carries.
    pub fn style(&self) -> Style {
        self.style
    }

    /// A reference that does not keep it.
    pub(super) fn weak(&self) -> Weak<Socket> {
        self.this.clone()
    }

    /// What it is bound to.
    pub fn address(&self) -> Option<Arc<Address>> {
        self.state.lock().address.clone()
    }

    /// Its peer, if it has one that is not closed.
    pub(super) fn peer(&self) -> Option<Arc<Socket>> {
        let peer = self.state.lock().peer.clone()?.upgrade()?;
        let closed = peer.state.lock().closed;
        (!closed).then_some(peer)
    }

    /// What its peer is bound to. ENOTCONN without a peer.
    pub fn peer_address(&self) -> Result<Option<Arc<Address>>, Errno> {
        let peer = self.state.lock().peer.clone().ok_or(Errno::ENOTCONN)?;
        Ok(peer.upgrade().and_then(|peer| peer.address()))
    }

    /// Whether it is connected to `other`.
    pub(super) fn is_peer(&self, other: &Socket) -> bool {
        let peer = &self.state.lock().peer;
        peer.as_ref().is_some_and(|peer| peer.ptr_eq(&other.this))
    }

    /// Something came here, or nothing will any more: wakes who waits for it.
    pub(super) fn came(&self) {
        self.edges.lock().input += 1;
        self.arrivals.wake_all();
        wait::changed();
    }

    /// There is more room, or none will ever come: wakes who waits for it.
    pub(super) fn made_room(&self) {
        self.edges.lock().output += 1;
        self.room.wake_all();
        wait::changed();
    }

    /// Bytes sent that nobody has received.
    pub(super) fn unreceived(&self) -> usize {
        self.sent.load(Relaxed)
    }
}

impl State {
    fn new() -> State {
        State {
            phase: Phase::Idle,
            address: None,
            bound: None,
            peer: None,
            queue: VecDeque::new(),
            consumed: 0,
            reading: false,
            pending: VecDeque::new(),
            backlog: MAX_DATAGRAMS,
            receives: true,
            sends: true,
            closed: false,
            error: None,
            peer_credentials: Credentials::NONE,
            own_credentials: Credentials::NONE,
        }
    }

    /// Whether there is no room for one more datagram or connection.
    pub fn is_full(&self) -> bool {
        self.queue.len().max(self.pending.len()) > self.backlog
    }

    /// Bytes that can be read.
    pub fn unread(&self) -> usize {
        let all: usize = self.queue.iter().map(|message| message.bytes().len()).sum();
        all - self.consumed
    }
}

/// How many datagrams of others a socket keeps, and one more: Linux's `max_dgram_qlen`.
const MAX_DATAGRAMS: usize = 10;
