//! Bringing a range in ahead of use.

use crate::addr::{Access, PAGE_SHIFT, PAGE_SIZE, Prot};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::map::Map;
use crate::pmap::Pmap;
use crate::request::{Region, Share};
use crate::stats::Event;

/// Pages between two pauses (arbitrary: some microseconds each, with a page of zeros in each).
const PAUSE: usize = 64;

/// Where populating a range ended before the range did, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfinished {
    /// The first address at which the access cannot be made; all below is done.
    pub at: usize,
    /// Why.
    pub error: FaultError,
}

/// How pages of a region are brought in, as if they had been touched: private memory that can be
/// written is written. None if nothing may touch them.
pub(super) fn touch(region: &Region) -> Option<Access> {
    if region.guarded {
        None
    } else if region.prot.contains(Prot::WRITE) && region.share == Share::Private {
        Some(Access::Write)
    } else if region.prot.contains(Prot::READ) {
        Some(Access::Read)
    } else {
        region.prot.contains(Prot::EXEC).then_some(Access::Exec)
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// Brings in every page of a range, as if it had been touched: private memory that can be
    /// written is written. Ends at the first page where that fails; pages that nothing may touch are left
    /// alone. Blocks for I/O. Whoever tries again begins where it ended: where memory is short, what was brought in
    /// may have left.
    pub fn populate(&self, start: usize, len: usize) -> Result<(), Unfinished> {
        let stop = |at| move |error| Unfinished { at, error };
        let Ok(end) = self.range(start, len) else {
            return Err(stop(start)(FaultError::NoMapping));
        };
        let mut at = start;
        while at < end {
            let region = self.query(at).filter(|region| region.start <= at);
            let region = region.ok_or(FaultError::NoMapping).map_err(stop(at))?;
            let next = region.end.min(end);
            if let Some(access) = touch(&region) {
                for page in (at..next).step_by(PAGE_SIZE) {
                    self.touch_page(page, access).map_err(stop(page))?;
                }
            }
            at = next;
        }
        Ok(())
    }

    /// Accesses a page; tells whether it had to be brought in, or made accessible like that. Whoever has many to bring in
    /// pauses here now and then.
    pub(super) fn touch_page(&self, at: usize, access: Access) -> Result<bool, FaultError> {
        if (at >> PAGE_SHIFT).is_multiple_of(PAUSE) {
            self.vm.machine.pause();
        }
        let here = self.body.pmap.query(&self.vm.machine, at);
        if here.is_some_and(|mapping| mapping.prot.contains(access.needs())) {
            return Ok(false);
        }
        self.fault_wait(at, access).map(|()| true)
    }

    /// Brings in every page of a range as if each had been accessed so, as `madvise(MADV_POPULATE_READ)` and
    /// `MADV_POPULATE_WRITE` do. Ends at the first page where that fails, from where to try again. Blocks for I/O. Nothing keeps the pages in: see [`wire`](Map::wire).
    pub fn populate_for(&self, start: usize, len: usize, access: Access) -> Result<(), Unfinished> {
        let stop = |at, error| Err(Unfinished { at, error });
        let Ok(end) = self.range(start, len) else {
            return stop(start, FaultError::NoMapping);
        };
        for at in (start..end).step_by(PAGE_SIZE) {
            match self.touch_page(at, access) {
                Ok(true) => self.vm.count(Event::Populate),
                Ok(false) => {}
                Err(error) => return stop(at, error),
            }
        }
        Ok(())
    }
}
