//! [`SpinLock`].

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::machine::{LockEvent, Machine, Rank};

/// A lock for one holder.
pub struct SpinLock {
    taken: AtomicBool,
}

/// Holds a [`SpinLock`]; dropping it lets go.
#[must_use]
pub struct SpinGuard<'a, M: Machine> {
    lock: &'a SpinLock,
    machine: &'a M,
    rank: Rank,
}

impl SpinLock {
    /// A lock that nobody holds.
    pub const fn new() -> SpinLock {
        SpinLock {
            taken: AtomicBool::new(false),
        }
    }

    /// Spins until the lock is ours.
    #[inline]
    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M, rank: Rank) -> SpinGuard<'a, M> {
        machine.lock_event(LockEvent::Acquire, rank);
        while self
            .taken
            .compare_exchange_weak(false, true, Acquire, Relaxed)
            .is_err()
        {
            while self.taken.load(Relaxed) {
                machine.relax();
            }
        }
        SpinGuard {
            lock: self,
            machine,
            rank,
        }
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    pub fn try_lock<'a, M: Machine>(
        &'a self,
        machine: &'a M,
        rank: Rank,
    ) -> Option<SpinGuard<'a, M>> {
        if self
            .taken
            .compare_exchange(false, true, Acquire, Relaxed)
            .is_err()
        {
            return None;
        }
        machine.lock_event(LockEvent::TryAcquire, rank);
        Some(SpinGuard {
            lock: self,
            machine,
            rank,
        })
    }
}

impl Default for SpinLock {
    fn default() -> Self {
        SpinLock::new()
    }
}

impl<M: Machine> Drop for SpinGuard<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.lock.taken.store(false, Release);
        self.machine.lock_event(LockEvent::Release, self.rank);
    }
}
