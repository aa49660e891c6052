//! Making sockets, binding them, and what leads to a connection.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use linux_raw_sys::general::O_RDWR;

use super::address::Address;
use super::message::Credentials;
use super::names::{self, Key};
use super::options::Flag;
use super::state::{Bound, Phase, Socket, Style};
use super::wait::Patience;
use crate::fs::file::File;
use crate::fs::inode::New;
use crate::fs::walk::{self, Last};
use crate::fs::{FileHandle, memory};
use crate::linux::Errno;
use crate::task;

/// The most connections that wait to be accepted: Linux's `somaxconn`.
const MAX_BACKLOG: usize = 4096;
/// The permissions of a socket's inode.
const MODE: u32 = 0o777;

/// An open file on a new socket.
pub fn open(style: Style, flags: u32) -> Result<FileHandle, Errno> {
    file(Socket::new(style)?, flags)
}

/// Two sockets that are connected to each other.
pub fn open_pair(style: Style, flags: u32) -> Result<[FileHandle; 2], Errno> {
    let (one, other) = (Socket::new(style)?, Socket::new(style)?);
    join(&one, &other, Credentials::mine(), Credentials::mine());
    Ok([file(one, flags)?, file(other, flags)?])
}

fn file(socket: Arc<Socket>, flags: u32) -> Result<FileHandle, Errno> {
    File::new(socket.clone(), socket, O_RDWR | flags)
}

/// Connects two sockets; who is at the end of each.
fn join(one: &Socket, other: &Socket, here: Credentials, there: Credentials) {
    for (socket, peer, who) in [(one, other, there), (other, one, here)] {
        let mut state = socket.state.lock();
        state.peer = Some(peer.weak());
        state.peer_credentials = who;
        if socket.style().connects() {
            state.phase = Phase::Connected;
        }
    }
}

impl Socket {
    /// bind(2). A path is made in the file system.
    pub fn bind(&self, address: Address) -> Result<(), Errno> {
        let Some(path) = address.path() else {
            self.check_unbound()?;
            let key = Key::Abstract(self.style(), address.clone());
            return self.take_name(key, address, None);
        };
        let context = task::current().fs().lock().clone();
        let found = walk::locate(&context, &context.cwd, path, Last::Keep)?;
        let name = match found.new_name() {
            Err(Errno::EEXIST) => return Err(Errno::EADDRINUSE),
            Ok(_) if found.slash => return Err(Errno::ENOENT),
            name => name?,
        };
        let node = found.dir.make(name, New::Socket, MODE & !context.umask)?;
        // As Linux does, only now: the path is made and goes again.
        let result = self.check_unbound().and_then(|()| {
            let key = Key::of(&node);
            self.take_name(key, address.clone(), Some(node))
        });
        if result.is_err() {
            found.dir.unlink(name, false)?;
        }
        result
    }

