//! What inodes without a place in any directory have in common: pipes, eventfds, epoll sets.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use super::inode::{Change, FileIo, FsStat, Inode, Kind, Node, Stat};
use super::text::Text;
use super::{memory, names};
use crate::arch::time::wall_ns;
use crate::linux::Errno;

/// The device number of what lies on no file system.
const DEVICE: u64 = 2;

/// The attributes of an inode that has a number, a time of birth and nothing else.
pub fn stat(kind: Kind, permissions: u32, ino: u64, made: u64) -> Stat {
    Stat {
        dev: DEVICE,
        ino,
        mode: kind.mode_bits() | permissions,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        size: 0,
        blocks: 0,
        atime: made,
        mtime: made,
        ctime: made,
    }
}

/// `name:[ino]`.
pub fn numbered(name: &str, ino: u64) -> Result<Vec<u8>, Errno> {
    Text::format(format_args!("{name}:[{ino}]"))
}

/// The inode of an object that is only ever used through descriptors.
pub struct Anonymous {
    label: &'static str,
    ino: u64,
    made: u64,
}

impl Anonymous {
    /// An inode that /proc calls by this label.
    pub fn node(label: &'static str) -> Result<Node, Errno> {
        let node: Node = memory::arc(Anonymous {
            label,
            ino: names::next_ino(),
            made: wall_ns(),
        })?;
        Ok(node)
    }
}

impl Inode for Anonymous {
    fn kind(&self) -> Kind {
        Kind::Regular
    }

    fn stat(&self) -> Stat {
        stat(Kind::Regular, 0o600, self.ino, self.made)
    }

    fn fs_stat(&self) -> FsStat {
        FsStat::without_blocks(0x0904_1934)
    }

    fn change(&self, _change: Change) -> Result<(), Errno> {
        Ok(())
    }

    fn open(self: Arc<Self>, _flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
        Err(Errno::ENXIO)
    }

    fn label(&self) -> Option<Vec<u8>> {
        memory::vec(self.label.as_bytes()).ok()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
