//! Advisory locks on files: fcntl(2)'s ranges, and flock(2)'s whole files.
//!
//! All locks stand in one short list. A range lock belongs to a descriptor table (closing any
//! descriptor of the file gives it up, as POSIX wants), a flock to an open file. The two kinds do
//! not see each other, as on Linux.
//!
//! Invariant: the locks of one owner on one inode do not overlap ([`range`]).

mod range;

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::file::File;
use super::inode::Node;
use super::memory;
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::WaitQueue;
use range::{carve, conflicts};

pub use range::{Lock, Owner};

static LOCKS: Mutex<Vec<(usize, Lock)>> = Mutex::new(Vec::new());
static RELEASED: WaitQueue = WaitQueue::new();

/// A lock that stands in the way of this one.
pub fn conflict(node: &Node, wanted: &Lock) -> Option<Lock> {
    let inode = address(node);
    let locks = LOCKS.lock();
    let in_the_way = |(of, lock): &&(usize, Lock)| *of == inode && conflicts(lock, wanted);
    locks.iter().find(in_the_way).map(|(_, lock)| *lock)
}

/// Takes a lock, in the place of what the owner had locked there. EAGAIN, or waiting, while another
/// stands in the way. Blocks if `wait`.
pub fn take(node: &Node, lock: Lock, wait: bool) -> Result<(), Errno> {
    if wait {
        RELEASED.wait_until(|| conflict(node, &lock).is_none())?;
    } else if conflict(node, &lock).is_some() {
        return Err(Errno::EAGAIN);
    }
    let mut locks = LOCKS.lock();
    carve(&mut locks, address(node), lock.owner, lock.start, lock.end)
        .map_err(|_| Errno::ENOLCK)?;
    memory::push(&mut locks, (address(node), lock))?;
    drop(locks);
    // An exclusive lock may have become a shared one.
    RELEASED.wake_all();
    Ok(())
}

/// Gives up what the owner has locked in the range.
pub fn release(node: &Node, owner: Owner, start: u64, end: u64) -> Result<(), Errno> {
    carve(&mut LOCKS.lock(), address(node), owner, start, end).map_err(|_| Errno::ENOLCK)?;
    RELEASED.wake_all();
    Ok(())
}

/// A process closed a descriptor of this file: its range locks on the file go.
#[inline]
pub fn process_closed(table: usize, file: &File) {
    if !LOCKS.lock().is_empty() {
        let inode = address(file.node());
        remove(|of, owner| of == inode && owner == Owner::Table(table));
    }
}

/// A descriptor table is gone.
#[inline]
pub fn table_gone(table: usize) {
    if !LOCKS.lock().is_empty() {
        remove(|_, owner| owner == Owner::Table(table));
    }
}

/// An open file is gone.
#[inline]
pub fn file_gone(file: &File) {
    if !LOCKS.lock().is_empty() {
        let address = core::ptr::from_ref(file).addr();
        remove(|_, owner| owner == Owner::File(address));
    }
}

fn remove(gone: impl Fn(usize, Owner) -> bool) {
    LOCKS
        .lock()
        .retain(|(inode, lock)| !gone(*inode, lock.owner));
    RELEASED.wake_all();
}

fn address(node: &Node) -> usize {
    Arc::as_ptr(node).addr()
}
