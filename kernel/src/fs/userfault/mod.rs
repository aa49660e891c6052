//! [`UserFault`]: the descriptor that userfaultfd(2) makes, by which a program serves faults of ranges of
//! an address space. [`ioctl`](control) is what it is told, [`wait`] where faulting threads wait, [`events`] tells
//! what becomes of ranges.
//!
//! The manager knows a watcher by a number ([`scalvm::Watch`]); the list here leads from it to the
//! descriptor. A thread that faults puts its fault into the descriptor's queue and waits until it is taken
//! out: by a page that is placed, by a wake, or because the descriptor is closed. The fault is then simply
//! made again, so nobody need know what became of it.
//!
//! Invariants:
//! 1. Who waits has its fault in the queue; taking it out is waking it.
//! 2. A descriptor that is closed watches nothing, has empty queues, and lets nobody wait.
//!
//! Locks: none is held while a thread waits or bytes move. With the list locked one descriptor's space may be.

mod control;
mod events;
mod wait;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{
    O_NONBLOCK, O_RDONLY, POLLERR, POLLIN, UFFD_EVENT_PAGEFAULT, UFFD_FEATURE_EVENT_UNMAP,
    UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_THREAD_ID, UFFD_PAGEFAULT_FLAG_MINOR,
    UFFD_PAGEFAULT_FLAG_WP, UFFD_PAGEFAULT_FLAG_WRITE, uffd_msg,
};
use scalvm::{Access, WatchEvents, WatchedFault, page_floor};

use super::buffer::Buf;
use super::file::{File, FileHandle};
use super::inode::FileIo;
use super::label::Anonymous;
use super::memory;
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::{Pid, Space, WaitQueue};

use events::LISTENERS;
pub use events::{Change, forked, forking, heir_of, moving, removing, unmap, unmapping};
pub use wait::{Origin, tell};

/// A message has as many bytes, four words: kind, flags, address, thread.
const MESSAGE: usize = 32;
const _: () = assert!(size_of::<uffd_msg>() == MESSAGE);

/// Not one of the features: the program has said which it wants.
const INITIALIZED: u64 = 1 << 63;

/// All descriptors that there are, by the numbers that the manager knows them by.
static ALL: Mutex<Vec<(u32, Weak<UserFault>)>> = Mutex::new(Vec::new());

/// Who serves the faults of ranges of one address space.
pub struct UserFault {
    number: u32,
    /// None yet while its space is made by fork.
    space: Mutex<Weak<Space>>,
    /// What it was opened with.
    flags: u32,
    /// The features that the program wants, and INITIALIZED.
    features: AtomicU64,
    closed: AtomicBool,
    queue: Mutex<Vec<Pending>>,
    /// Programs that read.
    readers: WaitQueue,
    /// Threads whose fault is in the queue.
    faulting: WaitQueue,
    events: Mutex<Vec<events::Event>>,
    /// Threads whose event is to be read.
    telling: WaitQueue,
    /// Changes of ranges that are going on.
    changing: AtomicU32,
}

/// A fault that waits.
struct Pending {
    /// Distinguishes those of the queue.
    ticket: u64,
    fault: WatchedFault,
    /// The address that was accessed.
    address: usize,
    thread: Pid,
    /// Whether the program has read of it.
    told: bool,
}

/// An open file on a new descriptor for an address space.
pub fn open(space: &Arc<Space>, flags: u32) -> Result<FileHandle, Errno> {
    UserFault::make(Arc::downgrade(space), flags, 0).map(|(_, file)| file)
}

/// The descriptor with this number, if it is still open.
fn find(number: u32) -> Option<Arc<UserFault>> {
    let all = ALL.lock();
    let (_, found) = all.iter().find(|(known, _)| *known == number)?;
    found.upgrade().filter(|found| !found.closed.load(Relaxed))
}

