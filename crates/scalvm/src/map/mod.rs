//! Address spaces: [`Map`], and one file for each thing that can be done to one.

mod body;
mod change;
mod cool;
mod discard;
mod enter;
mod entry;
mod extract;
mod force;
mod grow;
mod guard;
mod inspect;
pub(crate) mod large;
pub(crate) mod limit;
mod need;
mod page_out;
mod parts;
mod passing;
mod populate;
mod private;
mod query;
mod remap;
pub(crate) mod rules;
mod seal;
mod sync;
mod tag;
mod transfer;
pub(crate) mod tree;
mod trim;
mod unmap;
mod watch;
mod wire;

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{PAGE_MASK, PAGE_SIZE, page_ceil};
use crate::error::{MapError, OutOfMemory};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::pmap::Pmap;
use crate::vm::Vm;

pub(crate) use body::{MapBody, MapWrite};
pub use cool::Which;
pub(crate) use entry::{Attributes, InObject, MapEntry};
pub use inspect::{PageInfo, PagePlace};
pub use limit::{MapInfo, ResidentInfo};
pub use passing::{Extract, Passing};
pub use populate::Unfinished;
pub use private::PrivatePages;
pub use rules::MapLimits;
pub use watch::{Watch, WatchEvents};

/// An address space. Dropping it unmaps everything and frees its page tables; no processor may have
/// it active then.
///
/// All operations may be called from several threads at once. Those that change entries exclude
/// each other and faults; faults run in parallel.
pub struct Map<'v, M: Machine> {
    pub(crate) vm: &'v Vm<M>,
    pub(crate) body: Ptr<MapBody<M>>,
}

impl<M: Machine> Vm<M> {
    /// An empty address space for addresses from `low` to `high`, exclusive; both are rounded to
    /// whole pages, inwards.
    pub fn new_map(&self, low: usize, high: usize) -> Result<Map<'_, M>, OutOfMemory> {
        let low = page_ceil(low).unwrap_or(usize::MAX & !PAGE_MASK);
        let high = (high & !PAGE_MASK).max(low);
        let pmap = M::Pmap::new(&self.machine, self)?;
        self.map_with(pmap, low, high, self.guard_gap.load(Relaxed))
    }

    /// An empty address space with these page tables, from one page to another, with so many bytes
    /// kept free below what grows. They end if there is no memory for it.
    pub(crate) fn map_with(
        &self,
        pmap: M::Pmap,
        low: usize,
        high: usize,
        guard: usize,
    ) -> Result<Map<'_, M>, OutOfMemory> {
        let body = MapBody::new(pmap, low, high, guard, self.new_id());
        match self.maps.try_alloc(&self.machine, &self.frames, body) {
            Ok(body) => {
                self.spaces.join(&self.machine, body);
                Ok(Map { vm: self, body })
            }
            Err(mut body) => {
                body.pmap.destroy(&self.machine, self);
                Err(OutOfMemory)
            }
        }
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// The manager that the map belongs to.
    pub fn vm(&self) -> &'v Vm<M> {
        self.vm
    }

    /// The page tables. For tests and tools: what is changed there directly, the map does not know.
    pub fn pmap(&self) -> &M::Pmap {
        &self.body.target().pmap
    }

    /// Makes this the address space of the processor that calls.
    pub fn activate(&self) {
        self.body.pmap.activate(&self.vm.machine);
    }

    /// Tells that the processor that calls has left this address space.
    pub fn deactivate(&self) {
        self.body.pmap.deactivate(&self.vm.machine);
    }

    /// Checks a range and gives its end.
    pub(crate) fn range(&self, start: usize, len: usize) -> Result<usize, MapError> {
        let len = page_ceil(len).ok_or(MapError::BadRange)?;
        let end = start.checked_add(len).ok_or(MapError::BadRange)?;
        let inside = start >= self.body.low && end <= self.body.high;
        if start & PAGE_MASK != 0 || len < PAGE_SIZE || !inside {
            return Err(MapError::BadRange);
        }
        Ok(end)
    }
}

impl<M: Machine> Drop for Map<'_, M> {
    fn drop(&mut self) {
        self.vm.spaces.leave(&self.vm.machine, self.body);
        // This locks the map for writing, so nobody who found it in the list is in it still (L1).
        self.clear();
        let mut body = self
            .vm
            .maps
            .take(&self.vm.machine, &self.vm.frames, self.body);
        body.pmap.destroy(&self.vm.machine, self.vm);
    }
}
