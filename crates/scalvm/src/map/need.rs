//! Beginning to bring in what will be needed.

use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;

impl<'v, M: Machine> Map<'v, M> {
    /// Begins to bring in what the range maps and is not in memory: pages of files, and pages that were
    /// put back, as `madvise(MADV_WILLNEED)` does. Nothing is entered in the page tables. Does not
    /// wait, as long as the [`Pager`](crate::Pager) does not; gives up silently when memory is short.
    /// `NotMapped` if there was a hole; the rest is brought in all the same.
    pub fn will_need(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        self.each_part_unlocked(start..end, |part| {
            if let Some(object) = part.object {
                self.vm.bring_range(object, part.first, part.last);
            }
        })
    }
}
