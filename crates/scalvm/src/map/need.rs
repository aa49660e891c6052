//! Beginning to bring in what will be needed.

use crate::addr::PAGE_SHIFT;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;

impl<'v, M: Machine> Map<'v, M> {
    /// Begins to bring in what the range maps and is not in memory: pages of files, and pages that were
    /// put back, as `madvise(MADV_WILLNEED)` does. Nothing is entered in the page tables. Does not
    /// wait, as long as the [`Vnode`](crate::Vnode) does not; gives up silently when memory is short.
    /// `NotMapped` if there was a hole; the rest is brought in all the same.
    pub fn will_need(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let (mut at, mut result) = (start, Ok(()));
        while at < end {
            let map = self.body.read(self.vm);
            let Some(entry) = map.map.tree.at_or_above(at).filter(|e| e.start.get() < end) else {
                return Err(MapError::NotMapped);
            };
            if entry.start.get() > at {
                result = Err(MapError::NotMapped);
                at = entry.start.get();
            }
            let stop = entry.end.get().min(end);
            let object = entry.object.get().inspect(|object| object.retain());
            let first = entry.index_of(at);
            let last = first.wrapping_add(((stop - at) >> PAGE_SHIFT) as u32 - 1);
            drop(map);
            if let Some(object) = object {
                self.vm.bring_range(object, first, last);
                self.vm.release_object(object);
            }
            at = stop;
        }
        result
    }
}
