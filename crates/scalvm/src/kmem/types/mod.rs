//! Malloc types: what kernel memory is for, and how much of it is in use for what.
//!
//! ```text
//!   malloc_type! ──link──► section ┐               ┌ processor 0 ─► directory ─► row of each type
//!   attach_type ───────────────────┴─► number ─────┤ processor 1 ─► directory ─► ...
//!                                                  └ table ──────► state of each type ─► its rows
//! ```
//!
//! A type has a [number](numbers), the same in all managers of a program. In each manager the number
//! finds the type's [`TypeState`], and on each processor that uses it a [`Row`], which counts the
//! pieces of each size that were taken and given back there. What a type *holds* is the bytes of its
//! pieces and of the *credit* in its rows: bytes drawn from the state ahead of their use, so that
//! most pieces change nothing but the row of the processor they are taken on, which takes no locked
//! instruction. A type that has a limit gets no credit: each piece of it is charged to the state,
//! which makes the limit exact. Bytes are those that a piece really takes: its slot's or its
//! frames'.
//!
//! The high-water mark is that of what a type holds: never less than the bytes that were in use at
//! one time, and more by at most the credit, which is 512 KiB for each processor and none where
//! there is a limit, and by what was drawn at that moment for requests that then failed.
//!
//! What happens at the limit: a request that would take the type above it is refused with
//! `MallocError::Limit`, or waits until enough has come back (`MallocFlags::WAIT`); one that is
//! larger than the limit itself is always refused. A limit below the present use refuses everything
//! until the use has fallen. Setting a limit calls back what credit there is.
//!
//! Who detaches a type with memory in use has the choice ([`Leaks`]): to be refused, or to leave the
//! memory to the type [`M_ORPHANS`]. It stays valid then; whoever frees it later, under its old type
//! or under that one, takes it off there.
//!
//! Invariants, `state` being that of a number `n`:
//! - **T1** `held` is the bytes of the type's pieces in use and the credit of its rows.
//! - **T2** if `n` is that of a type attached here, `state.ty` is it, else null, with all counts zero.
//! - **T3** a directory's entry `n` is `NO_ROW` or a row of `state`, of the directory's processor, and
//!   `NO_ROW` if the state is nobody's. Rows and directories are never freed: who looked one up may
//!   use it, whatever happens meanwhile.
//!
//! Memory may be freed while its type is detached. Rows are changed inside of a magazine's lock, or of
//! the processor's own in `slow`, and looked up there too: so once a type is unhooked, and everybody
//! who was inside is out, its rows stand still. Until the type is gone, and where there is no row
//! otherwise, what is freed is taken off the state's own row under the lock of types.
//!
//! Locks: one ([`Rank::Types`]) for attaching, detaching, limits, and new states, rows and
//! directories. Pieces are charged without it.

mod attach;
mod error;
mod malloc_type;
mod numbers;
mod row;
mod section;
mod state;
mod stats;
#[cfg(test)]
mod tests;

pub use attach::{Leak, Leaks};
pub use error::TypeError;
pub use malloc_type::MallocType;
pub use stats::{BucketStats, TypeStats};

pub(crate) use malloc_type::NUMBERS;
pub(crate) use row::Row;
pub(crate) use state::{AtLimit, Draw, TypeState};

use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};

use super::{Heap, Pool, Ptr, RawPool, Table};
use crate::addr::PAGE_SIZE;
use crate::error::OutOfMemory;
use crate::machine::{MAX_CPUS, Machine, Rank};
use crate::page::{Frames, State};
use crate::sync::{OwnerGuard, OwnerLock, SpinGuard, SpinLock};

crate::malloc_type!(pub M_ORPHANS, "orphans", "left behind by types that were detached");

/// One processor's rows by the number of their type.
type Directory = [AtomicPtr<Row>; NUMBERS];

/// What processors have that never used a type.
static EMPTY: Directory = [const { AtomicPtr::new((&raw const NO_ROW).cast_mut()) }; NUMBERS];

/// The row of what a processor has no row of: it has no credit, and none may stay with it, so it
/// refuses all and never changes.
static NO_ROW: Row = Row::none();

