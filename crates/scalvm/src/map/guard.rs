//! Guards: parts of mappings where nothing may be, as Linux's `madvise(MADV_GUARD_INSTALL)` makes them.
//!
//! A guard is an attribute of entries. It withholds all rights, like a watch, and so costs a fault elsewhere
//! nothing; whoever meets one finds nothing mapped. Rights, advice and the rest of the entry are what they are, and
//! change as if it were not there. It moves with its memory, and a child's copy has it too, but not untouched memory
//! that a child gets in its place, nor what a mapping grows by.
//!
//! S7 of `map/body.rs` is this module's. Lock: the map's, for writing.

use crate::error::MapError;
use crate::machine::Machine;
use crate::map::{Attributes, Map};
use crate::request::Share;

impl<M: Machine> Map<'_, M> {
    /// Makes guards of all pages of a range, which has no holes. What private memory holds there is given up, as by
    /// [`discard`](Map::discard), so that seals keep it in the same way; shared memory keeps its contents, which are
    /// not shown here; pages that were lost are so no more. From now on accesses fail as where nothing is mapped,
    /// until [`unguard`](Map::unguard). Wired memory stays wired. On failure there are no new guards; where memory was
    /// short a part may have been given up.
    pub fn guard(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let vm = self.vm;
        let map = self.body.write(vm);
        map.map.none_in(start, end, |a| a.keeps_contents())?;
        map.for_each(start, end, |_| Ok(()))?;
        let spares = map.reserve_clips(vm, start, end)?;
        map.clip(vm, start, end, spares);
        let emptied = map.for_each(start, end, |entry| {
            if let Some(object) = entry.object.get()
                && entry.attributes().share == Share::Private
                && object.private
            {
                let guard = object.lock(vm);
                vm.forget_range(&guard, entry.offset.get(), entry.pages() as u64)?;
            }
            Ok(())
        });
        if emptied.is_ok() {
            map.unmap_pages(vm, start..end);
            map.for_each(start, end, |entry| {
                let guarded = Attributes {
                    guarded: true,
                    poisoned: false,
                    ..entry.attributes()
                };
                map.set_attributes(entry, guarded);
                Ok(())
            })?;
        }
        map.join_range(vm, start, end);
        emptied
    }

    /// Takes the guards of a range away, which has no holes: private memory reads as untouched there. What is wired is
    /// brought in by [`bring_wired`](Map::bring_wired).
    pub fn unguard(&self, start: usize, len: usize) -> Result<(), MapError> {
        let unguarded = |old| Attributes {
            guarded: false,
            ..old
        };
        self.change(start, len, |_| Ok(()), unguarded)
    }
}
