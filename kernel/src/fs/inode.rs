//! [`Inode`]: what has a name in the tree. [`FileIo`]: what an open file reads and writes.
//!
//! There are no directory entries in memory beside those of the file systems themselves: an inode
//! knows where it was last linked ([`Inode::place`]), which is enough for `..`, getcwd and the
//! names in /proc. Trait methods are called without any lock, and may block only where they say so.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use linux_raw_sys::general::{POLLIN, POLLOUT};
use linux_raw_sys::general::{
    S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
};

use super::buffer::Buf;
use super::file::File;
use crate::linux::Errno;
use crate::mm::Object;

/// A counted reference to an inode.
pub type Node = Arc<dyn Inode>;

/// What kind of thing an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A file with bytes.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A pipe with or without a name.
    Fifo,
    /// A socket; only its name can be kept.
    Socket,
}

impl Kind {
    /// The kind that the type bits of `mode` name; no type bits mean a regular file, as in mknod(2).
    pub fn of_mode(mode: u32) -> Option<Kind> {
        Some(match mode & S_IFMT {
            0 | S_IFREG => Kind::Regular,
            S_IFDIR => Kind::Directory,
            S_IFLNK => Kind::Symlink,
            S_IFCHR => Kind::CharDevice,
            S_IFBLK => Kind::BlockDevice,
            S_IFIFO => Kind::Fifo,
            S_IFSOCK => Kind::Socket,
            _ => return None,
        })
    }

    /// The type bits of st_mode.
    pub fn mode_bits(self) -> u32 {
        match self {
            Kind::Regular => S_IFREG,
            Kind::Directory => S_IFDIR,
            Kind::Symlink => S_IFLNK,
            Kind::CharDevice => S_IFCHR,
            Kind::BlockDevice => S_IFBLK,
            Kind::Fifo => S_IFIFO,
            Kind::Socket => S_IFSOCK,
        }
    }

    /// The `d_type` of a directory entry: the type bits shifted down, by Linux's definition.
    pub fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }
}

/// What stat(2) tells. Times in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The device that holds the inode.
    pub dev: u64,
    /// The inode's number.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// Names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device that it stands for.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// 512-byte units in use.
    pub blocks: u64,
    /// Last read (kept only when set).
    pub atime: u64,
    /// Last change of the bytes.
    pub mtime: u64,
    /// Last change of the inode.
    pub ctime: u64,
}

/// What statfs(2) tells.
#[derive(Clone, Copy, Debug)]
pub struct FsStat {
    /// The magic number of the file system's type.
    pub magic: u64,
    /// Pages in all.
    pub blocks: u64,
    /// Pages free.
    pub free: u64,
}

impl FsStat {
    /// Of what takes no place anywhere.
    pub fn without_blocks(magic: u64) -> FsStat {
        FsStat {
            magic,
            blocks: 0,
            free: 0,
        }
    }
}

/// A change of attributes; what is `None` stays. Times in nanoseconds since 1970.
#[derive(Clone, Copy, Default, Debug)]
pub struct Change {
    /// Permission bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Time of last read.
    pub atime: Option<u64>,
    /// Time of last change.
    pub mtime: Option<u64>,
}

/// What [`Inode::make`] is to make.
#[derive(Clone, Copy, Debug)]
pub enum New<'a> {
    /// An empty regular file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link to this path.
    Symlink(&'a [u8]),
    /// A node of this kind that stands for a device.
    Device(Kind, u64),
    /// A named pipe.
    Fifo,
    /// The name of a socket.
    Socket,
}

/// Where a symbolic link leads.
pub enum Target {
    /// To a path, seen from the link's directory.
    Path(Vec<u8>),
    /// Straight to an inode: the links of /proc/PID.
    Node(Node),
}

/// How often something happened to a file that who waits for it may want to know.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Edges {
    /// Something came to be read, or the end.
    pub input: u64,
    /// Room came to be written to, or nobody reads any more.
    pub output: u64,
}

/// One entry that [`Inode::entries`] shows.
pub struct DirEntry<'a> {
    /// The inode's number.
    pub ino: u64,
    /// Where to go on after this entry; grows from entry to entry, above 2.
    pub cookie: u64,
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'a [u8],
}

/// Something that has a name in the tree.
pub trait Inode: Send + Sync + Any {
    /// What it is.
    fn kind(&self) -> Kind;

    /// Its attributes.
    fn stat(&self) -> Stat;

    /// The file system it lies on. Blocks.
    fn fs_stat(&self) -> FsStat;

