//! [`Ext2Node`]: an inode in memory.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use scalvm::Access;

use super::contents::Contents;
use super::inode::Inode as Record;
use super::metadata::Metadata;
use super::volume::Volume;
use super::{BLOCK, verbs};
use crate::arch::time::wall_ns;
use crate::fs::inode::{Change, DirEntry, FileIo, FsStat, Inode, Kind, New, Node, Stat, Target};
use crate::fs::pipe::{self, Pipe};
use crate::fs::{dev, memory, names};
use crate::linux::Errno;
use crate::mm::Object;
use crate::sync::Mutex;
use linux_raw_sys::general::{O_ACCMODE, O_RDONLY};

/// An inode in memory.
///
/// Locks: those of `inode` and `place` are taken alone and for moments. `inode` is what the disk's
/// cache has, or is about to have: it is changed with the volume's metadata locked, and stored then.
pub(super) struct Ext2Node {
    pub volume: Arc<Volume>,
    pub ino: u32,
    kind: Kind,
    pub inode: Mutex<Record>,
    /// Where it was found, or has lost its last name.
    pub place: Mutex<Option<Place>>,
    /// Regular files: the bytes.
    pub contents: Option<Contents>,
    pipe: Mutex<Weak<Pipe>>,
    this: Weak<Ext2Node>,
}

/// A name in a directory.
pub(super) struct Place {
    pub dir: Arc<Ext2Node>,
    pub name: Vec<u8>,
}

impl Ext2Node {
    /// One of this number, as the disk has it. EIO if it is of no known kind.
    pub fn new(volume: &Arc<Volume>, ino: u32, inode: Record) -> Result<Arc<Ext2Node>, Errno> {
        let kind = inode.kind().ok_or(Errno::EIO)?;
        let contents = match kind {
            Kind::Regular => Some(Contents::new(inode.size())?),
            _ => None,
        };
        memory::prove(
            size_of::<Ext2Node>() + 2 * size_of::<usize>(),
            align_of::<Ext2Node>(),
        )?;
        let node = Arc::new_cyclic(|this| Ext2Node {
            volume: volume.clone(),
            ino,
            kind,
            inode: Mutex::new(inode),
            place: Mutex::new(None),
            contents,
            pipe: Mutex::new(Weak::new()),
            this: this.clone(),
        });
        if let Some(contents) = &node.contents {
            let node: Node = node.clone();
            names::register(contents.cookie, &node)?;
        }
        Ok(node)
    }

    /// How many names it has.
    pub fn links(&self) -> u16 {
        self.inode.lock().raw.links
    }

    /// Whether nobody uses it but those who have it so many times: no name in memory below it, no open
    /// file, no mapping.
    pub fn is_unused(&self, times: usize) -> bool {
        self.this.strong_count() == times && self.contents.as_ref().is_none_or(Contents::is_unused)
    }

    /// Itself, to be kept.
    pub fn arc(&self) -> Result<Arc<Ext2Node>, Errno> {
        self.this.upgrade().ok_or(Errno::ENOENT)
    }

    /// Puts what is dirty of a file to the disk. Blocks.
    pub fn sync_contents(&self) -> Result<(), Errno> {
        self.contents.as_ref().map_or(Ok(()), Contents::sync)
    }