    /// Gives a socket without a name an abstract one that nobody has.
    pub fn bind_to_any(&self) -> Result<(), Errno> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        const NUMBERS: u32 = 1 << 20;
        if self.check_unbound().is_err() {
            return Ok(());
        }
        for _ in 0..NUMBERS {
            let address = Address::chosen(NEXT.fetch_add(1, Relaxed) % NUMBERS)?;
            let key = Key::Abstract(self.style(), address.clone());
            match self.take_name(key, address, None) {
                Err(Errno::EADDRINUSE) => {}
                result => return result,
            }
        }
        Err(Errno::ENOSPC)
    }

    fn check_unbound(&self) -> Result<(), Errno> {
        match self.state.lock().address {
            None => Ok(()),
            Some(_) => Err(Errno::EINVAL),
        }
    }

    fn take_name(
        &self,
        key: Key,
        address: Address,
        node: Option<crate::fs::inode::Node>,
    ) -> Result<(), Errno> {
        let this = self.weak().upgrade().ok_or(Errno::EBADF)?;
        let address = memory::arc(address)?;
        names::bind(key.clone(), &this)?;
        let mut state = self.state.lock();
        state.address = Some(address);
        state.bound = Some(Bound { key, _node: node });
        Ok(())
    }

    /// listen(2).
    pub fn listen(&self, backlog: i32) -> Result<(), Errno> {
        if !self.style().connects() {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.address.is_none() || state.phase == Phase::Connected {
            return Err(Errno::EINVAL);
        }
        state.phase = Phase::Listening;
        state.own_credentials = Credentials::mine();
        // A negative one is as many as there may be.
        state.backlog = (backlog as u32 as usize).min(MAX_BACKLOG);
        drop(state);
        self.made_room();
        Ok(())
    }

    /// connect(2) to what has this address; without one, a datagram socket has no peer any more.
    /// Blocks while there are too many who wait to be accepted.
    pub fn connect(&self, address: Option<&Address>, patience: Patience) -> Result<(), Errno> {
        if self.options.lock().has(Flag::PassCredentials) && address.is_some() {
            self.bind_to_any()?;
        }
        match address {
            None if self.style().connects() => Err(Errno::EINVAL),
            None => {
                self.change_peer(None);
                Ok(())
            }
            Some(address) if self.style().connects() => self.connect_for_good(address, patience),
            Some(address) => {
                let other = names::find(address, self.style())?;
                if !other.takes_from(self) {
                    return Err(Errno::EPERM);
                }
                self.change_peer(Some(&other));
                Ok(())
            }
        }
    }

    /// A datagram socket gets another peer, or none. Where both were each other's, messages are lost,
    /// and the old peer is told.
    fn change_peer(&self, peer: Option<&Socket>) {
        let old = self.peer();
        self.state.lock().peer = peer.map(Socket::weak);
        if let Some(old) = old.filter(|old| peer.is_none_or(|peer| !core::ptr::eq(peer, &**old))) {
            let both = old.is_peer(self);
            if both {
                old.state.lock().error = Some(Errno::ECONNRESET);
            }
            self.drop_queue();
        }
        self.made_room();
    }

    fn connect_for_good(&self, address: &Address, patience: Patience) -> Result<(), Errno> {
        let end = Socket::new(self.style())?;
        loop {
            let other = names::find(address, self.style())?;
            let state = other.state.lock();
            if state.phase != Phase::Listening || !state.receives || state.closed {
                return Err(Errno::ECONNREFUSED);
            }
            let full = state.is_full();
            drop(state);
            if full {
                patience.wait(&other.room, || {
                    let state = other.state.lock();
                    !state.is_full() || !state.receives
                })?;
                continue;
            }
            let phase = self.state.lock().phase;
            match phase {
                Phase::Idle => return other.add_connection(self, end),
                Phase::Connected => return Err(Errno::EISCONN),
                Phase::Listening => return Err(Errno::EINVAL),
            }
        }
    }

    /// `end` becomes the other end of `from`, and waits here to be accepted.
    fn add_connection(&self, from: &Socket, end: Arc<Socket>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        state.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (address, own) = (state.address.clone(), state.own_credentials);
        end.state.lock().address = address;
        state.pending.push_back(end.clone());
        drop(state);
        join(from, &end, Credentials::mine(), own);
        self.came();
        Ok(())
    }

    /// accept(2): an open file on the next connection. Blocks until there is one.
    pub fn accept(&self, patience: Patience, flags: u32) -> Result<FileHandle, Errno> {
        if !self.style().connects() {
            return Err(Errno::EOPNOTSUPP);
        }
        if !self.listens() {
            return Err(Errno::EINVAL);
        }
        let mut next = None;
        patience.wait(&self.arrivals, || {
            let mut state = self.state.lock();
            next = state.pending.pop_front();
            next.is_some() || !state.receives
        })?;
        let connection = next.ok_or(Errno::EINVAL)?;
        self.made_room();
        file(connection.clone(), flags).inspect_err(|_| connection.close())
    }
}
