//! Bringing a range in for a certain access.

use crate::addr::{Access, PAGE_SIZE};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::map::Map;
use crate::pmap::Pmap;
use crate::stats::Event;

/// Where populating a range ended before the range did, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfinished {
    /// The first address at which the access cannot be made; all below is done.
    pub at: usize,
    /// Why.
    pub error: FaultError,
}

impl<'v, M: Machine> Map<'v, M> {
    /// Brings in every page of a range as if each had been accessed so, as `madvise(MADV_POPULATE_READ)` and
    /// `MADV_POPULATE_WRITE` do. Ends at the first page where that fails. Blocks for I/O. Nothing keeps the pages in: see [`wire`](Map::wire).
    pub fn populate_for(&self, start: usize, len: usize, access: Access) -> Result<(), Unfinished> {
        let stop = |at, error| Err(Unfinished { at, error });
        let Ok(end) = self.range(start, len) else {
            return stop(start, FaultError::NoMapping);
        };
        let vm = self.vm;
        for at in (start..end).step_by(PAGE_SIZE) {
            let here = self.body.pmap.query(&vm.machine, at);
            if here.is_some_and(|mapping| mapping.prot.contains(access.needs())) {
                continue;
            }
            if let Err(error) = self.fault_wait(at, access) {
                return stop(at, error);
            }
            vm.count(Event::Populate);
        }
        Ok(())
    }
}
