//! Giving up a part of an object's contents.

use core::ops::Range;

use crate::addr::{Access, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::object::{Kind, MOST_BYTES, Object};

impl<M: Machine> Object<'_, M> {
    /// Gives up what a range of bytes holds, as fallocate(2) does to punch a hole: it reads as zeros
    /// again, through every mapping that has no private copy; the size stays. What lies beyond the
    /// end does not matter. Whole pages are freed, the parts of others zeroed. Anonymous objects
    /// alone: others end in [`FaultError::BeyondEnd`], and what is [kept](Object::keep_contents) in
    /// [`FaultError::Protection`]. Blocks only where a page that is zeroed in
    /// part must be brought back. On failure the parts at the ends may have been zeroed, and no more.
    pub fn punch(&self, offset: u64, len: u64) -> Result<(), FaultError> {
        if !matches!(self.body.kind, Kind::Anonymous) {
            return Err(FaultError::BeyondEnd);
        }
        if self.body.kept.get() {
            return Err(FaultError::Protection);
        }
        let page = PAGE_SIZE as u64;
        let end = offset.saturating_add(len).min(MOST_BYTES);
        let (first, last) = (offset.div_ceil(page), end / page);
        if first > last {
            return self.clear_part(offset..end);
        }
        self.clear_part(offset..(first * page).min(end))?;
        self.clear_part(last * page..end)?;
        let guard = self.body.lock(self.vm);
        Ok(self.vm.forget_range(&guard, first as u32, last - first)?)
    }

    /// Refuses from now on that holes are punched: what is sealed against writing stays.
    pub fn keep_contents(&self) {
        let _guard = self.body.lock(self.vm);
        self.body.kept.set(true);
    }

    /// Zeroes bytes of one page, if it was ever written.
    fn clear_part(&self, bytes: Range<u64>) -> Result<(), FaultError> {
        let index = bytes.start >> PAGE_SHIFT;
        let guard = self.body.lock(self.vm);
        let amap = self.body.amap.get();
        let written = amap.is_some_and(|amap| amap.anon(index as u32).is_some());
        drop(guard);
        if bytes.is_empty() || !written {
            return Ok(());
        }
        match self.hold(index, Access::Write) {
            Ok(held) => {
                let from = bytes.start as usize & PAGE_MASK;
                let part = from..from + (bytes.end - bytes.start) as usize;
                self.vm.frames.clear(&self.vm.machine, held.frame(), part);
                Ok(())
            }
            // It was truncated meanwhile.
            Err(FaultError::BeyondEnd) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
