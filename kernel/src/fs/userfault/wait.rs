//! Where threads wait whose fault a program serves.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{UFFD_FEATURE_SIGBUS, UFFD_USER_MODE_ONLY};
use scalvm::{FaultError, WatchedFault};

use super::{Pending, UserFault, find};
use crate::fs::{memory, wait};
use crate::task::{self, State, Woken};

/// Whose access it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The program's own: any signal ends the wait, and comes first.
    Program,
    /// The kernel's on its behalf: only the end of the thread does.
    Kernel,
}

/// Tells the watcher of an access, and waits until it has been served, or a signal comes: then the access is
/// to be made again. Blocks. Where nobody waits for a watcher, because the descriptor says so or the
/// thread ends, the access fails as beyond the end of an object does.
pub fn tell(fault: WatchedFault, address: usize, origin: Origin) -> Result<(), FaultError> {
    let Some(watcher) = find(fault.server) else {
        // It has just been closed, and watches no more.
        return Ok(());
    };
    // Some serve only faults of programs, not those of the kernel's copies.
    let refused = watcher.flags & UFFD_USER_MODE_ONLY != 0 && origin == Origin::Kernel;
    if refused || watcher.has(UFFD_FEATURE_SIGBUS) {
        return Err(FaultError::BeyondEnd);
    }
    watcher.wait_for(fault, address, origin)
}

impl UserFault {
    fn wait_for(
        &self,
        fault: WatchedFault,
        address: usize,
        origin: Origin,
    ) -> Result<(), FaultError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT.fetch_add(1, Relaxed);
        let pending = Pending {
            ticket,
            fault,
            address,
            thread: task::current_thread().tid(),
            told: false,
        };
        memory::push(&mut self.queue.lock(), pending).map_err(|_| FaultError::OutOfMemory)?;
        // What was done for it before it was there has not woken it.
        let still = self.space.lock().upgrade();
        if !still.is_some_and(|space| space.is_to_be_told(fault)) {
            self.forget(ticket);
            return Ok(());
        }
        self.readers.wake_all();
        wait::changed();
        let waits = || {
            let queue = self.queue.lock();
            queue.iter().any(|pending| pending.ticket == ticket)
        };
        let sleep = match origin {
            Origin::Program => State::Interruptible,
            Origin::Kernel => State::Killable,
        };
        let mut woken = Woken::Called;
        while waits() && woken == Woken::Called {
            woken = self.faulting.wait((), sleep, None);
        }
        self.forget(ticket);
        if woken == Woken::Signal && origin == Origin::Kernel {
            return Err(FaultError::BeyondEnd);
        }
        Ok(())
    }

    /// Takes a fault out of the queue, if it is still there.
    fn forget(&self, ticket: u64) {
        self.queue.lock().retain(|pending| pending.ticket != ticket);
    }
}
