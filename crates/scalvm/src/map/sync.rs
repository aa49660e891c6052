//! Writing back what a range maps.

use crate::addr::PAGE_SHIFT;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;
use crate::request::Share;

impl<'v, M: Machine> Map<'v, M> {
    /// Writes to the backing store what has been written through shared mappings of the range, and
    /// waits for it, as `msync(MS_SYNC)` does. Private and anonymous memory is skipped. A hole ends
    /// it with `NotMapped`, after what lies below has been written. Blocks for I/O.
    pub fn sync(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let mut at = start;
        while at < end {
            let map = self.body.read(self.vm);
            let entry = map.map.tree.find(at).ok_or(MapError::NotMapped)?;
            let stop = entry.end.get().min(end);
            let object = entry
                .object
                .get()
                .filter(|_| entry.attributes().share == Share::Shared)
                .inspect(|object| object.retain());
            let first = entry.index_of(at);
            let last = first.wrapping_add(((stop - at) >> PAGE_SHIFT) as u32 - 1);
            drop(map);
            if let Some(object) = object {
                let result = self.vm.sync_object(object, first, last);
                self.vm.release_object(object);
                result.map_err(MapError::Pager)?;
            }
            at = stop;
        }
        Ok(())
    }
}
