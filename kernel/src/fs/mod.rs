//! Files: the tree of names, what lies behind them, and what processes have open.
//!
//! - [`inode`] the traits, [`file`] the open file, [`table`] descriptors, [`context`] where a
//!   process stands;
//! - [`walk`] from a path to an inode, [`names`] back again, [`mount`] what is mounted where;
//! - file systems: [`tmpfs`] (filled by [`unpack`] from a [`cpio`] archive), [`dev`] and [`block`]
//!   the devices, [`procfs`], [`ext2`] on disks; [`swap`] areas on disks;
//! - without names: [`pipe`] over a [`ring`] of [`segment`]s, with [`splice`]; [`socket`],
//!   [`eventfd`], [`timerfd`], [`signalfd`], [`pidfd`], [`epoll`] with [`wait`], [`userfault`],
//!   [`label`];
//! - [`paged`] reads and writes what is kept in the manager's objects, through a [`buffer`];
//!   [`locks`] advisory locks, [`memory`] allocation that can fail.
//!
//! No lock is held while anything blocks: a copy to or from user memory, I/O, a wait.

pub mod block;
pub mod buffer;
pub mod context;
mod cpio;
pub mod dev;
pub mod epoll;
pub mod eventfd;
mod exec;
pub mod ext2;
pub mod file;
pub mod inode;
mod label;
pub mod locks;
pub mod memory;
pub mod mount;
pub mod names;
mod paged;
pub mod pidfd;
pub mod pipe;
pub mod procfs;
mod ring;
mod segment;
pub mod signalfd;
pub mod socket;
pub mod splice;
pub mod swap;
pub mod table;
pub mod text;
pub mod timerfd;
pub mod tmpfs;
mod unpack;
pub mod userfault;
pub mod wait;
pub mod walk;

use linux_raw_sys::general::{O_NOCTTY, O_RDWR};

pub use context::FsContext;
pub use exec::{Executable, open_exec};
pub use file::{File, FileHandle};
pub use table::FileTable;

use crate::linux::Errno;
use crate::tty;
use inode::New;
use walk::Last;

/// Makes the tree: the root from the archive, or the file system on a disk (`/dev/vda`) if one is
/// named; /dev and /proc on it, and on a disk also /tmp. Disks must be known by now. Blocks.
pub fn init(initramfs: &[u8], disk: &[u8]) -> Result<(), Errno> {
    let (root, tmp) = if disk.is_empty() {
        let root = tmpfs::new_root(0o755)?;
        unpack::unpack(&root, initramfs)?;
        mount::mount_root(root.clone(), "tmpfs", b"tmpfs")?;
        (root, "")
    } else {
        let index = dev::disk_named(disk.strip_prefix(b"/dev/").unwrap_or(disk))?;
        let root = ext2::mount(index, block::is_read_only(index)?)?;
        mount::mount_root(root.clone(), "ext2", disk)?;
        (root, "tmpfs")
    };
    dev::fill(&tmpfs::new_root(0o755)?)?;
    for (name, kind, mode) in [
        ("dev", "devtmpfs", 0o755),
        ("proc", "proc", 0o555),
        ("tmp", tmp, 0o1777),
    ] {
        let dir = match root.lookup(name.as_bytes()) {
            Err(Errno::ENOENT) => root.make(name.as_bytes(), New::Directory, mode)?,
            other => other?,
        };
        if !kind.is_empty() {
            mount::mount(dir, kind.as_bytes(), kind.as_bytes(), None)?;
        }
    }
    Ok(())
}

/// The number of the first process, and of its session and group.
const FIRST: crate::task::Pid = 1;

/// What the first process starts with: the root directory, and the console, which is its terminal,
/// as descriptors 0 to 2.
pub fn first_process() -> Result<(FsContext, FileTable), Errno> {
    let context = FsContext::new(mount::root().ok_or(Errno::ENOENT)?);
    let mut table = FileTable::new();
    let node = walk::lookup(&context, &context.root, b"/dev/console", Last::Follow)?;
    let io = node.clone().open(O_RDWR | O_NOCTTY)?;
    tty::give(FIRST);
    let console = File::new(node, io, O_RDWR)?;
    for _ in 0..3 {
        table.add(console.clone(), 0, false)?;
    }
    Ok((context, table))
}

/// Puts everything that is dirty to the disks. Blocks.
pub fn sync() -> Result<(), Errno> {
    block::sync_all()
}

/// The same before the power goes off: nothing is to be changed any more. Blocks.
pub fn shut_down() -> Result<(), Errno> {
    mount::shut_down().and(sync())
}