/// The types of one manager.
pub(crate) struct Types {
    lock: SpinLock,
    states: Table<TypeState>,
    directories: [AtomicPtr<Directory>; MAX_CPUS],
    /// Each processor is in its own while it changes a row outside of its magazines.
    slow: [OwnerLock; MAX_CPUS],
    rows: Pool<Row>,
}

/// A type in one manager.
#[derive(Clone, Copy)]
pub(crate) struct Attached {
    pub number: usize,
    pub state: Ptr<TypeState>,
}

impl Types {
    /// No type has been used.
    pub const fn new() -> Types {
        Types {
            lock: SpinLock::new(),
            states: Table::new(),
            directories: [const { AtomicPtr::new((&raw const EMPTY).cast_mut()) }; MAX_CPUS],
            slow: [const { OwnerLock::new() }; MAX_CPUS],
            rows: Pool::new(),
        }
    }

    /// The pool of rows, for figures and reclaim.
    pub fn pool(&self) -> &RawPool {
        self.rows.raw()
    }

    /// To be held by a pinned processor from looking up a row to changing it, where it holds none of
    /// its magazines.
    pub fn enter<'a, M: Machine>(&'a self, machine: &'a M, cpu: usize) -> OwnerGuard<'a, M> {
        self.slow[cpu % MAX_CPUS].enter(machine, Rank::Types)
    }

    /// Waits until nobody can be changing a row that he looked up before: after this, what was
    /// unhooked before is not changed any more. No lock is held.
    fn wait_out<M: Machine>(&self, machine: &M, heap: &Heap) {
        machine.heavy_fence();
        self.slow.iter().for_each(|slow| slow.wait_out(machine));
        heap.pools().iter().for_each(|pool| pool.wait_out(machine));
    }

