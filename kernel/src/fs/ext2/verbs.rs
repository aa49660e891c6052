//! What changes names: make, link, remove, rename.
//!
//! Each is one step for everybody else, since the volume's metadata is locked. What can be refused is
//! refused before the first change; an error of the disk in the middle may leave what e2fsck(8) mends.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::BLOCK;
use super::contents::BLOCKS_OF_A_PAGE;
use super::directory::Spot;
use super::inode::{Inode as Record, POINTERS};
use super::metadata::Metadata;
use super::node::{Ext2Node, Place};
use super::reap;
use crate::arch::time::wall_ns;
use crate::fs::inode::{Kind, New};
use crate::fs::memory;
use crate::linux::Errno;

/// The most names of an inode, as on Linux.
const MOST_LINKS: u16 = 32_000;

/// Notes that the entries of a directory changed now.
fn touch(dir: &mut Record) {
    let now = wall_ns();
    dir.set_mtime(now);
    dir.set_ctime(now);
}

/// One more name. EMLINK if there are as many as can be.
fn add_link(inode: &mut Record) -> Result<(), Errno> {
    if inode.raw.links >= MOST_LINKS {
        return Err(Errno::EMLINK);
    }
    inode.raw.links += 1;
    Ok(())
}

/// A directory that is to get a new name: ENOENT if it has been removed, EEXIST if the name is taken.
fn parent_of_new(metadata: &Metadata, dir: &Ext2Node, name: &[u8]) -> Result<Record, Errno> {
    dir.volume.check_writable()?;
    let record = dir.directory()?;
    if record.raw.links == 0 {
        return Err(Errno::ENOENT);
    }
    match metadata.find_entry(&record, name)? {
        Some(_) => Err(Errno::EEXIST),
        None => Ok(record),
    }
}

/// Makes an inode and gives it a name.
pub(super) fn make(
    dir: &Ext2Node,
    name: &[u8],
    new: New<'_>,
    mode: u32,
) -> Result<Arc<Ext2Node>, Errno> {
    let kind = match new {
        New::Regular => Kind::Regular,
        New::Directory => Kind::Directory,
        New::Symlink(_) => Kind::Symlink,
        New::Device(kind, _) => kind,
        New::Fifo => Kind::Fifo,
        New::Socket => Kind::Socket,
    };
    let is_directory = kind == Kind::Directory;
    // One for the new directory or link, and those for a longer directory.
    let mut guard = dir.volume.lock_with_room(1 + BLOCKS_OF_A_PAGE);
    let metadata = &mut *guard;
    let mut parent = parent_of_new(metadata, dir, name)?;
    if is_directory {
        add_link(&mut parent)?;
    }
    let near = metadata.group_of_inode(dir.ino).0;
    let ino = metadata.allocate_inode(near, is_directory)?;
    let mut inode = Record::new(kind, mode, wall_ns());
    inode.raw.links = if is_directory { 2 } else { 1 };
    let result = fill(metadata, &mut inode, ino, dir.ino, new)
        .and_then(|()| metadata.store(ino, &inode))
        .and_then(|()| Ext2Node::new(&dir.volume, ino, inode))
        .and_then(|node| {
            node.found_at(dir, name)?;
            dir.volume.keep(&node)?;
            metadata.add_entry(&mut parent, name, ino, kind)?;
            Ok(node)
        });
    match result {
        Ok(node) => {
            touch(&mut parent);
            dir.store(metadata, parent)?;
            Ok(node)
        }
        Err(error) => {
            dir.volume.forget(ino);
            if inode.has_blocks() {
                metadata.truncate(&mut inode, 0)?;
            }
            inode.end(wall_ns());
            metadata.store(ino, &inode)?;
            metadata.free_inode(ino, is_directory)?;
            Err(error)
        }
    }
}

