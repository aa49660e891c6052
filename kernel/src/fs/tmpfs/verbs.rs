//! What changes the entries of directories in memory: add, remove, rename.
//!
//! Nothing blocks here, so each verb is one step for everybody else. Memory is proven before the
//! first change, so that a verb happens wholly or not at all.

use alloc::sync::Arc;

use super::directory::Entry;
use super::node::{Body, Place, TmpNode};
use crate::arch::time::wall_ns;
use crate::fs::memory;
use crate::linux::Errno;

/// Gives `node`, a new inode or one that has other names, the name `name` in `dir`.
pub(super) fn add(dir: &TmpNode, name: &[u8], node: &Arc<TmpNode>) -> Result<(), Errno> {
    if dir.directory()?.lock().get(name).is_some() {
        return Err(Errno::EEXIST);
    }
    let is_directory = matches!(node.body, Body::Directory(_));
    if is_directory && node.place.lock().is_some() {
        return Err(Errno::EPERM);
    }
    insert(dir, name, node)?;
    let mut attributes = node.attributes.lock();
    if !is_directory {
        attributes.links += 1;
    }
    attributes.ctime = wall_ns();
    Ok(())
}

/// Takes a name away from `dir`: of an empty directory if `directory`, else of something else.
pub(super) fn remove(dir: &TmpNode, name: &[u8], directory: bool) -> Result<(), Errno> {
    let node = dir
        .directory()?
        .lock()
        .get(name)
        .cloned()
        .ok_or(Errno::ENOENT)?;
    match &node.body {
        Body::Directory(_) if !directory => return Err(Errno::EISDIR),
        Body::Directory(entries) if !entries.lock().is_empty() => return Err(Errno::ENOTEMPTY),
        Body::Directory(_) => {}
        _ if directory => return Err(Errno::ENOTDIR),
        _ => {}
    }
    drop(take(dir, name));
    lose_name(&node, dir, name);
    Ok(())
}

/// Moves a name, in the place of what has the new one unless `keep`.
pub(super) fn rename(
    dir: &TmpNode,
    name: &[u8],
    to: &TmpNode,
    to_name: &[u8],
    keep: bool,
) -> Result<(), Errno> {
    let node = dir
        .directory()?
        .lock()
        .get(name)
        .cloned()
        .ok_or(Errno::ENOENT)?;
    let old = to.directory()?.lock().get(to_name).cloned();
    let is_directory = matches!(node.body, Body::Directory(_));
    if is_directory && is_within(to, &node) {
        return Err(Errno::EINVAL);
    }
    if let Some(old) = &old {
        if keep {
            return Err(Errno::EEXIST);
        }
        if Arc::ptr_eq(old, &node) {
            return Ok(());
        }
        match &old.body {
            Body::Directory(_) if !is_directory => return Err(Errno::EISDIR),
            Body::Directory(entries) if !entries.lock().is_empty() => return Err(Errno::ENOTEMPTY),
            Body::Directory(_) => {}
            _ if is_directory => return Err(Errno::ENOTDIR),
            _ => {}
        }
    }
    prove_insert(to)?;
    let new_name = super::name(to_name)?;
    let placed_name = super::name(to_name)?;
    drop(take(to, to_name));
    if let Some(old) = &old {
        lose_name(old, to, to_name);
    }
    drop(take(dir, name));
    if is_placed(&node, dir, name) {
        *node.place.lock() = None;
    }
    put(to, new_name, placed_name, &node)?;
    node.attributes.lock().ctime = wall_ns();
    Ok(())
}

/// Whether `dir` is `top` or lies below it.
fn is_within(dir: &TmpNode, top: &Arc<TmpNode>) -> bool {
    let mut here = dir.this.upgrade();
    while let Some(node) = here {
        if Arc::ptr_eq(&node, top) {
            return true;
        }
        here = match &*node.place.lock() {
            Some(Place::In(parent, _)) => parent.upgrade(),
            _ => None,
        };
    }
    false
}

fn insert(dir: &TmpNode, name: &[u8], node: &Arc<TmpNode>) -> Result<(), Errno> {
    prove_insert(dir)?;
    put(dir, super::name(name)?, super::name(name)?, node)
}

/// Fails unless `dir` can take one more entry: it may have been removed, and memory may be short.
fn prove_insert(dir: &TmpNode) -> Result<(), Errno> {
    if dir.attributes.lock().links == 0 {
        return Err(Errno::ENOENT);
    }
    memory::prove_insert::<u64, Entry<super::Name, Arc<TmpNode>>>()
}

/// Enters a node under a name that is free in `dir`, and notes the place if it has none.
fn put(
    dir: &TmpNode,
    name: super::Name,
    placed_name: super::Name,
    node: &Arc<TmpNode>,
) -> Result<(), Errno> {
    dir.directory()?
        .lock()
        .insert(name, node.clone())
        .map_err(|_| Errno::ENOSPC)?;
    let mut place = node.place.lock();
    if place.is_none() {
        *place = Some(Place::In(dir.this.clone(), placed_name));
    }
    drop(place);
    if matches!(node.body, Body::Directory(_)) {
        dir.attributes.lock().links += 1;
    }
    dir.touch();
    Ok(())
}

/// Takes an entry out of `dir`.
fn take(dir: &TmpNode, name: &[u8]) -> Option<Entry<super::Name, Arc<TmpNode>>> {
    let entry = dir.directory().ok()?.lock().remove(name)?;
    if matches!(entry.node.body, Body::Directory(_)) {
        dir.attributes.lock().links -= 1;
    }
    dir.touch();
    Some(entry)
}

/// Counts a name less; a directory has none left. The place of the last name is kept, for what
/// /proc shows; which other name would be the place is not known.
fn lose_name(node: &TmpNode, dir: &TmpNode, name: &[u8]) {
    let mut attributes = node.attributes.lock();
    attributes.links = match node.body {
        Body::Directory(_) => 0,
        _ => attributes.links.saturating_sub(1),
    };
    attributes.ctime = wall_ns();
    if attributes.links > 0 && is_placed(node, dir, name) {
        *node.place.lock() = None;
    }
}

/// Whether this name is the one that the node is called by.
fn is_placed(node: &TmpNode, dir: &TmpNode, name: &[u8]) -> bool {
    matches!(&*node.place.lock(), Some(Place::In(parent, placed))
        if core::ptr::addr_eq(parent.as_ptr(), dir) && **placed == *name)
}
