//! Bringing a range in ahead of use.

use crate::addr::{Access, PAGE_SIZE, Prot};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::map::Map;
use crate::pmap::Pmap;
use crate::request::{Region, Share};
use crate::stats::Event;

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
    /// written is written. Blocks for I/O. Pages that nothing may touch are left alone.
    pub fn populate(&self, start: usize, len: usize) -> Result<(), FaultError> {
        let end = self.range(start, len).map_err(|_| FaultError::NoMapping)?;
        let mut at = start;
        while at < end {
            let region = self
                .query(at)
                .filter(|r| r.start <= at)
                .ok_or(FaultError::NoMapping)?;
            let stop = region.end.min(end);
            if let Some(access) = touch(&region) {
                self.touch_all(at, stop, access)?;
            }
            at = stop;
        }
        Ok(())
    }

    pub(super) fn touch_all(
        &self,
        start: usize,
        end: usize,
        access: Access,
    ) -> Result<(), FaultError> {
        (start..end)
            .step_by(PAGE_SIZE)
            .try_for_each(|at| self.touch_page(at, access).map(drop))
    }

    /// Accesses a page; tells whether it had to be brought in, or made accessible like that.
    fn touch_page(&self, at: usize, access: Access) -> Result<bool, FaultError> {
        let here = self.body.pmap.query(&self.vm.machine, at);
        if here.is_some_and(|mapping| mapping.prot.contains(access.needs())) {
            return Ok(false);
        }
        self.fault_wait(at, access).map(|()| true)
    }

    /// Brings in every page of a range as if each had been accessed so, as `madvise(MADV_POPULATE_READ)` and
    /// `MADV_POPULATE_WRITE` do. Ends at the first page where that fails. Blocks for I/O. Nothing keeps the pages in: see [`wire`](Map::wire).
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
