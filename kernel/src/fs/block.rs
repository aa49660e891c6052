//! Block devices: disks as files.
//!
//! A disk's bytes are one vnode object, which is its page cache: reads, writes and mappings all go
//! through it, and the manager's vnode pager calls the driver. Dirty pages reach the disk by fsync,
//! msync, sync, and when the machine is powered off.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use linux_raw_sys::ioctl::{BLKBSZGET, BLKFLSBUF, BLKGETSIZE, BLKGETSIZE64, BLKROGET, BLKSSZGET};
use scalvm::PAGE_SIZE;

use super::buffer::Buf;
use super::file::File;
use super::inode::{FileIo, Node};
use super::{dev, memory, names, paged};
use crate::drivers::{Disk, SECTOR};
use crate::linux::Errno;
use crate::mm::{Object, VM, user};
use crate::sync::Mutex;

/// A disk and its page cache.
struct BlockDevice {
    disk: &'static Disk,
    object: Object,
    cookie: usize,
}

static DEVICES: Mutex<Vec<Arc<BlockDevice>>> = Mutex::new(Vec::new());

/// Makes a disk usable; the first is number 0.
pub fn add(disk: &'static Disk) -> Result<(), Errno> {
    let cookie = names::next_ino() as usize;
    let object = VM.new_vnode(disk, cookie, disk.bytes())?;
    let device = memory::arc(BlockDevice {
        disk,
        object,
        cookie,
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

/// Puts the dirty pages of all disks to them. Blocks.
pub fn sync_all() -> Result<(), Errno> {
    let mut result = Ok(());
    for index in 0..count() {
        result = result.and(get(index).and_then(|device| device.sync()));
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

impl FileIo for BlockDevice {
    fn read(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        paged::read(&self.object, at, buf)
    }

    fn write(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if at >= self.object.size() && !buf.is_empty() {
            return Err(Errno::ENOSPC);
        }
        paged::write(&self.object, at, buf)
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
            BLKFLSBUF => FileIo::sync(self)?,
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn object(&self, node: &Node) -> Result<Object, Errno> {
        names::register(self.cookie, node)?;
        Ok(self.object.clone())
    }

    fn sync(&self) -> Result<(), Errno> {
        self.object
            .sync(0, self.object.size())
            .map_err(paged::pager_errno)?;
        self.disk.flush()
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
