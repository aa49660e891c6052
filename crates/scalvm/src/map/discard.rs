//! Giving the contents of a range up.

use crate::addr::PAGE_SHIFT;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;
use crate::map::tree::Tree;
use crate::request::Share;

impl<'v, M: Machine> Map<'v, M> {
    /// Drops what private memory of the range holds, as `madvise(MADV_DONTNEED)` does: it reads as
    /// untouched again, zeros or what it was mapped from. Shared memory keeps its contents and
    /// leaves only the page tables. Holes are skipped, and then reported as `NotMapped`.
    pub fn discard(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let vm = self.vm;
        let map = self.body.read(vm);
        let mut at = start;
        let mut next = map.map.tree.at_or_above(start);
        let mut hole = false;
        while let Some(entry) = next.filter(|entry| entry.start.get() < end) {
            let from = entry.start.get().max(start);
            let to = entry.end.get().min(end);
            hole |= entry.start.get() > at;
            if let Some(object) = entry.object.get() {
                let guard = object.lock(vm);
                if entry.attributes().share == Share::Private && object.private {
                    let pages = ((to - from) >> PAGE_SHIFT) as u64;
                    vm.forget_range(&guard, entry.index_of(from), pages)?;
                } else {
                    vm.unmap_range(self.body, from..to);
                }
            }
            at = to;
            next = Tree::next(entry);
        }
        if hole || at < end {
            Err(MapError::NotMapped)
        } else {
            Ok(())
        }
    }
}
