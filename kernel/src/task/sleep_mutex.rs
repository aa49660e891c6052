//! [`SleepMutex`]: a lock whose holder may block.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::thread::State;
use super::wait::{WaitQueue, Woken};
use crate::linux::Errno;

/// A value for one thread at a time, which may block while it has it. Others wait, whatever signals
/// come. Which locks may be taken while another is held is for the user to say.
pub struct SleepMutex<T> {
    taken: AtomicBool,
    waiting: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: `taken` lets one guard exist at a time.
unsafe impl<T: Send> Sync for SleepMutex<T> {}

/// Holds a [`SleepMutex`]; dropping it lets go.
#[must_use]
pub struct SleepGuard<'a, T> {
    lock: &'a SleepMutex<T>,
}

impl<T> SleepMutex<T> {
    /// A lock that nobody holds.
    pub const fn new(value: T) -> SleepMutex<T> {
        SleepMutex {
            taken: AtomicBool::new(false),
            waiting: WaitQueue::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the value. Blocks while another thread has it.
    pub fn lock(&self) -> SleepGuard<'_, T> {
        // Nothing comes between the look and the wait, or the store: the kernel is not preempted.
        while self.taken.load(Relaxed) {
            self.waiting.wait((), State::Uninterruptible, None);
        }
        self.taken.store(true, Relaxed);
        SleepGuard { lock: self }
    }

    /// The same for what whoever has it may need memory for: so that a thread that waits can be ended to
    /// make room. EINTR if it is.
    pub fn lock_killable(&self) -> Result<SleepGuard<'_, T>, Errno> {
        while self.taken.load(Relaxed) {
            if self.waiting.wait((), State::Killable, None) == Woken::Signal {
                return Err(Errno::EINTR);
            }
        }
        self.taken.store(true, Relaxed);
        Ok(SleepGuard { lock: self })
    }
}

impl<T> Deref for SleepGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the only guard.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for SleepGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the only guard.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for SleepGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.taken.store(false, Relaxed);
        self.lock.waiting.wake_where(1, |()| true);
    }
}
