//! [`Message`]: what one call sent.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Relaxed;

use scalvm::malloc_type;
use scalvm_alloc::typed_alloc;

use super::address::Address;
use super::rights::Rights;
use super::state::Socket;
use crate::fs::buffer::Pieces;
use crate::fs::memory;
use crate::linux::Errno;
use crate::mm::VM;
use crate::mm::typed::{Box, Vec};
use crate::sync::Mutex;
use crate::task;

malloc_type!(M_SOCKET, "socket", "bytes in sockets", limit = 16 << 20);
typed_alloc!(SocketMemory, VM, M_SOCKET);

/// What a message costs its sender beside its bytes.
const OVERHEAD: usize = 256;

/// Who sent a message, or made a connection: process, user, group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// The process.
    pub pid: u32,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Credentials {
    /// Those of nobody: no process, and Linux's user and group for who is unknown.
    pub const NONE: Credentials = Credentials {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };

    /// Those of the process that calls. All run as root.
    pub fn mine() -> Credentials {
        Credentials {
            pid: task::current().pid as u32,
            uid: 0,
            gid: 0,
        }
    }
}

/// A message: bytes, and what comes with them.
pub struct Message {
    bytes: Box<[u8], SocketMemory>,
    /// What its sender was called.
    pub from: Option<Arc<Address>>,
    /// Who sent it.
    pub credentials: Credentials,
    /// The files that come along, until they are taken.
    pub rights: Mutex<Option<Rights>>,
    sender: Weak<Socket>,
}

impl Message {
    /// The next `len` bytes of `data` as a message of `sender`, which pays for it. Blocks. EFAULT
    /// if not all of them are there, ENOBUFS if there is no memory for them.
    pub fn new(
        sender: &Socket,
        data: &mut Pieces<'_, '_>,
        len: usize,
        credentials: Credentials,
        rights: Option<Rights>,
    ) -> Result<Arc<Message>, Errno> {
        let buffer = || {
            let mut buffer = Vec::new_in(SocketMemory);
            buffer.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
            Ok::<_, Errno>(buffer)
        };
        let mut bytes = task::with_memory(buffer).map_err(|_| Errno::ENOBUFS)?;
        bytes.resize(len, 0);
        if data.take(&mut bytes)? < len {
            return Err(Errno::EFAULT);
        }
        let message = Message {
            bytes: bytes.into_boxed_slice(),
            from: sender.address(),
            credentials,
            rights: Mutex::new(rights),
            sender: sender.weak(),
        };
        // Whether or not it gets any further, it takes that back when it goes.
        sender.sent.fetch_add(message.cost(), Relaxed);
        memory::arc(message).map_err(|_| Errno::ENOBUFS)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn cost(&self) -> usize {
        OVERHEAD + self.bytes.len()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.upgrade() {
            sender.sent.fetch_sub(self.cost(), Relaxed);
            sender.made_room();
        }
    }
}
