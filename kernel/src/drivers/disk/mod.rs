//! [`Disk`]: a virtio disk, as the manager's vnode pager sees it.
//!
//! Each request of the pager is one request of the device, wherever its frames lie ([`queue`]): the
//! device reads and writes the frames themselves. Starting a request takes no memory. Its end is an
//! interrupt, which the processor takes in the idle loop or in a program; whoever needs the pages
//! waits for the manager's word. A thread that finds no room for its request waits for that.
//!
//! A file system's pages lie anywhere: a [`Scatter`] is one request of the pager in several of the
//! device, and [`jobs`] counts what is left of each.
//!
//! Locks: the queue's and the jobs', held neither while anything blocks nor while the manager is
//! called, and never both.

mod jobs;
mod queue;
mod scatter;

use scalvm::{Io, Machine, PAGE_SIZE, Pager, PagerError, Vm};
use virtio_drivers::device::blk::SECTOR_SIZE;
use virtio_drivers::transport::InterruptStatus;

use super::pci::Transport;
use crate::linux::Errno;
use crate::mm::{Hw, Mdl, VM};
use crate::sync::Mutex;
use crate::task::{State, WaitQueue};
use jobs::Jobs;
use queue::{Direct, Queue, Work};
pub use scatter::Scatter;

/// Bytes of a sector.
pub const SECTOR: usize = SECTOR_SIZE;
/// Sectors of a page.
const SECTORS: u64 = (PAGE_SIZE / SECTOR) as u64;

/// A virtio disk.
pub struct Disk {
    queue: Mutex<Queue>,
    /// Requests in several parts.
    jobs: Mutex<Jobs>,
    /// Woken when requests have ended.
    progress: WaitQueue,
    bytes: u64,
    read_only: bool,
}

impl Disk {
    /// Makes the device ready.
    pub fn new(transport: Transport) -> Result<Disk, Errno> {
        let queue = Queue::new(transport)?;
        Ok(Disk {
            bytes: queue.sectors() * SECTOR as u64,
            read_only: queue.is_read_only(),
            queue: Mutex::new(queue),
            jobs: Mutex::new(Jobs::new()),
            progress: WaitQueue::new(),
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

    /// What was written is on the medium when this returns. Blocks.
    pub fn flush(&self) -> Result<(), Errno> {
        if !self.queue.lock().has_cache() {
            return Ok(());
        }
        self.carry_out(Work::Flush, 0)
    }

    /// Moves whole sectors between the disk, from byte `at` on, and memory that is held: into it, or with `write` out of
    /// it. Begins and ends of pieces are those of sectors. Blocks, whatever signals come: the device has the frames.
    pub fn direct(&self, at: u64, memory: &Mdl, write: bool) -> Result<(), Errno> {
        let mut sector = at / SECTOR as u64;
        let mut pieces = memory.pieces().peekable();
        while pieces.peek().is_some() {
            let mut direct = Direct::new(write);
            while pieces.next_if(|piece| direct.add(*piece)).is_some() {}
            let sectors = (direct.len() / SECTOR) as u64;
            self.carry_out(Work::Direct(direct), sector)?;
            sector += sectors;
        }
        Ok(())
    }

    /// Gives the device something to do, and waits until it has done it.
    fn carry_out(&self, work: Work, sector: u64) -> Result<(), Errno> {
        let ticket = self.start(work, sector);
        loop {
            let result = self.queue.lock().ended(ticket);
            match result {
                Some(result) => {
                    // Its place is free.
                    self.progress.wake_all();
                    return result.map_err(|_| Errno::EIO);
                }
                None => self.wait(),
            }
        }
    }

    /// Reads the pages of a request that counts them from page `first` of the disk on. The end is
    /// told to the manager. Blocks only while too many requests are under way.
    pub fn read(&self, io: Io<Hw>, first: u64) {
        let sector = (io.index() + first) * SECTORS;
        self.start(Work::Read(io), sector);
    }

    /// Writes the pages of a request, as [`read`](Disk::read) reads them.
    pub fn write(&self, io: Io<Hw>, first: u64) {
        let sector = (io.index() + first) * SECTORS;
        self.start(Work::Write(io), sector);
    }

    /// Gives the device something to do, and returns the place where it stands.
    fn start(&self, work: Work, sector: u64) -> usize {
        let mut work = Some(work);
        loop {
            // In a statement of its own, so that the lock is free while the thread waits.
            let place = self.queue.lock().start(&mut work, sector);
            match place {
                Some(place) => return place,
                None => self.wait(),
            }
        }
    }

    /// If requests are under way, waits until one has ended, or until a time. Whether there were any.
    pub fn wait_for_any(&self, until: u64) -> bool {
        let is_busy = self.queue.lock().is_busy();
        if is_busy {
            self.progress.wait((), State::Killable, Some(until));
        }
        is_busy
    }

    /// Waits until a request has ended. Nothing can end between the look at the queue and this.
    fn wait(&self) {
        self.progress.wait((), State::Uninterruptible, None);
    }

    /// Takes what the device has done. Called at an interrupt.
    pub fn on_interrupt(&self) {
        if !self
            .queue
            .lock()
            .acknowledge()
            .contains(InterruptStatus::QUEUE_INTERRUPT)
        {
            return;
        }
        loop {
            let done = self.queue.lock().take();
            let Some((work, result)) = done else { break };
            match work {
                Work::Read(io) => {
                    clear_tail(&VM, &io);
                    VM.io_done(io, result);
                }
                Work::Write(io) => VM.io_done(io, result),
                Work::Part(part) => self.part_ended(part.job, result),
                Work::Direct(_) | Work::Flush => {}
            }
        }
        self.progress.wake_all();
    }
}

/// Zeros what the last page has beyond the end of the disk.
fn clear_tail(vm: &Vm<Hw>, io: &Io<Hw>) {
    let tail = io.frames().len() * PAGE_SIZE - io.len_bytes();
    if let Some(last) = io.frames().last()
        && tail > 0
    {
        let bytes = vm.machine().frame_ptr(*last);
        // SAFETY: the pager holds the frame; the disk ends in it, so that the tail is in it.
        unsafe { bytes.add(PAGE_SIZE - tail).write_bytes(0, tail) };
    }
}

impl Pager<Hw> for Disk {
    fn read_pages(&self, _vm: &Vm<Hw>, io: Io<Hw>) {
        self.read(io, 0);
    }

    fn write_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        if self.read_only {
            return vm.io_done(io, Err(PagerError::Io));
        }
        self.write(io, 0);
    }
}
