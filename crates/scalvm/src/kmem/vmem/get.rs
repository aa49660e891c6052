//! Allocating: from this processor's cache, from the arena, and in the end from its source.

use core::sync::atomic::Ordering::Relaxed;

use super::cache::BATCH;
use super::constraints::Within;
use super::{ArenaError, Body, Constraints, Fit, Source, Spares, Tag};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::vm::Vm;

/// What is asked of an arena.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub size: u64,
    pub within: Option<&'a Constraints>,
    pub fit: Fit,
}

/// Where an arena imports from, and how much at least.
pub(crate) type Import<'a> = Option<(&'a dyn Source, u64)>;

impl Body {
    /// Allocates: the first number. No lock is held. An allocation without constraints that is not
    /// to be the next one may come from a cache.
    pub fn get<M: Machine>(
        &self,
        vm: &Vm<M>,
        source: Import<'_>,
        wish: Wish<'_>,
    ) -> Result<u64, ArenaError> {
        let size = self.round(wish.size)?;
        let within = wish
            .within
            .map(|within| Within::new(within, size, self.quantum));
        let within = within.transpose()?;
        let within = within.as_ref();
        let magazine = match (within, wish.fit) {
            (None, Fit::Instant | Fit::Best) => self.magazine_for(size),
            _ => None,
        };
        if let Some(tag) = magazine.and_then(|n| self.pop_cached(vm, n)) {
            return Ok(tag.give_out());
        }
        let mut taken = self.take_anywhere(vm, source, size, within, wish.fit);
        if taken == Err(ArenaError::Full) && self.drain(vm, source) {
            taken = self.take_anywhere(vm, source, size, within, wish.fit);
        }
        match (taken, magazine) {
            (Ok(_), Some(n)) => self.refill(vm, source, n, size),
            (Err(_), _) => {
                self.fails.fetch_add(1, Relaxed);
            }
            _ => {}
        }
        taken.inspect(|_| {
            self.allocs.fetch_add(1, Relaxed);
        })
    }

    /// Tries again and again, sleeping while it is full, making room while memory is short, for as long
    /// as the arena has `least` numbers in all. No lock is held.
    pub fn wait_for<M: Machine, T>(
        &self,
        vm: &Vm<M>,
        least: u64,
        mut attempt: impl FnMut() -> Result<T, ArenaError>,
    ) -> Result<T, ArenaError> {
        let short = |error: &ArenaError| *error == ArenaError::OutOfMemory;
        match vm.with_room(&mut attempt, short) {
            Err(ArenaError::Full) if least <= self.total.get() => {}
            done => return done,
        }
        self.waits.fetch_add(1, Relaxed);
        vm.arenas
            .wait(&vm.machine, || match vm.with_room(&mut attempt, short) {
                Err(ArenaError::Full) => None,
                done => Some(done),
            })
    }

    /// Puts a few segments into this processor's magazine, as far as there are some, and there is
    /// memory for their tags.
    fn refill<M: Machine>(&self, vm: &Vm<M>, source: Import<'_>, n: usize, size: u64) {
        let mut few = [None; BATCH];
        let held = self.lock(vm);
        for place in &mut few {
            match self.take(vm, size, None, Fit::Instant, &held) {
                Ok(tag) => *place = Some(tag),
                Err(_) => break,
            }
        }
        drop(held);
        for tag in few.into_iter().flatten() {
            self.keep(vm, source, n, tag);
        }
    }

    /// Takes a segment from what there is, or from what can be imported.
    fn take_anywhere<M: Machine>(
        &self,
        vm: &Vm<M>,
        source: Import<'_>,
        size: u64,
        within: Option<&Within>,
        fit: Fit,
    ) -> Result<u64, ArenaError> {
        let held = self.lock(vm);
        let taken = self.take(vm, size, within, fit, &held);
        let taken = taken.map(|tag| tag.give_out());
        drop(held);
        match (taken, source) {
            (Err(ArenaError::Full), Some(source)) => self
                .take_from_source(vm, source, size, within)
                .map(|tag| tag.give_out()),
            (taken, _) => taken,
        }
    }

    /// Imports a span that is large enough, and takes the segment from it.
    fn take_from_source<M: Machine>(
        &self,
        vm: &Vm<M>,
        (source, batch): (&dyn Source, u64),
        size: u64,
        within: Option<&Within>,
    ) -> Result<Ptr<Tag>, ArenaError> {
        let least = match within {
            None => size,
            Some(within) if within.may_import() => within
                .generous(size, self.quantum)
                .and_then(|least| least.checked_next_multiple_of(self.quantum))
                .ok_or(ArenaError::Full)?,
            Some(_) => return Err(ArenaError::Full),
        };
        let spares = Spares::new(vm)?;
        let more = self.round(least.max(batch)).unwrap_or(least);
        let mut span = source.take(more).map(|start| (start, more));
        if span.is_err() && more != least {
            span = source.take(least).map(|start| (start, least));
        }
        let span = match span {
            Ok(span) => span,
            Err(error) => {
                spares.free(vm);
                return Err(error);
            }
        };
        let held = self.lock(vm);
        let taken = self.import(vm, span, size, within, spares, &held);
        drop(held);
        taken.map_err(|_| {
            source.give(span.0, span.1);
            ArenaError::Full
        })
    }
}