    /// Changes attributes. Blocks, and so does all below that has to do with names.
    fn change(&self, _change: Change) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// What opening it gives. May block (named pipes).
    fn open(self: Arc<Self>, flags: u32) -> Result<Arc<dyn FileIo>, Errno>;

    /// The bytes as an object, for exec: regular files only.
    fn object(&self) -> Option<Object> {
        None
    }

    /// Directories: the inode of this name.
    fn lookup(&self, _name: &[u8]) -> Result<Node, Errno> {
        Err(Errno::ENOTDIR)
    }

    /// Directories: makes an inode of this name, with these permission bits.
    fn make(&self, _name: &[u8], _new: New<'_>, _mode: u32) -> Result<Node, Errno> {
        Err(Errno::EPERM)
    }

    /// Directories: one more name for an inode.
    fn link(&self, _name: &[u8], _node: &Node) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Directories: takes a name away, of a directory if `directory`, else of something else.
    fn unlink(&self, _name: &[u8], _directory: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Directories: gives what has `name` here the name `to_name` in `to`, in the place of what has
    /// it now, unless `keep`.
    fn rename(&self, _name: &[u8], _to: &Node, _to_name: &[u8], _keep: bool) -> Result<(), Errno> {
        Err(Errno::EPERM)
    }

    /// Directories: shows the entries (without `.` and `..`) whose cookie is above `after`, until
    /// `each` returns false. No lock may be taken in `each` that a directory needs.
    fn entries(
        &self,
        _after: u64,
        _each: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        Err(Errno::ENOTDIR)
    }

    /// Symbolic links: where it leads.
    fn follow(&self) -> Result<Target, Errno> {
        Err(Errno::EINVAL)
    }

    /// Symbolic links: what readlink(2) shows.
    fn readlink(&self) -> Result<Vec<u8>, Errno> {
        match self.follow()? {
            Target::Path(path) => Ok(path),
            Target::Node(node) => super::names::path_of(&node),
        }
    }

    /// The directory that holds it, and its name there. None for the root of a file system, and
    /// for what has no name.
    fn place(&self) -> Option<(Node, Vec<u8>)> {
        None
    }

    /// Directories: the directory above, none for the root of a file system.
    fn parent(&self) -> Option<Node> {
        self.place().map(|(parent, _)| parent)
    }

    /// What stands in the place of a path for an inode that has none: `pipe:[7]`.
    fn label(&self) -> Option<Vec<u8>> {
        None
    }

    /// For file systems to know their own.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What an open file reads and writes.
pub trait FileIo: Send + Sync {
    /// Reads at a byte offset (meaningless for streams). Zero bytes are the end. Blocks.
    fn read(&self, _file: &File, _at: u64, _buf: &mut Buf<'_>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// Writes at a byte offset (meaningless for streams). Blocks.
    fn write(&self, _file: &File, _at: u64, _buf: &mut Buf<'_>) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    /// The bytes, for what can be sought in; streams have none.
    fn size(&self) -> Option<u64> {
        None
    }

    /// What poll(2) would report now.
    fn ready(&self, _file: &File) -> u32 {
        POLLIN | POLLOUT
    }

    /// How often it has become ready, or more so; none if it does not count that. Who waits for
    /// edges is told of it at each look then.
    fn edges(&self, _file: &File) -> Option<Edges> {
        None
    }

    /// ioctl(2).
    fn ioctl(&self, _file: &File, _request: u32, _arg: usize) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    /// What mmap(2) maps; `node` is what the file was opened by.
    fn object(&self, _node: &Node) -> Result<Object, Errno> {
        Err(Errno::ENODEV)
    }

    /// A mapping is about to begin through which the bytes may be written. Blocks.
    fn mapped_to_write(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Sets the size. Blocks.
    fn truncate(&self, _size: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Makes sure that the range has memory of its own, growing the file unless `keep_size`.
    /// Blocks.
    fn allocate(&self, _at: u64, _len: u64, _keep_size: bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives up the bytes of a range, which read as zeros then; the size stays. Blocks.
    fn punch(&self, _at: u64, _len: u64) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether a seal keeps new shared mappings from writing.
    fn is_write_sealed(&self) -> bool {
        false
    }

    /// Puts what is dirty to the disk. Blocks.
    fn sync(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// An open file begins to use this.
    fn opened(&self, _file: &File) {}

    /// An open file is gone. Must not block.
    fn closed(&self, _file: &File) {}

    /// For calls that need one kind of file.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
