//! Advisory locks on files: fcntl(2)'s ranges, and flock(2)'s whole files.
//!
//! All locks stand in one short list. A range lock belongs to a descriptor table (closing any
//! descriptor of the file gives it up, as POSIX wants), a flock to an open file. The two kinds do
//! not see each other, as on Linux.
//!
//! Invariant: the locks of one owner on one inode do not overlap.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::file::File;
use super::inode::Node;
use super::memory;
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::WaitQueue;

/// Whose lock it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The descriptor table at this address.
    Table(usize),
    /// The open file at this address.
    File(usize),
}

/// Bytes `start..end` of one file, locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lock {
    /// Whose it is.
    pub owner: Owner,
    /// The process that took it.
    pub pid: u32,
    /// Whether it shuts all others out, or only exclusive ones.
    pub exclusive: bool,
    /// The first byte.
    pub start: u64,
    /// The end, exclusive.
    pub end: u64,
}

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
    carve(&mut locks, address(node), lock.owner, lock.start, lock.end)?;
    memory::push(&mut locks, (address(node), lock))?;
    drop(locks);
    // An exclusive lock may have become a shared one.
    RELEASED.wake_all();
    Ok(())
}

/// Gives up what the owner has locked in the range.
pub fn release(node: &Node, owner: Owner, start: u64, end: u64) -> Result<(), Errno> {
    carve(&mut LOCKS.lock(), address(node), owner, start, end)?;
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

/// Whether two locks on one file cannot be there at once.
fn conflicts(a: &Lock, b: &Lock) -> bool {
    let same_kind = core::mem::discriminant(&a.owner) == core::mem::discriminant(&b.owner);
    same_kind
        && a.owner != b.owner
        && (a.exclusive || b.exclusive)
        && a.start < b.end
        && b.start < a.end
}

/// Cuts a range out of the locks that an owner has on an inode.
fn carve(
    locks: &mut Vec<(usize, Lock)>,
    inode: usize,
    owner: Owner,
    start: u64,
    end: u64,
) -> Result<(), Errno> {
    // At most one lock is cut in two.
    locks.try_reserve(1).map_err(|_| Errno::ENOLCK)?;
    let mut rest = None;
    locks.retain_mut(|(of, lock)| {
        if *of != inode || lock.owner != owner || lock.end <= start || end <= lock.start {
            return true;
        }
        let before = lock.start < start;
        if lock.end > end {
            let after = Lock {
                start: end,
                ..*lock
            };
            if !before {
                *lock = after;
                return true;
            }
            rest = Some((inode, after));
        }
        lock.end = start;
        before
    });
    locks.extend(rest);
    Ok(())
}
