//! Locks that spin, and the cells they protect.
//!
//! No lock is held across I/O or a wait, so all of them spin; [`Machine::relax`] is called
//! meanwhile. A lock has no fixed rank: the one who takes it says as what (an object may be locked
//! in its own right or as the one underneath another), and [`Machine::lock_event`] is told, so that
//! tests check the order that stands at the head of the crate.
//!
//! What a lock protects lies in [`Field`]s: relaxed atomics, as cheap as plain memory, which make
//! every access defined even where the lock was forgotten. The locks give the ordering.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};

use crate::kmem::Ptr;
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

/// The processor is the caller's; dropping this ends it.
#[must_use]
pub(crate) struct Pinned<'a, M: Machine> {
    machine: &'a M,
    cpu: usize,
}

impl<'a, M: Machine> Pinned<'a, M> {
    /// Stays on the processor this runs on. Nobody is pinned twice.
    #[inline(always)]
    pub fn new(machine: &'a M) -> Pinned<'a, M> {
        let cpu = machine.pin();
        Pinned { machine, cpu }
    }

    /// The processor's number, below [`MAX_CPUS`](crate::MAX_CPUS).
    #[inline(always)]
    pub fn cpu(&self) -> usize {
        self.cpu
    }
}

impl<M: Machine> Drop for Pinned<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        self.machine.unpin();
    }
}

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

/// What fits in a [`Field`].
pub(crate) trait Word: Copy {
    /// The atomic that holds it.
    type Cell;
    fn cell(self) -> Self::Cell;
    fn load(cell: &Self::Cell) -> Self;
    fn store(cell: &Self::Cell, value: Self);
}

macro_rules! word {
    ($($t:ty: $cell:ty),*) => {$(
        impl Word for $t {
            type Cell = $cell;
            #[inline(always)]
            fn cell(self) -> $cell { <$cell>::new(self) }
            #[inline(always)]
            fn load(cell: &$cell) -> $t { cell.load(Relaxed) }
            #[inline(always)]
            fn store(cell: &$cell, value: $t) { cell.store(value, Relaxed) }
        }
    )*};
}

word!(bool: AtomicBool, u8: AtomicU8, u16: AtomicU16, u32: AtomicU32, u64: AtomicU64, usize: AtomicUsize);

impl<T> Word for Option<Ptr<T>> {
    type Cell = AtomicPtr<T>;
    #[inline(always)]
    fn cell(self) -> AtomicPtr<T> {
        AtomicPtr::new(Ptr::into_raw(self))
    }
    #[inline(always)]
    fn load(cell: &AtomicPtr<T>) -> Self {
        Ptr::from_raw(cell.load(Acquire))
    }
    #[inline(always)]
    fn store(cell: &AtomicPtr<T>, value: Self) {
        cell.store(Ptr::into_raw(value), Release);
    }
}

/// A value that a lock protects, or that is written once before it is shared.
pub(crate) struct Field<T: Word> {
    cell: T::Cell,
    _value: PhantomData<T>,
}

impl<T: Word> Field<T> {
    #[inline(always)]
    pub fn new(value: T) -> Field<T> {
        Field {
            cell: value.cell(),
            _value: PhantomData,
        }
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        T::load(&self.cell)
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        T::store(&self.cell, value);
    }
}

impl<T> Field<Option<Ptr<T>>> {
    /// Nothing, for what is made before the program runs.
    pub const fn nothing() -> Field<Option<Ptr<T>>> {
        Field {
            cell: AtomicPtr::new(core::ptr::null_mut()),
            _value: PhantomData,
        }
    }

    /// Sets the value if it is `old`; tells whether it did.
    pub fn replace(&self, old: Option<Ptr<T>>, new: Option<Ptr<T>>) -> bool {
        let (old, new) = (Ptr::into_raw(old), Ptr::into_raw(new));
        self.cell
            .compare_exchange(old, new, AcqRel, Acquire)
            .is_ok()
    }
}

macro_rules! constant {
    ($($t:ty: $cell:ty),*) => {$(
        impl Field<$t> {
            /// A value, for what is made before the program runs.
            pub const fn constant(value: $t) -> Field<$t> {
                Field { cell: <$cell>::new(value), _value: PhantomData }
            }
        }
    )*};
}

constant!(bool: AtomicBool, u8: AtomicU8, u32: AtomicU32);

impl Field<u64> {
    /// Sets the value if it is `old`; tells whether it did.
    pub fn replace(&self, old: u64, new: u64) -> bool {
        self.cell
            .compare_exchange(old, new, AcqRel, Acquire)
            .is_ok()
    }
}

impl Field<u32> {
    /// The counter itself, where several holders of different locks change it.
    #[inline(always)]
    pub fn atomic(&self) -> &AtomicU32 {
        &self.cell
    }
}
