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

    /// Starts to write what has been written through shared mappings of the range to the backing store, and does
    /// not wait for its end; what is on its way is passed over. Private and anonymous memory is skipped. Holes are skipped, and
    /// then reported as `NotMapped`. At times it waits for others to end, since the number of requests that run is
    /// bounded.
    pub fn start_sync(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        self.each_part_unlocked(start..end, |part| {
            if let Some(object) = part.object
                && part.attributes.share == Share::Shared
            {
                self.vm.start_sync(object, part.first, part.last);
            }
        })
    }

    /// Drops what is cached of files that the range maps shared, so that it is read anew, as
    /// `msync(MS_INVALIDATE)` may: from all address spaces that map it. What was written and not synced stays, and so does
    /// what is wired or held. Holes are skipped, and then reported as `NotMapped`. Does not block.
    pub fn invalidate(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        self.each_part_unlocked(start..end, |part| {
            if let Some(object) = part.object
                && part.attributes.share == Share::Shared
            {
                self.vm.drop_clean(object, part.first, part.last, true);
            }
        })
    }
}
