//! Device nodes: from a number to what is read and written; the tree under /dev.
//!
//! The nodes lie in a file system of the same kind as the root (what Linux calls devtmpfs); a node
//! made by mknod(2) elsewhere leads to the same devices.

use alloc::format;
use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::{O_ACCMODE, O_RDONLY, USERFAULTFD_IOC};

use super::block;
use super::buffer::Buf;
use super::file::File;
use super::inode::{FileIo, Kind, New, Node};
use super::memory;
use crate::linux::Errno;
use crate::linux::memory::userfaultfd;
use crate::mm::{Object, VM};
use crate::sync::Mutex;
use crate::{arch, tty};

/// The major number that Linux mostly gives virtio disks; each has 16 minor numbers.
pub const DISK_MAJOR: u64 = 254;
/// Linux's `_IO` of this type, with the number 0.
const USERFAULTFD_IOC_NEW: u32 = USERFAULTFD_IOC << 8;
/// Minor numbers of a disk.
const DISK_MINORS: u64 = 16;

static ROOT: Mutex<Option<Node>> = Mutex::new(None);

/// The number of a device, as stat(2) and mknod(2) have it.
pub const fn number(major: u64, minor: u64) -> u64 {
    minor & 0xff | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

/// The major number.
pub const fn major(number: u64) -> u64 {
    number >> 8 & 0xfff | number >> 32 & !0xfff
}

/// The minor number.
pub const fn minor(number: u64) -> u64 {
    number & 0xff | number >> 12 & 0xffff_ff00
}

/// Fills an empty file system, which becomes the one of /dev, with the nodes of what is there.
pub fn fill(root: &Node) -> Result<(), Errno> {
    let characters: [(&[u8], u64, u32); 10] = [
        (b"null", number(1, 3), 0o666),
        (b"zero", number(1, 5), 0o666),
        (b"full", number(1, 7), 0o666),
        (b"random", number(1, 8), 0o666),
        (b"urandom", number(1, 9), 0o666),
        (b"kmsg", number(1, 11), 0o644),
        (b"userfaultfd", number(10, 257), 0o600),
        (b"tty", number(5, 0), 0o666),
        (b"console", number(5, 1), 0o600),
        (b"ttyS0", number(4, 64), 0o660),
    ];
    for (name, number, mode) in characters {
        root.make(name, New::Device(Kind::CharDevice, number), mode)?;
    }
    let links: [(&[u8], &[u8]); 4] = [
        (b"fd", b"/proc/self/fd"),
        (b"stdin", b"/proc/self/fd/0"),
        (b"stdout", b"/proc/self/fd/1"),
        (b"stderr", b"/proc/self/fd/2"),
    ];
    for (name, target) in links {
        root.make(name, New::Symlink(target), 0o777)?;
    }
    for index in 0..block::count() {
        let new = New::Device(Kind::BlockDevice, disk_number(index));
        root.make(&disk_name(index), new, 0o660)?;
    }
    root.make(b"shm", New::Directory, 0o1777)?;
    *ROOT.lock() = Some(root.clone());
    Ok(())
}

/// The root of the file system that [`fill`] filled.
pub fn root() -> Result<Node, Errno> {
    ROOT.lock().clone().ok_or(Errno::ENODEV)
}

/// The device number of a disk.
pub fn disk_number(index: usize) -> u64 {
    number(DISK_MAJOR, index as u64 * DISK_MINORS)
}

/// `vda`, `vdb`, ... `vdz`, `vdaa`, ...
pub fn disk_name(index: usize) -> alloc::vec::Vec<u8> {
    let letter = char::from(b'a' + (index % 26) as u8);
    match index / 26 {
        0 => format!("vd{letter}").into_bytes(),
        n => format!("vd{}{letter}", char::from(b'a' + (n as u8 - 1) % 26)).into_bytes(),
    }
}

/// The disk of this name; ENODEV if there is none.
pub fn disk_named(name: &[u8]) -> Result<usize, Errno> {
    (0..block::count())
        .find(|index| disk_name(*index) == name)
        .ok_or(Errno::ENODEV)
}

/// What opening a device node gives.
pub fn open(kind: Kind, number: u64, flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
    let (major, minor) = (major(number), minor(number));
    if kind == Kind::BlockDevice {
        return block::open(disk_index(number)?, flags & O_ACCMODE != O_RDONLY);
    }
    let device = match (major, minor) {
        (1, 3) => Memory::Null,
        (1, 5) => Memory::Zero,
        (1, 7) => Memory::Full,
        (1, 8 | 9) => Memory::Random,
        (1, 11) => Memory::Log,
        (10, 257) => Memory::Faults,
        (5, 0) => return tty::open_controlling(),
        (5, 1) | (4, 64) => return tty::open(flags),
        _ => return Err(Errno::ENXIO),
    };
    Ok(memory::arc(device)?)
}

/// The number of the disk that this device is; ENXIO if it is no disk.
pub(super) fn disk_index(number: u64) -> Result<usize, Errno> {
    match (major(number), minor(number)) {
        (DISK_MAJOR, minor) if minor % DISK_MINORS == 0 => Ok((minor / DISK_MINORS) as usize),
        _ => Err(Errno::ENXIO),
    }
}

/// The devices that are only a rule.
enum Memory {
    Null,
    Zero,
    Full,
    Random,
    /// What is written goes to the serial line.
    Log,
    /// Makes descriptors as userfaultfd(2) does.
    Faults,
}

impl FileIo for Memory {
    fn read(&self, _file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        match self {
            Memory::Null | Memory::Log => Ok(0),
            Memory::Faults => Err(Errno::EINVAL),
            Memory::Zero | Memory::Full => buf.put_zeros(),
            Memory::Random => {
                let mut done = 0;
                let mut chunk = [0; 256];
                while !buf.is_empty() {
                    arch::random::fill(&mut chunk);
                    match buf.put(&chunk) {
                        Ok(count) => done += count,
                        Err(error) if done == 0 => return Err(error),
                        Err(_) => break,
                    }
                }
                Ok(done)
            }
        }
    }

    fn write(&self, _file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        match self {
            Memory::Full => Err(Errno::ENOSPC),
            Memory::Faults => Err(Errno::EINVAL),
            Memory::Log => {
                let mut line = [0; 256];
                let mut done = 0;
                while !buf.is_empty() {
                    let count = buf.take(&mut line)?;
                    arch::serial::write(&line[..count]);
                    done += count;
                }
                Ok(done)
            }
            _ => Ok(buf.len()),
        }
    }

    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn ioctl(&self, _file: &File, request: u32, arg: usize) -> Result<usize, Errno> {
        match self {
            Memory::Faults if request == USERFAULTFD_IOC_NEW => userfaultfd(arg as u32),
            Memory::Faults => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn object(&self, _node: &Node) -> Result<Object, Errno> {
        /// As much as can be mapped at once; memory that is not touched costs nothing.
        const SIZE: u64 = 1 << 44;
        match self {
            Memory::Zero => Ok(VM.new_anonymous(SIZE)?),
            _ => Err(Errno::ENODEV),
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
