//! A lock that one processor takes again and again, and others hardly ever: taking it costs its owner
//! no locked instruction.
//!
//! The owner says that it is in, and then looks whether somebody has stolen the lock; a thief says
//! that it has stolen the lock, and then looks whether the owner is in. Between its store and its
//! load each passes a fence, so that at least one of them sees what the other has said. The owner's
//! fence is light and the thief's heavy, so that the thief may pay for both:
//! [`Machine::light_fence`].
//!
//! 1. Whoever is inside reads and writes as under a lock: the owner's way out releases to the
//!    thief's look at `busy`, the thief's way out to the owner's look at `stolen`.
//!
//! `tests/owner.rs` compiles this file against loom and tries all orders.

use super::atomic::AtomicBool;
use super::atomic::Ordering::{Acquire, Relaxed, Release};
use super::{LockEvent, Machine, Rank};

/// A lock that its owner takes cheaply.
pub(crate) struct OwnerLock {
    /// The owner is in, or about to see whether it may.
    pub(super) busy: AtomicBool,
    /// Another processor has the lock, or waits until the owner is out.
    pub(super) stolen: AtomicBool,
}

/// The owner, or a thief, is inside; dropping this lets go.
#[must_use]
pub(crate) struct OwnerGuard<'a, M: Machine> {
    /// The word to clear.
    word: &'a AtomicBool,
    machine: &'a M,
    rank: Rank,
}

impl OwnerLock {
    /// Takes the lock. Only one at a time calls this: who is pinned to the owner's processor.
    #[inline(always)]
    pub fn enter<'a, M: Machine>(&'a self, machine: &'a M, rank: Rank) -> OwnerGuard<'a, M> {
        machine.lock_event(LockEvent::Acquire, rank);
        self.busy.store(true, Relaxed);
        machine.light_fence();
        if self.stolen.load(Acquire) {
            self.give_way(machine);
        }
        OwnerGuard {
            word: &self.busy,
            machine,
            rank,
        }
    }

    /// The same, unless somebody has stolen the lock.
    #[inline(always)]
    pub fn try_enter<'a, M: Machine>(
        &'a self,
        machine: &'a M,
        rank: Rank,
    ) -> Option<OwnerGuard<'a, M>> {
        machine.lock_event(LockEvent::Acquire, rank);
        self.busy.store(true, Relaxed);
        machine.light_fence();
        let guard = OwnerGuard {
            word: &self.busy,
            machine,
            rank,
        };
        if self.stolen.load(Acquire) {
            return None;
        }
        Some(guard)
    }

    /// Waits until no thief has the lock, and takes it.
    #[cold]
    fn give_way<M: Machine>(&self, machine: &M) {
        loop {
            self.busy.store(false, Release);
            while self.stolen.load(Relaxed) {
                machine.relax();
            }
            self.busy.store(true, Relaxed);
            machine.light_fence();
            if !self.stolen.load(Acquire) {
                return;
            }
        }
    }

    /// Waits until the owner is out who may be in. After a heavy fence: whoever comes in later has
    /// seen what was written before that.
    pub fn wait_out<M: Machine>(&self, machine: &M) {
        while self.busy.load(Acquire) {
            machine.relax();
        }
    }

    /// Takes the lock from its owner, and from other thieves. The owner may be the caller's own
    /// processor, if it is not inside.
    pub fn steal<'a, M: Machine>(&'a self, machine: &'a M, rank: Rank) -> OwnerGuard<'a, M> {
        machine.lock_event(LockEvent::Acquire, rank);
        while self
            .stolen
            .compare_exchange(false, true, Acquire, Relaxed)
            .is_err()
        {
            machine.relax();
        }
        machine.heavy_fence();
        while self.busy.load(Acquire) {
            machine.relax();
        }
        OwnerGuard {
            word: &self.stolen,
            machine,
            rank,
        }
    }
}

impl<M: Machine> Drop for OwnerGuard<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        self.word.store(false, Release);
        self.machine.lock_event(LockEvent::Release, self.rank);
    }
}