/// Gives a new inode what it has from the start.
fn fill(
    metadata: &mut Metadata,
    inode: &mut Record,
    ino: u32,
    above: u32,
    new: New<'_>,
) -> Result<(), Errno> {
    let goal = metadata.first_block_near(ino);
    match new {
        New::Directory => metadata.begin_directory(inode, ino, above, goal),
        New::Device(_, number) => {
            inode.set_device(number);
            Ok(())
        }
        New::Symlink(target) => {
            inode.set_size(target.len() as u64);
            if inode.is_short_link() {
                let mut pointers = [0u32; POINTERS];
                bytemuck::bytes_of_mut(&mut pointers)[..target.len()].copy_from_slice(target);
                inode.raw.pointers = pointers;
                return Ok(());
            }
            if target.len() >= BLOCK {
                return Err(Errno::ENAMETOOLONG);
            }
            let (number, _) = metadata.assign(inode, 0, goal)?;
            metadata.own(number)?.with_mut(|bytes| {
                bytes.fill(0);
                bytes[..target.len()].copy_from_slice(target);
            });
            Ok(())
        }
        New::Regular | New::Fifo | New::Socket => Ok(()),
    }
}

/// Gives an inode one more name.
pub(super) fn link(dir: &Ext2Node, name: &[u8], node: &Ext2Node) -> Result<(), Errno> {
    let mut metadata = dir.volume.metadata.lock();
    let mut parent = parent_of_new(&metadata, dir, name)?;
    let mut inode = *node.inode.lock();
    if inode.raw.links == 0 {
        return Err(Errno::ENOENT);
    }
    let kind = inode.kind().ok_or(Errno::EIO)?;
    add_link(&mut inode)?;
    inode.set_ctime(wall_ns());
    metadata.add_entry(&mut parent, name, node.ino, kind)?;
    node.store(&metadata, inode)?;
    touch(&mut parent);
    dir.store(&metadata, parent)
}

/// What has a name, and where that stands; ENOENT if nothing has.
fn find(metadata: &Metadata, dir: &Ext2Node, name: &[u8]) -> Result<(Spot, Arc<Ext2Node>), Errno> {
    let spot = metadata.find_entry(&dir.directory()?, name)?;
    let spot = spot.ok_or(Errno::ENOENT)?;
    Ok((spot, dir.volume.node(metadata, spot.ino)?))
}

