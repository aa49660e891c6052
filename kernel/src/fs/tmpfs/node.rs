//! [`TmpNode`]: an inode of the file system in memory.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use super::directory::Directory;
use super::seals::Seals;
use super::{budget, fs_stat, verbs};
use crate::arch::time::wall_ns;
use crate::fs::inode::{Change, DirEntry, FileIo, FsStat, Inode, Kind, New, Node, Stat, Target};
use crate::fs::pipe::Pipe;
use crate::fs::{dev, memory, names, pipe};
use crate::linux::Errno;
use crate::mm::{Object, VM};
use crate::sync::Mutex;

/// An inode of the file system in memory.
///
/// Locks: each field's is taken alone and for moments.
pub struct TmpNode {
    /// The device number of the file system.
    pub(super) device: u64,
    pub(super) ino: u64,
    pub(super) attributes: Mutex<Attributes>,
    pub(super) place: Mutex<Option<Place>>,
    pub(super) body: Body,
    pub(super) seals: Seals,
    pub(super) this: Weak<TmpNode>,
    _counted: Counted,
}

/// Stands for one inode that was counted.
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        budget::remove_node();
    }
}

/// What chmod and its kin change. Times in nanoseconds since 1970.
pub(super) struct Attributes {
    pub(super) permissions: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) atime: u64,
    pub(super) mtime: u64,
    pub(super) ctime: u64,
}

/// Where an inode has, or had, its name.
pub(super) enum Place {
    /// In this directory.
    In(Weak<TmpNode>, super::Name),
    /// Nowhere, but it is called so.
    Label(super::Name),
    /// Nowhere any more: it is about to go, and this one after it.
    Doomed(Option<Arc<TmpNode>>),
}

/// What an inode is.
pub(super) enum Body {
    Regular(Object),
    Directory(Mutex<Directory<super::Name, Arc<TmpNode>>>),
    Symlink(super::Name),
    Device(Kind, u64),
    Fifo(Mutex<Weak<Pipe>>),
    Socket,
}

impl TmpNode {
    /// An inode that no directory holds yet.
    pub(super) fn new(device: u64, new: New<'_>, mode: u32) -> Result<Arc<TmpNode>, Errno> {
        budget::add_node()?;
        let counted = Counted;
        let ino = names::next_ino();
        let (body, links) = match new {
            New::Regular => {
                let object = VM.new_anonymous(0).map_err(|_| Errno::ENOSPC)?;
                object.set_cookie(ino as usize);
                (Body::Regular(object), 0)
            }
            New::Directory => (Body::Directory(Mutex::new(Directory::new())), 2),
            New::Symlink(target) => (Body::Symlink(super::name(target)?), 0),
            New::Device(kind, number) => (Body::Device(kind, number), 0),
            New::Fifo => (Body::Fifo(Mutex::new(Weak::new())), 0),
            New::Socket => (Body::Socket, 0),
        };
        let now = wall_ns();
        let attributes = Attributes {
            permissions: mode & 0o7777,
            uid: 0,
            gid: 0,
            links,
            atime: now,
            mtime: now,
            ctime: now,
        };
        memory::prove(
            size_of::<TmpNode>() + 2 * size_of::<usize>(),
            align_of::<TmpNode>(),
        )?;
        let node = Arc::new_cyclic(|this| TmpNode {
            device,
            ino,
            attributes: Mutex::new(attributes),
            place: Mutex::new(None),
            body,
            seals: Seals::none(),
            this: this.clone(),
            _counted: counted,
        });
        if matches!(node.body, Body::Regular(_)) {
            let node: Node = node.clone();
            names::register(ino as usize, &node)?;
        }
        Ok(node)
    }

    /// What /proc calls it, as it has no name in a directory.
    pub(super) fn set_label(&self, name: &[u8]) -> Result<(), Errno> {
        *self.place.lock() = Some(Place::Label(super::name(name)?));
        Ok(())
    }

    /// The entries; ENOTDIR if it is no directory.
    pub(super) fn directory(&self) -> Result<&Mutex<Directory<super::Name, Arc<TmpNode>>>, Errno> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Notes that the bytes, or the entries, changed now.
    pub(super) fn touch(&self) {
        let now = wall_ns();
        let mut attributes = self.attributes.lock();
        attributes.mtime = now;
        attributes.ctime = now;
    }
}

impl Inode for TmpNode {
    fn kind(&self) -> Kind {
        match &self.body {
            Body::Regular(_) => Kind::Regular,
            Body::Directory(_) => Kind::Directory,
            Body::Symlink(_) => Kind::Symlink,
            Body::Device(kind, _) => *kind,
            Body::Fifo(_) => Kind::Fifo,
            Body::Socket => Kind::Socket,
        }
    }

    fn stat(&self) -> Stat {
        let (size, pages, rdev) = match &self.body {
            Body::Regular(object) => (object.size(), object.resident(), 0),
            Body::Symlink(target) => (target.len() as u64, 0, 0),
            Body::Device(_, number) => (0, 0, *number),
            _ => (0, 0, 0),
        };
        let attributes = self.attributes.lock();
        Stat {
            dev: self.device,
            ino: self.ino,
            mode: self.kind().mode_bits() | attributes.permissions,
            nlink: attributes.links,
            uid: attributes.uid,
            gid: attributes.gid,
            rdev,
            size,
            blocks: pages * 8,
            atime: attributes.atime,
            mtime: attributes.mtime,
            ctime: attributes.ctime,
        }
    }