impl UserFault {
    /// One more, and the open file by which it is had: when that is closed it ends.
    fn make(
        space: Weak<Space>,
        flags: u32,
        features: u64,
    ) -> Result<(Arc<UserFault>, FileHandle), Errno> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let new = memory::arc(UserFault {
            number: NEXT.fetch_add(1, Relaxed),
            space: Mutex::new(space),
            flags,
            features: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            queue: Mutex::new(Vec::new()),
            readers: WaitQueue::new(),
            faulting: WaitQueue::new(),
            events: Mutex::new(Vec::new()),
            telling: WaitQueue::new(),
            changing: AtomicU32::new(0),
        })?;
        let node = Anonymous::node("anon_inode:[userfaultfd]")?;
        let file = File::new(node, new.clone(), O_RDONLY | flags & O_NONBLOCK)?;
        memory::push(&mut ALL.lock(), (new.number, Arc::downgrade(&new)))?;
        new.initialize(features);
        Ok((new, file))
    }

    /// The program has said what it wants.
    fn initialize(&self, features: u64) {
        self.features.store(features, Relaxed);
        if self.has(UFFD_FEATURE_EVENT_UNMAP) {
            LISTENERS.fetch_add(1, Relaxed);
        }
    }

    /// A child's address space is there now.
    fn set_space(&self, space: &Arc<Space>) {
        *self.space.lock() = Arc::downgrade(space);
        // Whoever closes it meanwhile sees the space, or is seen here.
        if self.closed.load(Relaxed) {
            self.forget_space();
        }
    }

    /// It watches nothing there any more.
    fn forget_space(&self) {
        let space = self.space.lock().upgrade();
        if let Some(space) = space {
            space.forget_watcher(self.number);
        }
    }

    /// Whether it is of this address space.
    fn is_of(&self, space: &Space) -> bool {
        core::ptr::eq(self.space.lock().as_ptr(), space)
    }

    fn has(&self, feature: u32) -> bool {
        self.features.load(Relaxed) & u64::from(feature) != 0
    }

    fn is_initialized(&self) -> bool {
        self.features.load(Relaxed) & INITIALIZED != 0
    }

    /// Takes the faults of a range out of the queue, and so wakes their threads.
    fn wake(&self, start: usize, end: usize) {
        self.queue
            .lock()
            .retain(|pending| !(start..end).contains(&pending.fault.page));
        self.faulting.wake_all();
    }

    /// The next message: faults that nobody was told of yet come first, then events.
    fn next_message(&self) -> Result<Option<[u8; MESSAGE]>, Errno> {
        match self.next_fault() {
            None => Ok(self.next_event()?.map(message)),
            fault => Ok(fault),
        }
    }

    /// Whether there is a message.
    fn is_readable(&self) -> bool {
        let untold = self.queue.lock().iter().any(|pending| !pending.told);
        untold || self.has_event()
    }

    /// The message of a fault that nobody was told of yet.
    fn next_fault(&self) -> Option<[u8; MESSAGE]> {
        let mut queue = self.queue.lock();
        let pending = queue.iter_mut().find(|pending| !pending.told)?;
        pending.told = true;
        let fault = pending.fault;
        let mut flags = 0;
        if fault.access == Access::Write {
            flags |= UFFD_PAGEFAULT_FLAG_WRITE;
        }
        if fault.event == WatchEvents::WRITE_PROTECT {
            flags |= UFFD_PAGEFAULT_FLAG_WP;
        }
        if fault.event == WatchEvents::MINOR {
            flags |= UFFD_PAGEFAULT_FLAG_MINOR;
        }
        let address = if self.has(UFFD_FEATURE_EXACT_ADDRESS) {
            pending.address
        } else {
            page_floor(pending.address)
        };
        let thread = if self.has(UFFD_FEATURE_THREAD_ID) {
            pending.thread as u64
        } else {
            0
        };
        Some(message([
            u64::from(UFFD_EVENT_PAGEFAULT),
            u64::from(flags),
            address as u64,
            thread,
        ]))
    }
}

/// A message of these words.
fn message(words: [u64; 4]) -> [u8; MESSAGE] {
    let mut message = [0; MESSAGE];
    for (bytes, word) in message.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    message
}

impl FileIo for UserFault {
    /// As many messages as there are and have room; waits for the first.
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if !self.is_initialized() {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        loop {
            if buf.len() < MESSAGE {
                return if done == 0 {
                    Err(Errno::EINVAL)
                } else {
                    Ok(done)
                };
            }
            let message = match self.next_message() {
                Err(error) if done == 0 => return Err(error),
                Ok(None) if done == 0 => {
                    if file.nonblocking() {
                        return Err(Errno::EAGAIN);
                    }
                    self.readers.wait_until(|| self.is_readable())?;
                    continue;
                }
                Ok(Some(message)) => message,
                Ok(None) | Err(_) => return Ok(done),
            };
            match buf.put(&message) {
                Ok(MESSAGE) => done += MESSAGE,
                _ if done > 0 => return Ok(done),
                _ => return Err(Errno::EFAULT),
            }
        }
    }

    /// As on Linux, only who does not wait in read(2) may poll.
    fn ready(&self, file: &File) -> u32 {
        if !self.is_initialized() || !file.nonblocking() {
            return POLLERR;
        }
        if self.is_readable() { POLLIN } else { 0 }
    }

    fn ioctl(&self, _file: &File, request: u32, arg: usize) -> Result<usize, Errno> {
        self.control(request, arg)
    }

    fn closed(&self, _file: &File) {
        self.closed.store(true, Relaxed);
        ALL.lock().retain(|(number, _)| *number != self.number);
        self.forget_space();
        self.wake(0, usize::MAX);
        self.forget_events();
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
