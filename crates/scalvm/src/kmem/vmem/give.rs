//! Freeing: into this processor's cache or into the arena, and what leaves the arena to its source.

use super::cache::BATCH;
use super::get::Import;
use super::{ArenaError, Body, Tag};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::vm::Vm;

impl Body {
    /// Frees a range that was allocated whole. Refuses anything else, and changes nothing then. No
    /// lock is held. Needs no memory.
    pub fn give<M: Machine>(
        &self,
        vm: &Vm<M>,
        source: Import<'_>,
        start: u64,
        size: u64,
    ) -> Result<(), ArenaError> {
        let size = self.round(size).map_err(|_| ArenaError::BadRange)?;
        let magazine = self.magazine_for(size);
        let quick = magazine.and_then(|n| Some((n, self.unclaim_quickly(start, size)?)));
        match quick {
            Some((n, tag)) => self.keep(vm, source, n, tag),
            None => {
                let held = self.lock(vm);
                let found = self.taken.find(start);
                let tag = found.filter(|tag| tag.size.get() == size && tag.take_back(start));
                let released = self.put(vm, tag.ok_or(ArenaError::BadRange)?, &held);
                drop(held);
                if let (Some((source, _)), Some(released)) = (source, released) {
                    source.give(released.start, released.size);
                }
            }
        }
        vm.arenas.wake(&vm.machine);
        Ok(())
    }

    /// The size of what was allocated at `start` and not freed since.
    pub fn size_at<M: Machine>(&self, vm: &Vm<M>, start: u64) -> Option<u64> {
        let _held = self.lock(vm);
        let tag = self.taken.find(start)?;
        (tag.claim() == start).then(|| tag.size.get())
    }

    /// Puts a segment that nobody claims into this processor's magazine, or else back into the arena.
    pub(super) fn keep<M: Machine>(&self, vm: &Vm<M>, source: Import<'_>, n: usize, tag: Ptr<Tag>) {
        let mut out = [None; BATCH];
        if !self.push_cached(vm, n, tag, &mut out) {
            self.put_back(vm, source, tag);
        }
        for tag in out.into_iter().flatten() {
            self.put_back(vm, source, tag);
        }
    }

    /// Puts a segment that nobody claims back into the arena, and gives a span back to the source
    /// that is not needed any more.
    fn put_back<M: Machine>(&self, vm: &Vm<M>, source: Import<'_>, tag: Ptr<Tag>) {
        let held = self.lock(vm);
        let released = self.put(vm, tag, &held);
        drop(held);
        if let (Some((source, _)), Some(released)) = (source, released) {
            source.give(released.start, released.size);
        }
    }

    /// Empties all caches into the arena; tells whether there was anything in them.
    pub(super) fn drain<M: Machine>(&self, vm: &Vm<M>, source: Import<'_>) -> bool {
        let mut any = false;
        while self.cached != 0
            && let Some(tag) = self.pop_any(vm)
        {
            self.put_back(vm, source, tag);
            any = true;
        }
        any
    }

    /// Empties all caches, and gives the span back that is free as a whole.
    pub fn reclaim<M: Machine>(&self, vm: &Vm<M>, source: Import<'_>) {
        self.drain(vm, source);
        let held = self.lock(vm);
        let released = self.release_idle(vm, &held);
        drop(held);
        if let (Some((source, _)), Some(released)) = (source, released) {
            source.give(released.start, released.size);
        }
    }
}