    fn fs_stat(&self) -> FsStat {
        fs_stat()
    }

    fn change(&self, change: Change) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        if let Some(mode) = change.mode {
            self.seals.change_mode(attributes.permissions, mode)?;
            attributes.permissions = mode & 0o7777;
        }
        attributes.uid = change.uid.unwrap_or(attributes.uid);
        attributes.gid = change.gid.unwrap_or(attributes.gid);
        attributes.atime = change.atime.unwrap_or(attributes.atime);
        attributes.mtime = change.mtime.unwrap_or(attributes.mtime);
        attributes.ctime = wall_ns();
        Ok(())
    }

    fn open(self: Arc<Self>, flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
        match &self.body {
            Body::Regular(_) | Body::Directory(_) => Ok(self),
            Body::Symlink(_) => Err(Errno::ELOOP),
            Body::Device(kind, number) => dev::open(*kind, *number, flags),
            Body::Fifo(pipe) => pipe::open_named(pipe, flags),
            Body::Socket => Err(Errno::ENXIO),
        }
    }

    fn object(&self) -> Option<Object> {
        match &self.body {
            Body::Regular(object) => Some(object.clone()),
            _ => None,
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Node, Errno> {
        let directory = self.directory()?.lock();
        let node = directory.get(name).ok_or(Errno::ENOENT)?;
        Ok(node.clone())
    }

    fn make(&self, name: &[u8], new: New<'_>, mode: u32) -> Result<Node, Errno> {
        let node = TmpNode::new(self.device, new, mode)?;
        verbs::add(self, name, &node)?;
        Ok(node)
    }

    fn link(&self, name: &[u8], node: &Node) -> Result<(), Errno> {
        verbs::add(self, name, &self.of_this_fs(node)?)
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        verbs::remove(self, name, directory)
    }

    fn rename(&self, name: &[u8], to: &Node, to_name: &[u8], keep: bool) -> Result<(), Errno> {
        verbs::rename(self, name, &*self.of_this_fs(to)?, to_name, keep)
    }

    fn entries(&self, after: u64, each: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        for (cookie, entry) in self.directory()?.lock().after(after) {
            let (ino, kind) = (entry.node.ino, entry.node.kind());
            if !each(DirEntry {
                ino,
                cookie,
                kind,
                name: &entry.name,
            }) {
                break;
            }
        }
        Ok(())
    }

    fn follow(&self) -> Result<Target, Errno> {
        match &self.body {
            Body::Symlink(target) => Ok(Target::Path(memory::vec(target)?)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn place(&self) -> Option<(Node, Vec<u8>)> {
        match &*self.place.lock() {
            Some(Place::In(parent, name)) => Some((parent.upgrade()?, memory::vec(name).ok()?)),
            _ => None,
        }
    }

    fn parent(&self) -> Option<Node> {
        match &*self.place.lock() {
            Some(Place::In(parent, _)) => Some(parent.upgrade()?),
            _ => None,
        }
    }

    fn label(&self) -> Option<Vec<u8>> {
        match &*self.place.lock() {
            Some(Place::Label(name)) => memory::vec(name).ok(),
            _ => None,
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn core::any::Any + Send + Sync> {
        self
    }
}

impl TmpNode {
    /// The inode as one of this file system; EXDEV if it is of another.
    fn of_this_fs(&self, node: &Node) -> Result<Arc<TmpNode>, Errno> {
        match node.clone().into_any().downcast::<TmpNode>() {
            Ok(node) if node.device == self.device => Ok(node),
            _ => Err(Errno::EXDEV),
        }
    }
}

impl Drop for TmpNode {
    fn drop(&mut self) {
        match &self.body {
            Body::Regular(_) => names::forget(self.ino as usize),
            Body::Directory(_) => self.drop_entries(),
            _ => {}
        }
    }
}

impl TmpNode {
    /// Lets everything below a directory go, level by level: a tree may be deeper than the kernel's
    /// stack. What is to go next hangs on the place of the one before it, so that no memory is needed.
    fn drop_entries(&self) {
        let mut doomed = None;
        self.doom_entries(&mut doomed);
        while let Some(node) = doomed.take() {
            let place = node.place.lock().take();
            if let Some(Place::Doomed(next)) = place {
                doomed = next;
            }
            node.doom_entries(&mut doomed);
        }
    }

    /// Moves the entries that nobody else uses to the front of what is to go.
    fn doom_entries(&self, doomed: &mut Option<Arc<TmpNode>>) {
        let Body::Directory(directory) = &self.body else {
            return;
        };
        // Others have the directory, if this is not its end.
        if self.this.strong_count() > 1 {
            return;
        }
        while let Some(entry) = directory.lock().pop() {
            let node = entry.node;
            if Arc::strong_count(&node) == 1 {
                *node.place.lock() = Some(Place::Doomed(doomed.take()));
                *doomed = Some(node);
            }
        }
    }
}
