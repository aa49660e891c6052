//! Unmapping, and the clipping of entries that most changes begin with.

use core::ops::Range;
use core::sync::atomic::Ordering::SeqCst;

use crate::error::{MapError, OutOfMemory};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Map, MapEntry, MapWrite};
use crate::pmap::{Mapping, Pmap};
use crate::vm::Vm;

/// Entries set aside for the two splits that a change of a range may need.
pub(crate) struct Spares<M: Machine> {
    lower: Option<Ptr<MapEntry<M>>>,
    upper: Option<Ptr<MapEntry<M>>>,
}

impl<M: Machine> Spares<M> {
    /// Frees what was set aside and is not needed.
    pub(crate) fn give_back(self, vm: &Vm<M>) {
        for entry in [self.lower, self.upper].into_iter().flatten() {
            vm.entries.free(&vm.machine, &vm.frames, entry);
        }
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// Unmaps a range; what is not mapped in it does not matter, as in munmap(2). Where any of it is
    /// sealed, all of it stays. Blocks for no I/O.
    pub fn unmap(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let map = self.body.write(self.vm);
        map.map.unsealed(start, end)?;
        let spares = map.reserve_clips(self.vm, start, end)?;
        map.clip(self.vm, start, end, spares);
        map.remove(self.vm, start, end);
        Ok(())
    }

    /// Unmaps everything.
    pub fn clear(&self) {
        let map = self.body.write(self.vm);
        if self.body.tree.first().is_none() {
            return;
        }
        map.unmap_pages(self.vm, self.body.low..self.body.high);
        let mut next = self.body.tree.take_all();
        while let Some(entry) = next {
            next = Tree::next(entry);
            map.detach(self.vm, entry);
        }
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Sets entries aside for splits at the ends of a range.
    pub(crate) fn reserve_clips(
        &self,
        vm: &Vm<M>,
        start: usize,
        end: usize,
    ) -> Result<Spares<M>, OutOfMemory> {
        let spare_at = |at: usize| match self.map.tree.find(at) {
            Some(entry) if entry.start.get() < at => vm.spare_entry(entry).map(Some),
            _ => Ok(None),
        };
        let mut spares = Spares {
            lower: spare_at(start)?,
            upper: None,
        };
        match spare_at(end) {
            Ok(upper) => spares.upper = upper,
            Err(error) => {
                spares.give_back(vm);
                return Err(error);
            }
        }
        Ok(spares)
    }

    /// Splits entries so that none crosses an end of the range.
    pub(super) fn clip(&self, vm: &Vm<M>, start: usize, end: usize, spares: Spares<M>) {
        for (at, spare) in [(start, spares.lower), (end, spares.upper)] {
            let Some(spare) = spare else { continue };
            match self.map.tree.find(at) {
                Some(entry) if entry.start.get() < at => self.split(vm, entry, at, spare),
                // Another change of the same call has made an end here already.
                _ => vm.entries.free(&vm.machine, &vm.frames, spare),
            }
        }
    }

    /// Removes all entries of a range whose ends none crosses.
    pub(super) fn remove(&self, vm: &Vm<M>, start: usize, end: usize) {
        let mut next = self.map.tree.at_or_above(start);
        if next.is_none_or(|entry| entry.start.get() >= end) {
            return;
        }
        self.unmap_pages(vm, start..end);
        while let Some(entry) = next {
            if entry.start.get() >= end {
                break;
            }
            next = Tree::next(entry);
            vm.wipe_entry(entry);
            self.unlink(vm, entry);
        }
    }

    /// Removes a range from the page tables, and flushes. No object is locked, so the page daemon is
    /// told that it cannot trust what it finds unmapped (S5).
    pub(super) fn unmap_pages(&self, vm: &Vm<M>, range: Range<usize>) {
        self.map.removing.store(true, SeqCst);
        vm.unmap_range(self.map, range);
        self.map.removing.store(false, SeqCst);
    }
}

impl<M: Machine> Vm<M> {
    /// Removes a range from the page tables of a map, and flushes. Either the map is locked for
    /// writing, or the object that is mapped there is locked.
    pub(crate) fn unmap_range(&self, map: Ptr<crate::map::MapBody<M>>, range: Range<usize>) {
        map.note_peak();
        let debt = map
            .pmap
            .remove(&self.machine, self, range, |gone| self.unmapped(gone));
        self.pay(debt, &map.target().pmap);
    }

    /// Notes that a mapping is gone: its page has one less, and what the MMU saw of it is kept.
    #[inline]
    pub(crate) fn unmapped(&self, gone: Mapping) {
        if let Some(page) = self.page_of(&gone) {
            if gone.accessed && page.test_flags(crate::page::AHEAD) != 0 {
                self.ahead_used(&page);
            }
            if gone.dirty {
                page.set_flags(crate::page::DIRTY);
            }
            page.unmapped();
        }
    }

    /// Lets go of the pages that a private entry has to itself, before it is unlinked (O3).
    fn wipe_entry(&self, entry: Ptr<MapEntry<M>>) {
        let Some(object) = entry.object.get() else {
            return;
        };
        if !object.exclusive.get() || object.refs() == 1 {
            return;
        }
        let guard = object.lock(self);
        let first = entry.offset.get();
        let wiped = self.wipe_range(&guard, first, entry.pages() as u64);
        if wiped.is_err() {
            object.growable.set(false);
        }
    }
}
