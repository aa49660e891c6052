//! Block devices: disks as files.
//!
//! A disk's bytes are one vnode object, which is its page cache: reads, writes and mappings all go
//! through it, and the manager's vnode pager calls the driver. Dirty pages reach the disk by fsync,
//! msync, sync, and when the machine is powered off.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::O_DIRECT;
use linux_raw_sys::ioctl::{BLKBSZGET, BLKFLSBUF, BLKGETSIZE, BLKGETSIZE64, BLKROGET, BLKSSZGET};
use scalvm::{Access, Io, PAGE_SIZE, Pager, Vm};

use super::buffer::Buf;
use super::file::File;
use super::inode::{FileIo, Kind, Node};
use super::{dev, memory, names, paged};
use crate::drivers::{Disk, SECTOR};
use crate::linux::Errno;
use crate::mm::{Hw, Object, VM, user};
use crate::sync::Mutex;

/// The most bytes that a program's memory is held for at a time.
const DIRECT: usize = 256 * PAGE_SIZE;

/// A disk and its page cache.
pub(super) struct BlockDevice {
    disk: &'static Disk,
    object: Object,
    cookie: usize,
    /// The part that memory is put back to.
    swap: &'static Part,
    /// It is used for swapping, or a file system of it is mounted.
    taken: AtomicBool,
}

/// The pages of a disk from one on, without a cache: what a swap area lies on.
struct Part {
    disk: &'static Disk,
    /// The page that is number 0 here. Does not change while the part is used.
    first: AtomicU64,
}

impl Pager<Hw> for Part {
    fn read_pages(&self, _vm: &Vm<Hw>, io: Io<Hw>) {
        self.disk.read(io, self.first.load(Relaxed));
    }

    fn write_pages(&self, _vm: &Vm<Hw>, io: Io<Hw>) {
        self.disk.write(io, self.first.load(Relaxed));
    }
}

static DEVICES: Mutex<Vec<Arc<BlockDevice>>> = Mutex::new(Vec::new());

/// Makes a disk usable; the first is number 0.
pub fn add(disk: &'static Disk) -> Result<(), Errno> {
    let cookie = names::next_ino() as usize;
    let object = VM.new_vnode(disk, cookie, disk.bytes())?;
    memory::prove(size_of::<Part>(), align_of::<Part>())?;
    // Disks stay until the power goes off.
    let swap = Box::leak(Box::new(Part {
        disk,
        first: AtomicU64::new(0),
    }));
    let device = memory::arc(BlockDevice {
        disk,
        object,
        cookie,
        swap,
        taken: AtomicBool::new(false),
    })?;
    memory::push(&mut DEVICES.lock(), device)
}

/// The number of disks.
pub fn count() -> usize {
    DEVICES.lock().len()
}

/// The disk of this number, for a file to read and write.
pub fn open(index: usize, for_writing: bool) -> Result<Arc<dyn FileIo>, Errno> {
    let device = get(index)?;
    if for_writing && device.disk.is_read_only() {
        return Err(Errno::EACCES);
    }
    Ok(device)
}

/// Whether a disk refuses to be written.
pub(super) fn is_read_only(index: usize) -> Result<bool, Errno> {
    Ok(get(index)?.disk.is_read_only())
}

/// Takes a disk for swapping; returns its bytes, for the header. EBUSY if it is taken, EACCES if it
/// cannot be written.
pub(super) fn claim_swap(index: usize) -> Result<Object, Errno> {
    let device = get(index)?;
    if device.disk.is_read_only() {
        return Err(Errno::EACCES);
    }
    Ok(claim(index)?.object.clone())
}

/// Takes a disk for one use that no other may be beside. EBUSY if it is taken.
pub(super) fn claim(index: usize) -> Result<Arc<BlockDevice>, Errno> {
    let device = get(index)?;
    if device.taken.swap(true, Relaxed) {
        return Err(Errno::EBUSY);
    }
    Ok(device)
}

/// Gives it back.
pub(super) fn release(index: usize) {
    if let Ok(device) = get(index) {
        device.taken.store(false, Relaxed);
    }
}

/// The disk that a node stands for: its number in the order of the bus. ENOTBLK if it is something
/// else.
pub(super) fn index_of(node: &Node) -> Result<usize, Errno> {
    match node.kind() {
        Kind::BlockDevice => dev::disk_index(node.stat().rdev),
        _ => Err(Errno::ENOTBLK),
    }
}

/// Where memory is put back to: the pages of a claimed disk from this one on. What the cache has of
/// the disk is written, and forgotten. Blocks.
pub(super) fn swap_store(index: usize, first: u64) -> Result<&'static dyn Pager<Hw>, Errno> {
    let device = get(index)?;
    device.forget_pages()?;
    device.swap.first.store(first, Relaxed);
    Ok(device.swap)
}