    /// Takes the lock of types.
    pub(in crate::kmem) fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::Types)
    }

    /// A processor's row of the type with this number, if both were used before.
    #[inline(always)]
    pub fn row(&self, cpu: usize, number: usize) -> Option<Ptr<Row>> {
        let row = self.directory(cpu)[number % NUMBERS].load(Acquire);
        if core::ptr::eq(row, &NO_ROW) {
            None
        } else {
            Ptr::from_raw(row)
        }
    }

    /// The same row, or one that refuses all.
    #[inline(always)]
    pub fn row_or_none(&self, cpu: usize, number: usize) -> &Row {
        // SAFETY: entries point to `NO_ROW` or to rows, which stay as long as there are types (T3).
        unsafe { &*self.directory(cpu)[number % NUMBERS].load(Acquire) }
    }

    #[inline(always)]
    fn directory(&self, cpu: usize) -> &Directory {
        // SAFETY: it points to `EMPTY` or to a frame full of entries (T3).
        unsafe { &*self.directories[cpu % MAX_CPUS].load(Acquire) }
    }

    /// A type as this manager knows it, if it does already.
    #[inline]
    pub fn find(&self, ty: &'static MallocType) -> Option<Attached> {
        let number = numbers::of(ty);
        let state = self.states.get(number)?;
        state.is_of(ty).then_some(Attached { number, state })
    }

    /// The number whose pieces are freed under a type: its own, or that of the orphans if it is
    /// dynamic and has been detached.
    pub fn number_freed(&self, ty: &'static MallocType) -> usize {
        match self.find(ty) {
            None if section::place(ty).is_none() => numbers::of(&M_ORPHANS),
            _ => numbers::of(ty),
        }
    }

    /// A type as this manager knows it: a static one becomes known to it now.
    #[inline]
    pub fn get<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        ty: &'static MallocType,
    ) -> Result<Attached, TypeError> {
        if let Some(attached) = self.find(ty) {
            return Ok(attached);
        }
        let place = section::place(ty).ok_or(TypeError::NotAttached)?;
        let number = numbers::of(ty);
        if number != place + 1 {
            return Err(TypeError::TooMany);
        }
        let held = self.lock(machine);
        let state = self.state(machine, frames, number, &held)?;
        if !state.is_of(ty) {
            state.begin(ty);
        }
        Ok(Attached { number, state })
    }

    /// The state of a number, nobody's if it is new.
    fn state<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        number: usize,
        _held: &SpinGuard<'_, M>,
    ) -> Result<Ptr<TypeState>, TypeError> {
        loop {
            if let Some(state) = self.states.get(number) {
                return Ok(state);
            }
            let frame = || frames.alloc_page(machine, State::Kernel);
            self.states
                .grow(machine, frame, |_| TypeState::new())
                .map_err(|OutOfMemory| TypeError::OutOfMemory)?;
        }
    }

    /// Sees to it that a processor has a row of a type at hand, if there is memory for that.
    #[cold]
    pub fn hook<M: Machine>(&self, machine: &M, frames: &Frames, cpu: usize, of: Attached) {
        let held = self.lock(machine);
        if of.state.ty().is_none() || of.state.leaves() {
            return;
        }
        let Some(directory) = self.make_directory(machine, frames, cpu, &held) else {
            return;
        };
        let row = of.state.row(cpu).or_else(|| {
            let row = Row::new(cpu, of.state.cap());
            let row = self.rows.alloc(machine, frames, row).ok()?;
            of.state.add_row(row);
            Some(row)
        });
        if let Some(row) = row {
            directory[of.number].store(row.as_ptr(), Release);
        }
    }

    fn make_directory<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        cpu: usize,
        _held: &SpinGuard<'_, M>,
    ) -> Option<&Directory> {
        const { assert!(size_of::<Directory>() <= PAGE_SIZE) };
        if core::ptr::eq(self.directory(cpu), &EMPTY) {
            let frame = frames.alloc_page(machine, State::Kernel)?.frame();
            let directory = machine.frame_ptr(frame).cast::<Directory>();
            let empty = [const { AtomicPtr::new((&raw const NO_ROW).cast_mut()) }; NUMBERS];
            // SAFETY: a frame of ours, which has room for it.
            unsafe { directory.write(empty) };
            self.directories[cpu % MAX_CPUS].store(directory, Release);
        }
        Some(self.directory(cpu))
    }

    /// Whether memory of any type was ever allocated.
    pub fn were_used(&self) -> bool {
        self.known()
            .any(|(_, it)| it.state.sums().taken.iter().any(|&taken| taken != 0))
    }

    /// Takes all rows from all processors.
    pub fn unhook_all<M: Machine>(&self, machine: &M) {
        let held = self.lock(machine);
        (1..NUMBERS).for_each(|number| self.unhook(number, &held));
    }

    /// Takes the rows of a type from all processors: their next use of it looks for the type.
    fn unhook<M: Machine>(&self, number: usize, _held: &SpinGuard<'_, M>) {
        for cpu in 0..MAX_CPUS {
            let directory = self.directory(cpu);
            if !core::ptr::eq(directory, &EMPTY) {
                directory[number].store((&raw const NO_ROW).cast_mut(), Release);
            }
        }
    }

    /// The state of a number that is some type's.
    pub fn state_at(&self, number: usize) -> Option<Ptr<TypeState>> {
        self.states.get(number)
    }

    /// The types that are known here: static ones that were used, and those attached.
    pub fn known(&self) -> impl Iterator<Item = (&'static MallocType, Attached)> {
        (1..self.states.len()).filter_map(|number| {
            let state = self.states.get(number)?;
            Some((state.ty()?, Attached { number, state }))
        })
    }

    /// Panics where a type contradicts itself (T1 to T3). Nothing else may run meanwhile.
    pub fn check_invariants<M: Machine>(&self, machine: &M, frames: &Frames) {
        self.rows.check_invariants(machine, frames);
        let held = self.lock(machine);
        for number in 0..self.states.len() {
            let Some(state) = self.states.get(number) else {
                continue;
            };
            state.check_invariants(number);
            for cpu in 0..MAX_CPUS {
                let row = self.row(cpu, number);
                let good = row.is_none() || row == state.row(cpu) && state.ty().is_some();
                assert!(good, "T3: the row of type {number} on processor {cpu}");
            }
        }
        drop(held);
    }
}