    /// The directory's inode; ENOTDIR if it is none.
    pub fn directory(&self) -> Result<Record, Errno> {
        match self.kind {
            Kind::Directory => Ok(*self.inode.lock()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// Changes the inode, and stores it. Blocks; the volume's metadata must not be locked.
    pub fn update(&self, change: impl FnOnce(&mut Record)) -> Result<(), Errno> {
        self.update_with(&self.volume.metadata.lock(), change)
    }

    /// The same with the metadata, which is locked. Blocks.
    pub fn update_with(
        &self,
        metadata: &Metadata,
        change: impl FnOnce(&mut Record),
    ) -> Result<(), Errno> {
        let mut inode = *self.inode.lock();
        change(&mut inode);
        self.store(metadata, inode)
    }

    /// Replaces the inode. On an error it is what it was.
    pub fn store(&self, metadata: &Metadata, inode: Record) -> Result<(), Errno> {
        metadata.store(self.ino, &inode)?;
        *self.inode.lock() = inode;
        Ok(())
    }

    /// Where a symbolic link leads. Blocks.
    fn target(&self) -> Result<Vec<u8>, Errno> {
        if self.kind != Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        let inode = *self.inode.lock();
        let len = inode.size() as usize;
        if inode.is_short_link() {
            return memory::vec(&bytemuck::bytes_of(&inode.raw.pointers)[..len]);
        }
        if inode.size() > BLOCK as u64 {
            return Err(Errno::EIO);
        }
        let metadata = self.volume.metadata.lock();
        let number = metadata.find(&inode.raw.pointers, 0)?;
        let block = metadata.block(number, Access::Read)?;
        block.with(|bytes| memory::vec(&bytes[..len]))
    }

    /// An inode as one of this file system; EXDEV if it is of another.
    fn of_this_volume(&self, node: &Node) -> Result<Arc<Ext2Node>, Errno> {
        match node.clone().into_any().downcast::<Ext2Node>() {
            Ok(node) if Arc::ptr_eq(&node.volume, &self.volume) => Ok(node),
            _ => Err(Errno::EXDEV),
        }
    }
}

impl Inode for Ext2Node {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn stat(&self) -> Stat {
        let inode = self.inode.lock();
        let size = match &self.contents {
            Some(contents) => contents.object.size(),
            None => inode.size(),
        };
        let rdev = match self.kind {
            Kind::CharDevice | Kind::BlockDevice => inode.device(),
            _ => 0,
        };
        Stat {
            dev: self.volume.number,
            ino: self.ino.into(),
            mode: self.kind.mode_bits() | inode.permissions(),
            nlink: inode.raw.links.into(),
            uid: inode.uid(),
            gid: inode.gid(),
            rdev,
            size,
            blocks: inode.raw.sectors.into(),
            atime: inode.atime(),
            mtime: inode.mtime(),
            ctime: inode.ctime(),
        }
    }

    fn fs_stat(&self) -> FsStat {
        self.volume.stat()
    }

    fn change(&self, change: Change) -> Result<(), Errno> {
        self.volume.check_writable()?;
        self.update(|inode| {
            inode.set_permissions(change.mode.unwrap_or(inode.permissions()));
            inode.set_uid(change.uid.unwrap_or(inode.uid()));
            inode.set_gid(change.gid.unwrap_or(inode.gid()));
            inode.set_atime(change.atime.unwrap_or(inode.atime()));
            inode.set_mtime(change.mtime.unwrap_or(inode.mtime()));
            inode.set_ctime(wall_ns());
        })
    }

    fn open(self: Arc<Self>, flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
        match self.kind {
            Kind::Regular if flags & O_ACCMODE != O_RDONLY => {
                self.volume.check_writable()?;
                Ok(self)
            }
            Kind::Regular | Kind::Directory => Ok(self),
            Kind::Symlink => Err(Errno::ELOOP),
            Kind::CharDevice | Kind::BlockDevice => {
                let number = self.inode.lock().device();
                dev::open(self.kind, number, flags)
            }
            Kind::Fifo => pipe::open_named(&self.pipe, flags),
            Kind::Socket => Err(Errno::ENXIO),
        }
    }

    fn object(&self) -> Option<Object> {
        self.contents
            .as_ref()
            .map(|contents| contents.object.clone())
    }

    fn lookup(&self, name: &[u8]) -> Result<Node, Errno> {
        let dir = self.directory()?;
        let metadata = self.volume.metadata.lock();
        let spot = metadata.find_entry(&dir, name)?.ok_or(Errno::ENOENT)?;
        let node = self.volume.node(&metadata, spot.ino)?;
        node.found_at(self, name)?;
        Ok(node)
    }

    fn make(&self, name: &[u8], new: New<'_>, mode: u32) -> Result<Node, Errno> {
        Ok(verbs::make(self, name, new, mode)?)
    }

    fn link(&self, name: &[u8], node: &Node) -> Result<(), Errno> {
        verbs::link(self, name, &*self.of_this_volume(node)?)
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        verbs::remove(self, name, directory)
    }

    fn rename(&self, name: &[u8], to: &Node, to_name: &[u8], keep: bool) -> Result<(), Errno> {
        verbs::rename(self, name, &self.of_this_volume(to)?, to_name, keep)
    }

    fn entries(&self, after: u64, each: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        let dir = self.directory()?;
        let metadata = self.volume.metadata.lock();
        metadata.each_entry(&dir, after, each)
    }

    fn follow(&self) -> Result<Target, Errno> {
        self.target().map(Target::Path)
    }

    fn place(&self) -> Option<(Node, Vec<u8>)> {
        let place = self.place.lock();
        let place = place.as_ref()?;
        Some((place.dir.clone(), memory::vec(&place.name).ok()?))
    }

    fn parent(&self) -> Option<Node> {
        let place = self.place.lock();
        place.as_ref().map(|place| place.dir.clone() as Node)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Ext2Node {
    /// Notes where it was found, if that is not known yet.
    pub fn found_at(&self, dir: &Ext2Node, name: &[u8]) -> Result<(), Errno> {
        let place = Place {
            dir: dir.arc()?,
            name: memory::vec(name)?,
        };
        let mut known = self.place.lock();
        if known.is_none() {
            *known = Some(place);
        }
        Ok(())
    }
}

impl Drop for Ext2Node {
    fn drop(&mut self) {
        if let Some(contents) = &self.contents {
            names::forget(contents.cookie);
        }
    }
}
