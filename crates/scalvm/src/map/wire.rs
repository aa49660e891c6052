//! Bringing a range in ahead of use, and keeping it in.

use crate::addr::{Access, PAGE_SIZE, Prot};
use crate::error::{FaultError, MapError};
use crate::machine::Machine;
use crate::map::{Attributes, Map};
use crate::pmap::Pmap;
use crate::request::Share;

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
            let access = if region.prot.contains(Prot::WRITE) && region.share == Share::Private {
                Access::Write
            } else if region.prot.contains(Prot::READ) {
                Access::Read
            } else if region.prot.contains(Prot::EXEC) {
                Access::Exec
            } else {
                at = region.end;
                continue;
            };
            let stop = region.end.min(end);
            while at < stop {
                let here = self.body.pmap.query(&self.vm.machine, at);
                if !here.is_some_and(|m| m.prot.contains(access.needs())) {
                    self.fault_wait(at, access)?;
                }
                at += PAGE_SIZE;
            }
        }
        Ok(())
    }

    /// Brings a range in and marks it wired, as mlock(2) does. If a page cannot be brought, nothing
    /// is marked. Blocks for I/O.
    pub fn wire(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let mut at = start;
        while at < end {
            let region = self.query(at).filter(|region| region.start <= at);
            at = region.ok_or(MapError::NotMapped)?.end;
        }
        self.populate(start, len).map_err(|error| match error {
            FaultError::BeyondEnd => MapError::BeyondEnd,
            FaultError::Pager(error) => MapError::Pager(error),
            FaultError::NoMapping | FaultError::Protection => MapError::NotMapped,
            FaultError::OutOfMemory => MapError::OutOfMemory,
        })?;
        self.change(
            start,
            len,
            |_| Ok(()),
            |old| Attributes { wired: true, ..old },
        )?;
        // What has left between the two stays out no longer: it is wired now.
        self.populate(start, len).map_err(|error| match error {
            FaultError::Pager(error) => MapError::Pager(error),
            _ => MapError::OutOfMemory,
        })
    }

    /// Takes the marks back, however often the range was wired.
    pub fn unwire(&self, start: usize, len: usize) -> Result<(), MapError> {
        self.change(
            start,
            len,
            |_| Ok(()),
            |old| Attributes {
                wired: false,
                ..old
            },
        )?;
        self.vm.unwired();
        Ok(())
    }
}
