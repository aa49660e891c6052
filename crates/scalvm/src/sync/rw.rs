//! [`RwLock`].

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::machine::{LockEvent, Machine, Rank};

/// A lock for one writer or many readers. Writers are preferred.
pub(crate) struct RwLock {
    /// [`WRITER`] while written, else twice the number of readers, plus [`WAITING`] while a writer
    /// spins.
    state: AtomicU32,
}

const WAITING: u32 = 1;
const READER: u32 = 2;
const WRITER: u32 = u32::MAX - 1;

/// Holds an [`RwLock`] for reading.
#[must_use]
pub(crate) struct ReadGuard<'a, M: Machine> {
    lock: &'a RwLock,
    machine: &'a M,
    rank: Rank,
}

/// Holds an [`RwLock`] for writing.
#[must_use]
pub(crate) struct WriteGuard<'a, M: Machine> {
    lock: &'a RwLock,
    machine: &'a M,
    rank: Rank,
}

impl RwLock {
    /// A lock that nobody holds.
    pub const fn new() -> RwLock {
        RwLock {
            state: AtomicU32::new(0),
        }
    }

    /// Spins until there is no writer, nor one that waits.
    #[inline]
    pub fn read<'a, M: Machine>(&'a self, machine: &'a M, rank: Rank) -> ReadGuard<'a, M> {
        machine.lock_event(LockEvent::Acquire, rank);
        loop {
            let state = self.state.load(Relaxed);
            if state & WAITING == 0
                && state != WRITER
                && self
                    .state
                    .compare_exchange_weak(state, state + READER, Acquire, Relaxed)
                    .is_ok()
            {
                return ReadGuard {
                    lock: self,
                    machine,
                    rank,
                };
            }
            machine.relax();
        }
    }

    /// Takes the lock for reading if there is no writer, nor one that waits.
    pub fn try_read<'a, M: Machine>(
        &'a self,
        machine: &'a M,
        rank: Rank,
    ) -> Option<ReadGuard<'a, M>> {
        let state = self.state.load(Relaxed);
        if state & WAITING != 0
            || state == WRITER
            || self
                .state
                .compare_exchange(state, state + READER, Acquire, Relaxed)
                .is_err()
        {
            return None;
        }
        machine.lock_event(LockEvent::TryAcquire, rank);
        Some(ReadGuard {
            lock: self,
            machine,
            rank,
        })
    }

    /// Spins until nobody holds the lock.
    #[inline]
    pub fn write<'a, M: Machine>(&'a self, machine: &'a M, rank: Rank) -> WriteGuard<'a, M> {
        machine.lock_event(LockEvent::Acquire, rank);
        loop {
            let state = self.state.load(Relaxed);
            if state & !WAITING == 0 {
                if self
                    .state
                    .compare_exchange_weak(state, WRITER, Acquire, Relaxed)
                    .is_ok()
                {
                    return WriteGuard {
                        lock: self,
                        machine,
                        rank,
                    };
                }
            } else {
                if state != WRITER && state & WAITING == 0 {
                    let _ =
                        self.state
                            .compare_exchange_weak(state, state | WAITING, Relaxed, Relaxed);
                }
                machine.relax();
            }
        }
    }
}

impl<M: Machine> Drop for ReadGuard<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.lock.state.fetch_sub(READER, Release);
        self.machine.lock_event(LockEvent::Release, self.rank);
    }
}

impl<M: Machine> Drop for WriteGuard<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.lock.state.store(0, Release);
        self.machine.lock_event(LockEvent::Release, self.rank);
    }
}
