//! The manager's work that nobody waits for, each kind in a thread of the kernel's own.

use crate::arch::time::{SECOND, now_ns};
use crate::fs::{block, ext2};
use crate::linux::Errno;
use crate::mm::{VM, large};
use crate::task::{self, State, Thrash, WaitQueue};

/// How often what is dirty is looked through.
const WRITE_BACK_PERIOD: u64 = 5 * SECOND;
/// How long something may be dirty before it is written back, as on Linux.
const DIRTY_AGE: u64 = 30 * SECOND;

/// Starts the threads. Not before processes can be.
pub fn start() -> Result<(), Errno> {
    task::start_kernel_thread(keep_free)?;
    task::start_kernel_thread(large::join_pages)?;
    // Only disks have pages that are written back; and a machine without them that has nothing to do
    // need not wake up.
    if block::count() > 0 {
        task::start_kernel_thread(write_back)?;
        ext2::start()?;
    }
    Ok(())
}

/// Keeps memory free.
extern "C" fn keep_free() -> ! {
    let mut thrash = Thrash::default();
    loop {
        // Where nothing can leave this lasts until something may.
        VM.wait_for_pressure();
        VM.balance();
        thrash.look();
    }
}

/// Writes back what has been dirty for some time.
extern "C" fn write_back() -> ! {
    let alarm = WaitQueue::new();
    loop {
        let at = now_ns() + WRITE_BACK_PERIOD;
        alarm.wait((), State::Uninterruptible, Some(at));
        VM.write_back(DIRTY_AGE);
    }
}
