//! Giving the contents of a range up: at once, or when memory is short.

use crate::addr::PAGE_SHIFT;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;
use crate::object::pieces;
use crate::request::Share;

impl<'v, M: Machine> Map<'v, M> {
    /// Drops what private memory of the range holds, as `madvise(MADV_DONTNEED)` does: it reads as
    /// untouched again, zeros or what it was mapped from. Shared memory keeps its contents and
    /// leaves only the page tables. Holes are skipped, and then reported as `NotMapped`. Where a seal
    /// keeps the contents of any part, it is `Sealed`, and nothing is dropped.
    pub fn discard(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let vm = self.vm;
        let map = self.body.read(vm);
        let poisoned = map.map.may_discard(start, end)?;
        let dropped = map.each_part(start..end, |entry, part| {
            let Some(object) = entry.object.get() else {
                return Ok(());
            };
            let guard = object.lock(vm);
            if entry.attributes().share == Share::Private && object.private {
                let pages = ((part.end - part.start) >> PAGE_SHIFT) as u64;
                vm.forget_range(&guard, entry.index_of(part.start), pages)?;
            } else {
                vm.unmap_range(self.body, part);
            }
            Ok(())
        });
        drop(map);
        self.cure(start, end, poisoned, dropped)
    }

    /// Lets what private anonymous memory of the range holds go when memory is short, as
    /// `madvise(MADV_FREE)` does: a page that is not written before then reads as zeros some day,
    /// or else as it was; one that is written is kept, with what it held when it was written. What was put back is
    /// forgotten at once. Pages that others share by fork, wired ones, those that the kernel holds and
    /// mappings of objects stay as they are. Holes are skipped, and then reported as `NotMapped`; seals keep
    /// contents as in [`discard`](Map::discard). Does not block.
    pub fn free(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let vm = self.vm;
        let map = self.body.read(vm);
        let poisoned = map.map.may_discard(start, end)?;
        let dropped = map.each_part(start..end, |entry, part| {
            let attributes = entry.attributes();
            let object = entry.object.get();
            let own = object.filter(|object| object.private && object.under.is_none());
            if let Some(object) = own
                && attributes.share == Share::Private
                && !attributes.wired
            {
                let pages = ((part.end - part.start) >> PAGE_SHIFT) as u64;
                for (first, last) in pieces(entry.index_of(part.start), pages)
                    .into_iter()
                    .flatten()
                {
                    vm.give_up_range(object, first, last);
                }
            }
            Ok(())
        });
        drop(map);
        self.cure(start, end, poisoned, dropped)
    }
}
