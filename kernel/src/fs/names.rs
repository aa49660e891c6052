//! The other way round: from an inode to its path.
//!
//! Paths come from [`Inode::place`](super::inode::Inode::place), up to the root. Inodes whose
//! bytes are those of an object are found again by its cookie.
//!
//! Invariant: cookies of objects are taken from the numbers of inodes, which are never used twice.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::inode::{Inode, Node};
use super::tmpfs::TmpNode;
use super::{memory, mount, walk};
use crate::linux::Errno;
use crate::sync::Mutex;

/// Inodes whose bytes are those of an object, by its cookie.
static PAGED: Mutex<BTreeMap<usize, Weak<dyn Inode>>> = Mutex::new(BTreeMap::new());

/// The absolute path of an inode, or the label of one that has none. An inode whose last name was
/// removed keeps it with ` (deleted)` behind.
pub fn path_of(node: &Node) -> Result<Vec<u8>, Errno> {
    path_below(node, None)
}

/// The path as a process sees it whose root directory is `top`.
pub fn path_below(node: &Node, top: Option<&Node>) -> Result<Vec<u8>, Errno> {
    if let Some(label) = node.label() {
        return Ok(label);
    }
    // The path is put together from its end, each name turned around.
    let mut reversed = Vec::new();
    let mut here = node.clone();
    loop {
        if top.is_some_and(|top| walk::same(top, &here)) {
            break;
        }
        match here.place() {
            Some((parent, mut name)) => {
                name.reverse();
                memory::extend(&mut reversed, &name)?;
                memory::push(&mut reversed, b'/')?;
                here = parent;
            }
            None => match mount::covered_by(&here) {
                Some(covered) => here = covered,
                None => break,
            },
        }
    }
    if reversed.is_empty() {
        memory::push(&mut reversed, b'/')?;
    }
    reversed.reverse();
    if node.stat().nlink == 0 {
        memory::extend(&mut reversed, b" (deleted)")?;
    }
    Ok(reversed)
}

/// The path of what has this name in this directory.
pub fn join(dir: &Node, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut path = path_of(dir)?;
    if path.last() != Some(&b'/') {
        memory::push(&mut path, b'/')?;
    }
    memory::extend(&mut path, name)?;
    Ok(path)
}

/// Makes an inode findable by the cookie of its object.
pub fn register(cookie: usize, node: &Node) -> Result<(), Errno> {
    memory::prove_insert::<usize, Weak<dyn Inode>>()?;
    PAGED.lock().insert(cookie, Arc::downgrade(node));
    Ok(())
}

/// The inode of the object with this cookie.
pub fn find(cookie: usize) -> Option<Node> {
    PAGED.lock().get(&cookie)?.upgrade()
}

/// The object with this cookie has no inode any more.
pub fn forget(cookie: usize) {
    PAGED.lock().remove(&cookie);
}

/// A number that no inode and no cookie has had.
pub fn next_ino() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    NEXT.fetch_add(1, Relaxed)
}

/// Pages that files in memory take, in all.
pub fn shared_memory_pages() -> u64 {
    let mut pages = 0;
    for node in PAGED.lock().values().filter_map(Weak::upgrade) {
        let object = node.object();
        if node.into_any().is::<TmpNode>() {
            pages += object.map_or(0, |object| object.resident());
        }
    }
    pages
}

/// Device, inode number and path of the file whose object carries this cookie.
pub fn object_name(cookie: usize) -> Option<(u64, u64, String)> {
    let node = find(cookie)?;
    let stat = node.stat();
    let path = path_of(&node).ok()?;
    Some((stat.dev, stat.ino, memory::string(path)))
}
