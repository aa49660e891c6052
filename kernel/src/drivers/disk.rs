//! [`Disk`]: a virtio disk, as the manager's vnode pager sees it.
//!
//! Requests are carried out at once: the processor waits for the device, which is another process
//! of the host. Frames that lie one behind the other go in one request.

use scalvm::{Frame, Io, Machine, PAGE_SIZE, PagerError, Vm, Vnode};
use virtio_drivers::device::blk::{SECTOR_SIZE, VirtIOBlk};

use super::hal::VirtioHal;
use super::pci::Transport;
use crate::linux::Errno;
use crate::mm::Hw;
use crate::sync::Mutex;

/// Bytes of a sector.
pub const SECTOR: usize = SECTOR_SIZE;

/// A virtio disk.
pub struct Disk {
    device: Mutex<VirtIOBlk<VirtioHal, Transport>>,
    bytes: u64,
    read_only: bool,
}

/// Which way bytes go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    FromDisk,
    ToDisk,
}

impl Disk {
    /// Makes the device ready.
    pub fn new(transport: Transport) -> Result<Disk, Errno> {
        let device = VirtIOBlk::new(transport).map_err(|_| Errno::EIO)?;
        let bytes = device.capacity() * SECTOR as u64;
        let read_only = device.readonly();
        Ok(Disk {
            device: Mutex::new(device),
            bytes,
            read_only,
        })
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it refuses to be written.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// What was written is on the medium when this returns.
    pub fn flush(&self) -> Result<(), Errno> {
        self.device.lock().flush().map_err(|_| Errno::EIO)
    }

    /// Moves the pages of a request, run by run.
    fn transfer(&self, vm: &Vm<Hw>, io: &Io<Hw>, direction: Direction) -> Result<(), PagerError> {
        let frames = io.frames();
        let mut sector = io.index() as usize * (PAGE_SIZE / SECTOR);
        let mut left = io.len_bytes();
        let mut first = 0;
        while left > 0 {
            let follows = |pair: &&[Frame]| pair[1].0 == pair[0].0 + 1;
            let run = 1 + frames[first..].windows(2).take_while(follows).count();
            let len = left.min(run * PAGE_SIZE);
            let bytes = vm.machine().frame_ptr(frames[first]);
            let mut device = self.device.lock();
            let result = match direction {
                Direction::FromDisk => {
                    // SAFETY: the frames are in the direct map one behind the other, as they are in
                    // memory; the pager holds them and nothing maps them before they are filled.
                    let bytes = unsafe { core::slice::from_raw_parts_mut(bytes, len) };
                    device.read_blocks(sector, bytes)
                }
                Direction::ToDisk => {
                    // SAFETY: as above, but programs may have mapped the pages. None runs before the
                    // slice is gone: there is one processor, and it waits here for the device.
                    let bytes = unsafe { core::slice::from_raw_parts(bytes, len) };
                    device.write_blocks(sector, bytes)
                }
            };
            result.map_err(|_| PagerError::Io)?;
            sector += len / SECTOR;
            left -= len;
            first += run;
        }
        Ok(())
    }

    /// Zeros what the last page has beyond the end of the disk.
    fn clear_tail(&self, vm: &Vm<Hw>, io: &Io<Hw>) {
        let tail = io.frames().len() * PAGE_SIZE - io.len_bytes();
        if let Some(last) = io.frames().last()
            && tail > 0
        {
            let bytes = vm.machine().frame_ptr(*last);
            // SAFETY: the pager holds the frame; the disk ends in it, so that the tail is in it.
            unsafe { bytes.add(PAGE_SIZE - tail).write_bytes(0, tail) };
        }
    }
}

impl Vnode<Hw> for Disk {
    fn read_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        let result = self.transfer(vm, &io, Direction::FromDisk);
        self.clear_tail(vm, &io);
        vm.io_done(io, result);
    }

    fn write_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        let result = self.transfer(vm, &io, Direction::ToDisk);
        vm.io_done(io, result);
    }
}