/// Names of a file that memory is put back to stay: EPERM, as on Linux.
fn check_stays(node: &Ext2Node) -> Result<(), Errno> {
    match &node.contents {
        Some(contents) if contents.is_swap() => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

/// Whether the last name of an inode can be taken for that of a directory, or of something else.
fn check_goes(metadata: &Metadata, node: &Ext2Node, directory: bool) -> Result<(), Errno> {
    check_stays(node)?;
    match node.directory() {
        Ok(_) if !directory => Err(Errno::EISDIR),
        Ok(entries) if !metadata.is_empty(&entries)? => Err(Errno::ENOTEMPTY),
        Err(_) if directory => Err(Errno::ENOTDIR),
        _ => Ok(()),
    }
}

/// Takes a name away: of an empty directory if `directory`, else of something else.
pub(super) fn remove(dir: &Ext2Node, name: &[u8], directory: bool) -> Result<(), Errno> {
    dir.volume.check_writable()?;
    let mut metadata = dir.volume.metadata.lock();
    let (spot, node) = find(&metadata, dir, name)?;
    check_goes(&metadata, &node, directory)?;
    let mut parent = dir.directory()?;
    metadata.remove_entry(&mut parent, spot)?;
    parent.raw.links = parent.raw.links.saturating_sub(directory.into());
    touch(&mut parent);
    dir.store(&metadata, parent)?;
    lose_name(&metadata, &node, dir, name)?;
    drop(metadata);
    reap::end_if_unused(node)
}

/// Counts a name less; a directory has none left. The place of the last name is kept, for what /proc
/// shows; which other name would be the place is not known.
fn lose_name(
    metadata: &Metadata,
    node: &Ext2Node,
    dir: &Ext2Node,
    name: &[u8],
) -> Result<(), Errno> {
    let is_directory = node.directory().is_ok();
    node.update_with(metadata, |inode| {
        inode.raw.links = match is_directory {
            true => 0,
            false => inode.raw.links.saturating_sub(1),
        };
        inode.set_ctime(wall_ns());
    })?;
    if node.links() > 0 {
        leave_place(node, dir, name);
    }
    Ok(())
}

/// The node is not called by this name any more.
fn leave_place(node: &Ext2Node, dir: &Ext2Node, name: &[u8]) {
    let mut place = node.place.lock();
    let is_there = place
        .as_ref()
        .is_some_and(|place| core::ptr::eq(&*place.dir, dir) && place.name == name);
    if is_there {
        *place = None;
    }
}

/// Moves a name, in the place of what has the new one unless `keep`.
pub(super) fn rename(
    dir: &Ext2Node,
    name: &[u8],
    to: &Arc<Ext2Node>,
    to_name: &[u8],
    keep: bool,
) -> Result<(), Errno> {
    dir.volume.check_writable()?;
    let mut guard = dir.volume.metadata.lock();
    let metadata = &mut *guard;
    let (_, node) = find(metadata, dir, name)?;
    check_stays(&node)?;
    let is_directory = node.directory().is_ok();
    let moves_up = is_directory && !core::ptr::eq(dir, &**to);
    if is_directory && is_within(to, &node) {
        return Err(Errno::EINVAL);
    }
    let old = match find(metadata, to, to_name) {
        Ok(_) if keep => return Err(Errno::EEXIST),
        Ok((_, old)) if Arc::ptr_eq(&old, &node) => return Ok(()),
        Ok(found) => Some(found),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(error),
    };
    let kind = node.inode.lock().kind().ok_or(Errno::EIO)?;
    let place: Vec<u8> = memory::vec(to_name)?;
    let mut target = to.directory()?;
    if target.raw.links == 0 {
        return Err(Errno::ENOENT);
    }
    if let Some((spot, old)) = &old {
        check_goes(metadata, old, is_directory)?;
        metadata.replace_entry(*spot, node.ino, kind)?;
        target.raw.links = target.raw.links.saturating_sub(is_directory.into());
    } else {
        if moves_up {
            add_link(&mut target.clone())?;
        }
        metadata.add_entry(&mut target, to_name, node.ino, kind)?;
    }
    if moves_up {
        add_link(&mut target)?;
    }
    touch(&mut target);
    to.store(metadata, target)?;
    // Where the old name stands may have become shorter, and may be in the same directory.
    let (spot, _) = find(metadata, dir, name)?;
    let mut source = dir.directory()?;
    metadata.remove_entry(&mut source, spot)?;
    source.raw.links = source.raw.links.saturating_sub(moves_up.into());
    touch(&mut source);
    dir.store(metadata, source)?;
    if moves_up && let Some(above) = metadata.find_entry(&node.directory()?, b"..")? {
        metadata.replace_entry(above, to.ino, Kind::Directory)?;
    }
    node.update_with(metadata, |inode| inode.set_ctime(wall_ns()))?;
    *node.place.lock() = Some(Place {
        dir: to.clone(),
        name: place,
    });
    let Some((_, old)) = old else {
        return Ok(());
    };
    lose_name(metadata, &old, to, to_name)?;
    drop(guard);
    reap::end_if_unused(old)
}

/// Whether `dir` is `top` or lies below it.
fn is_within(dir: &Arc<Ext2Node>, top: &Arc<Ext2Node>) -> bool {
    let mut here = Some(dir.clone());
    while let Some(node) = here {
        if Arc::ptr_eq(&node, top) {
            return true;
        }
        here = node.place.lock().as_ref().map(|place| place.dir.clone());
    }
    false
}
