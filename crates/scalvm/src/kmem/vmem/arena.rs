//! [`Arena`]: the face.

use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{AcqRel, Acquire};

use super::cache::SIZES;
use super::get::{Import, Wish};
use super::{ArenaError, ArenaStats, Body, Constraints, Fit, Source};
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::vm::Vm;

/// Numbers to be handed out: a set of spans, from which ranges are allocated and to which they are
/// freed again. A static, as a rule:
///
/// ```ignore
/// static IDS: Arena<'static, Hardware> = Arena::new(&VM, "id", 1);
/// IDS.add_span(1, 32_767)?;
/// let id = IDS.alloc(1, Fit::Next)?;
/// ```
///
/// All may be called from several threads at once. Only what says so blocks. After Bonwick and Adams
/// 2001; the names are theirs where they have one.
///
/// Dropping an arena gives what it imported back to its source and forgets what was allocated.
pub struct Arena<'v, M: Machine> {
    vm: &'v Vm<M>,
    name: &'static str,
    quantum: u64,
    cached: usize,
    source: Import<'v>,
    /// Null before the first span.
    body: AtomicPtr<Body>,
}

impl<'v, M: Machine> Arena<'v, M> {
    /// An arena without spans. Sizes are rounded up to multiples of `quantum`, and spans consist of
    /// whole ones; zero is taken for one.
    pub const fn new(vm: &'v Vm<M>, name: &'static str, quantum: u64) -> Arena<'v, M> {
        Arena {
            vm,
            name,
            quantum: if quantum == 0 { 1 } else { quantum },
            cached: 0,
            source: None,
            body: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    /// The same, but what it lacks it imports from `source`, at least `batch` numbers at a time if
    /// the source has so many. A span that is wholly free again goes back, but for the last one: that
    /// stays until [`reclaim`](Arena::reclaim).
    pub const fn importing(mut self, source: &'v dyn Source, batch: u64) -> Arena<'v, M> {
        self.source = Some((source, batch));
        self
    }

    /// The same, but ranges of up to so many quanta, at most 16, are kept at hand for each processor
    /// when they are freed. Allocations with constraints and those of [`Fit::Next`] are not served
    /// from there.
    pub const fn caching(mut self, quanta: usize) -> Arena<'v, M> {
        self.cached = if quanta < SIZES { quanta } else { SIZES };
        self
    }

    /// Adds the range of so many numbers from `start` on, of whole quanta, which overlaps no span.
    /// All spans together have less than 2^64 numbers.
    pub fn add_span(&self, start: u64, size: u64) -> Result<(), ArenaError> {
        let added = self.body()?.add_span(self.vm, start, size);
        self.vm.arenas.wake(&self.vm.machine);
        added
    }

    /// Allocates a range of so many numbers, and tells the first. Does not block, as long as the
    /// source does not.
    pub fn alloc(&self, size: u64, fit: Fit) -> Result<u64, ArenaError> {
        self.get(size, None, fit)
    }

    /// The same with constraints. Nothing is imported where `min` or `max` are given, since what
    /// would come cannot be told.
    pub fn alloc_within(
        &self,
        size: u64,
        within: &Constraints,
        fit: Fit,
    ) -> Result<u64, ArenaError> {
        self.get(size, Some(within), fit)
    }

    /// Allocates; blocks while the arena is full, until something is freed in this arena or in any
    /// other, and while memory for records is short, as long as some can be freed. Holds no lock
    /// meanwhile. [`ArenaError::Full`] only if the arena has no source and less than `size` numbers
    /// in all: so one whose caller can never be served otherwise sleeps for ever.
    pub fn alloc_wait(&self, size: u64, within: &Constraints, fit: Fit) -> Result<u64, ArenaError> {
        let within = (*within != Constraints::NONE).then_some(within);
        let (vm, attempt) = (self.vm, || self.get(size, within, fit));
        // An arena that imports may have more one day than it has now.
        let least = if self.source.is_none() { size } else { 0 };
        let short = |error: &ArenaError| *error == ArenaError::OutOfMemory;
        let body = vm.with_room(|| self.body().map_err(ArenaError::from), short)?;
        body.target().wait_for(vm, least, attempt)
    }

    /// Frees a range, which was allocated here with this size: whole, and once. Anything else is
    /// refused as [`ArenaError::BadRange`], and nothing changes. Does not block, needs no memory.
    pub fn free(&self, start: u64, size: u64) -> Result<(), ArenaError> {
        match self.known() {
            Some(body) => body.give(self.vm, self.source, start, size),
            None => Err(ArenaError::BadRange),
        }
    }

    /// The size, in whole quanta, of the range that was allocated at `start` and not freed since.
    pub fn size_at(&self, start: u64) -> Option<u64> {
        self.known()?.size_at(self.vm, start)
    }

    /// Empties the caches of all processors, and gives the imported span back that is not in use.
    /// Where memory or the source's numbers are short.
    pub fn reclaim(&self) {
        if let Some(body) = self.known() {
            body.reclaim(self.vm, self.source);
        }
    }

    /// What it holds and has done.
    pub fn stats(&self) -> ArenaStats {
        match self.known() {
            Some(body) => body.stats(self.vm),
            None => ArenaStats {
                name: self.name,
                quantum: self.quantum,
                ..ArenaStats::default()
            },
        }
    }

    fn get(&self, size: u64, within: Option<&Constraints>, fit: Fit) -> Result<u64, ArenaError> {
        let wish = Wish { size, within, fit };
        self.body()?.get(self.vm, self.source, wish)
    }

    /// What the arena is made of, if it has been made.
    fn known(&self) -> Option<&Body> {
        Ptr::from_raw(self.body.load(Acquire)).map(Ptr::target)
    }

    /// The same, made now if need be.
    fn body(&self) -> Result<Ptr<Body>, OutOfMemory> {
        if let Some(body) = Ptr::from_raw(self.body.load(Acquire)) {
            return Ok(body);
        }
        let new = Body::make(self.vm, self.name, self.quantum, self.cached)?;
        let null = core::ptr::null_mut();
        let placed = self
            .body
            .compare_exchange(null, new.as_ptr(), AcqRel, Acquire);
        if let Err(other) = placed {
            Body::unmake(self.vm, new, |_, _| ());
            return Ptr::from_raw(other).ok_or(OutOfMemory);
        }
        Ok(new)
    }
}

impl<M: Machine> Drop for Arena<'_, M> {
    fn drop(&mut self) {
        if let Some(body) = Ptr::from_raw(*self.body.get_mut()) {
            Body::unmake(self.vm, body, |start, size| {
                if let Some((source, _)) = self.source {
                    source.give(start, size);
                }
            });
        }
    }
}
