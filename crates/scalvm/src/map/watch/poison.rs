//! Poison: pages that are lost, since whoever had them elsewhere has lost them.

use core::cell::Cell;

use crate::addr::{PAGE_MASK, PAGE_SIZE};
use crate::error::{MapError, ServeError};
use crate::fault::watched_entry;
use crate::machine::Machine;
use crate::map::{Attributes, Map, MapBody};
use crate::pmap::Pmap;

impl<'v, M: Machine> Map<'v, M> {
    /// Makes a page of a watched range, which does not exist or is not mapped, one that cannot be accessed:
    /// [`Fault::Poisoned`](crate::Fault::Poisoned). Whoever else has the page of an object has it still.
    /// [`place`](Map::place), [`show`](Map::show), [`discard`](Map::discard), [`free`](Map::free) and unmapping
    /// end that; the end of watching does not, nor that of what is mapped. A child's private memory is poisoned where its parent's is.
    /// Who waits for the page must be woken. On failure nothing has changed.
    pub fn poison(&self, addr: usize) -> Result<(), ServeError> {
        if addr & PAGE_MASK != 0 {
            return Err(ServeError::NotWatched);
        }
        let vm = self.vm;
        let map = self.body.write(vm);
        let (entry, attributes) = watched_entry(map.map.tree.find(addr), false)?;
        if attributes.poisoned {
            return Err(ServeError::Present);
        }
        if let Some(object) = entry.object.get() {
            let index = entry.index_of(addr);
            let _object = object.lock(vm);
            if !object.under.unwrap_or(object).has_page(index) {
                return Err(ServeError::BeyondEnd);
            }
            if object.private && object.has_anon(index) {
                return Err(ServeError::Present);
            }
        }
        if map.map.pmap.query(&vm.machine, addr).is_some() {
            return Err(ServeError::Present);
        }
        let spares = map.reserve_clips(vm, addr, addr + PAGE_SIZE)?;
        map.change_page(vm, addr, spares, |old| Attributes {
            poisoned: true,
            ..old
        });
        Ok(())
    }

    /// Ends that in a range whose contents were dropped, if there is anything, and passes on how dropping
    /// them ended. Where memory was too short for it nothing is ended either.
    pub(in crate::map) fn cure(
        &self,
        start: usize,
        end: usize,
        poisoned: bool,
        dropped: Result<(), MapError>,
    ) -> Result<(), MapError> {
        if poisoned && dropped != Err(MapError::OutOfMemory) {
            let map = self.body.write(self.vm);
            map.rewatch(self.vm, start, end, |old| Attributes {
                poisoned: false,
                ..old
            })?;
        }
        dropped
    }
}

impl<M: Machine> MapBody<M> {
    /// Whether contents of a range may be given up: no seal keeps them. Tells whether any are poisoned. The
    /// map is locked.
    pub(in crate::map) fn may_discard(&self, start: usize, end: usize) -> Result<bool, MapError> {
        let poisoned = Cell::new(false);
        self.none_in(start, end, |attributes| {
            poisoned.set(poisoned.get() | attributes.poisoned);
            attributes.keeps_contents()
        })?;
        Ok(poisoned.get())
    }
}
