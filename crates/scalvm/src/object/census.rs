//! Counting the pages that an object has, by where they are.

use crate::addr::PAGE_SHIFT;
use crate::machine::Machine;
use crate::object::{Kind, MOST_BYTES, Object};
use crate::page::{DIRTY, WRITING};
use crate::pager::Backing;

/// How many pages of a part of an object there are. None of them is brought in to be counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ObjectPages {
    /// Those in memory, or on the way there.
    pub resident: u64,
    /// Those of them that the backing store has otherwise, and that are not being written yet: of objects with a
    /// pager alone.
    pub dirty: u64,
    /// Those that are being written.
    pub writing: u64,
    /// Those that were put back, to a swap device or the compressor.
    pub away: u64,
}

impl<M: Machine> Object<'_, M> {
    /// Counts the pages of a range of bytes, as cachestat(2) does. What was written through mappings is looked for
    /// first. Waits for nothing; the object is locked for a part of the work at a time, with pauses where many map it.
    pub fn count(&self, offset: u64, len: u64) -> ObjectPages {
        let end = offset.saturating_add(len).min(MOST_BYTES);
        if offset >= end {
            return ObjectPages::default();
        }
        let first = (offset >> PAGE_SHIFT) as u32;
        let last = ((end - 1) >> PAGE_SHIFT) as u32;
        if matches!(self.body.kind, Kind::Vnode(_)) {
            self.vm.harvest_dirty(self.body, first, last);
        }
        self.tally(first, last)
    }

    /// Pages in memory.
    pub fn resident(&self) -> u64 {
        self.tally(0, u32::MAX).resident
    }

    /// Pages of an anonymous object that were put back.
    pub fn put_back(&self) -> u64 {
        self.tally(0, u32::MAX).away
    }

    fn tally(&self, first: u32, last: u32) -> ObjectPages {
        let mut pages = ObjectPages::default();
        let has_store = matches!(self.body.kind, Kind::Vnode(_));
        self.vm
            .each_chunk(self.body, first, last, |guard, from, to| {
                let Some(amap) = guard.object().amap.get() else {
                    return;
                };
                amap.for_each(from, to, |_, anon| match anon.page.get() {
                    Some(page) => {
                        let writing = page.test_flags(WRITING) != 0;
                        let dirty = has_store && !writing && page.test_flags(DIRTY) != 0;
                        pages.resident += 1;
                        pages.writing += u64::from(writing);
                        pages.dirty += u64::from(dirty);
                    }
                    None => pages.away += u64::from(anon.backing() != Backing::Zeros),
                });
            });
        pages
    }
}