/// Puts the dirty pages of all disks to them. Blocks.
pub fn sync_all() -> Result<(), Errno> {
    let mut result = VM.sync_all().map_err(paged::pager_errno);
    for index in 0..count() {
        result = result.and(get(index).and_then(|device| device.disk.flush()));
    }
    result
}

/// Shows name, major and minor number and bytes of each disk.
pub fn for_each(
    mut each: impl FnMut(&[u8], u64, u64, u64) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for index in 0..count() {
        let number = dev::disk_number(index);
        let bytes = get(index)?.disk.bytes();
        each(
            &dev::disk_name(index),
            dev::major(number),
            dev::minor(number),
            bytes,
        )?;
    }
    Ok(())
}

fn get(index: usize) -> Result<Arc<BlockDevice>, Errno> {
    DEVICES.lock().get(index).cloned().ok_or(Errno::ENXIO)
}

impl BlockDevice {
    /// The disk itself.
    pub fn disk(&self) -> &'static Disk {
        self.disk
    }

    /// Its pages.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Puts what is dirty to the disk. Blocks.
    pub fn sync(&self) -> Result<(), Errno> {
        self.object
            .sync(0, self.object.size())
            .map_err(paged::pager_errno)?;
        self.disk.flush()
    }

    /// Moves bytes between the disk and the program's memory itself, as O_DIRECT asks, from `at` on and not beyond the
    /// end. What the cache has of them is written first; what was written so is read anew, by mappings too. EINVAL
    /// unless all begins and ends with sectors. Blocks.
    fn direct(&self, at: u64, buf: &mut Buf<'_>, write: bool) -> Result<usize, Errno> {
        let Some((address, len)) = buf.in_program() else {
            return self.cached(at, buf, write);
        };
        if !(at | address as u64 | len as u64).is_multiple_of(SECTOR as u64) {
            return Err(Errno::EINVAL);
        }
        buf.limit(usize::try_from(self.object.size().saturating_sub(at)).unwrap_or(usize::MAX));
        let mut done = 0;
        while !buf.is_empty() {
            let len = buf.len().min(DIRECT);
            match self.direct_part(at + done as u64, buf, len, write) {
                Ok(()) => buf.skip(len),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            done += len;
        }
        Ok(done)
    }

    fn direct_part(&self, at: u64, buf: &Buf<'_>, len: usize, write: bool) -> Result<(), Errno> {
        let access = if write { Access::Read } else { Access::Write };
        let memory = buf.describe(len, access)?;
        self.object
            .sync(at, len as u64)
            .map_err(paged::pager_errno)?;
        let result = self.disk.direct(at, &memory, write);
        // Let go first: the memory may be a mapping of what was written.
        drop(memory);
        if write {
            self.object.invalidate(at, len as u64);
        }
        result
    }

    /// Reads or writes by way of the cache.
    fn cached(&self, at: u64, buf: &mut Buf<'_>, write: bool) -> Result<usize, Errno> {
        if write {
            paged::write(&self.object, at, buf)
        } else {
            paged::read(&self.object, at, buf)
        }
    }

    /// The same as [`sync`](BlockDevice::sync), and forgets all pages: what they hold may change without them. Blocks.
    pub fn forget_pages(&self) -> Result<(), Errno> {
        self.sync()?;
        self.object.set_size(0)?;
        Ok(self.object.set_size(self.disk.bytes())?)
    }
}

impl FileIo for BlockDevice {
    fn read(&self, file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if file.flags() & O_DIRECT != 0 {
            return self.direct(at, buf, false);
        }
        file.read_ahead(&self.object, at, buf.len());
        self.cached(at, buf, false)
    }

    fn write(&self, file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if at >= self.object.size() && !buf.is_empty() {
            return Err(Errno::ENOSPC);
        }
        if file.flags() & O_DIRECT != 0 {
            return self.direct(at, buf, true);
        }
        self.cached(at, buf, true)
    }

    fn size(&self) -> Option<u64> {
        Some(self.object.size())
    }

    fn ioctl(&self, _file: &File, request: u32, arg: usize) -> Result<usize, Errno> {
        match request {
            BLKGETSIZE64 => user::write(arg, &self.disk.bytes())?,
            BLKGETSIZE => user::write(arg, &(self.disk.bytes() / SECTOR as u64))?,
            BLKSSZGET => user::write(arg, &(SECTOR as u32))?,
            BLKBSZGET => user::write(arg, &(PAGE_SIZE as u32))?,
            BLKROGET => user::write(arg, &u32::from(self.disk.is_read_only()))?,
            BLKFLSBUF => BlockDevice::sync(self)?,
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn object(&self, node: &Node) -> Result<Object, Errno> {
        names::register(self.cookie, node)?;
        Ok(self.object.clone())
    }

    fn sync(&self) -> Result<(), Errno> {
        BlockDevice::sync(self)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
