//! Which socket has which name.
//!
//! A path names an inode, and the socket is bound to that, whatever the path leads to later; who
//! has the socket holds the inode, so that its number is not another's meanwhile.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use super::address::Address;
use super::state::{Socket, Style};
use crate::fs::inode::{Kind, Node};
use crate::fs::memory;
use crate::fs::walk::{self, Last};
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task;

/// What a socket is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Device and number of the inode that its path led to.
    Inode(u64, u64),
    /// Its abstract name; each style has its own.
    Abstract(Style, Address),
}

static BOUND: Mutex<BTreeMap<Key, Weak<Socket>>> = Mutex::new(BTreeMap::new());

impl Key {
    /// That of an inode.
    pub fn of(node: &Node) -> Key {
        let stat = node.stat();
        Key::Inode(stat.dev, stat.ino)
    }
}

/// Gives a socket a name. EADDRINUSE if another has it.
pub fn bind(key: Key, socket: &Arc<Socket>) -> Result<(), Errno> {
    memory::prove_insert::<Key, Weak<Socket>>()?;
    let mut bound = BOUND.lock();
    if bound.contains_key(&key) {
        return Err(Errno::EADDRINUSE);
    }
    bound.insert(key, Arc::downgrade(socket));
    Ok(())
}

/// A name is nobody's any more.
pub fn release(key: &Key) {
    BOUND.lock().remove(key);
}

/// The socket of this name and style. ECONNREFUSED if there is none, EPROTOTYPE if the path is that
/// of one of another style.
pub fn find(address: &Address, style: Style) -> Result<Arc<Socket>, Errno> {
    let key = match address.path() {
        None => Key::Abstract(style, address.clone()),
        Some(path) => {
            let context = task::current().fs().lock().clone();
            let node = walk::lookup(&context, &context.cwd, path, Last::Follow)?;
            if node.kind() != Kind::Socket {
                return Err(Errno::ECONNREFUSED);
            }
            Key::of(&node)
        }
    };
    let found = BOUND.lock().get(&key).and_then(Weak::upgrade);
    match found {
        Some(socket) if socket.style() == style => Ok(socket),
        Some(_) => Err(Errno::EPROTOTYPE),
        None => Err(Errno::ECONNREFUSED),
    }
}
