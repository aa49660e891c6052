//! Having a range leave memory.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::PAGE_SIZE;
use crate::amap::Way;
use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::parts::Part;
use crate::map::{Map, MapEntry};
use crate::object::{Kind, ObjectBody, ObjectGuard};
use crate::page::Page;
use crate::pageout::Leaving;
use crate::pmap::Pmap;
use crate::request::Share;

impl<'v, M: Machine> Map<'v, M> {
    /// Has the pages of the range leave memory now, as `madvise(MADV_PAGEOUT)` does, and tells how many did: to
    /// the compressor or a swap device, or to their file, to which they are written first if they were changed.
    /// What others have as well stays: pages that a fork has shared, or that are mapped elsewhere; so does
    /// what is wired or held, what is on its way, and what no store takes. Holes are skipped, and then
    /// reported as `NotMapped`. Does nothing before [`Vm::start_paging`](crate::Vm::start_paging). Blocks for I/O.
    pub fn page_out(&self, start: usize, len: usize) -> Result<u64, MapError> {
        let end = self.range(start, len)?;
        let mut gone = 0;
        self.each_part_unlocked(start..end, |part| {
            if self.vm.pageout.is_on() && !part.attributes.wired {
                gone += self.page_part_out(part);
            }
        })?;
        Ok(gone)
    }

    fn page_part_out(&self, part: &Part<M>) -> u64 {
        let vm = self.vm;
        let Some(object) = part.object else { return 0 };
        if matches!(object.kind, Kind::Vnode(_)) && part.attributes.share == Share::Shared {
            // What cannot be written stays; whoever syncs the file is told.
            vm.write_range(object, part.first, part.last);
        }
        let mut leaving = Leaving::new();
        let (mut at, mut gone) = (part.range.start, 0);
        while at < part.range.end {
            at = self.claim_range(at, part.range.end, &mut leaving);
            gone += vm.evict_now(&mut leaving);
        }
        gone
    }

    /// Claims pages of a range that lies in one entry until there are enough; tells where to go on.
    fn claim_range(&self, start: usize, end: usize, leaving: &mut Leaving<M>) -> usize {
        let map = self.body.read(self.vm);
        let Some(entry) = map.map.tree.find(start) else {
            return end;
        };
        let Some(object) = entry.object.get() else {
            return end;
        };
        let guard = object.lock(self.vm);
        let end = end.min(entry.end.get());
        let mut at = start;
        while at < end {
            match next_page(&guard, &entry, at, end) {
                Some(next) => at = next,
                None => return end,
            }
            if let Some(page) = self.page_to_leave(&guard, entry.index_of(at), at) {
                leaving.add(self.vm, page);
            }
            at += PAGE_SIZE;
            if leaving.is_full() {
                break;
            }
        }
        at
    }

    /// The page at an address of an entry, if nobody else has it.
    fn page_to_leave(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        at: usize,
    ) -> Option<Ptr<Page>> {
        let object = guard.object();
        let alone = |page: &Ptr<Page>| page.is_plain() && page.mapped.load(Relaxed) <= 1;
        let amap = object.amap.get();
        if let Some(anon) = amap.and_then(|amap| amap.anon(index)) {
            let shared = object.private
                && (anon.refs() != 1 || !matches!(amap?.own_way(index), Way::Own(_)));
            let page = anon.page.get().filter(alone).filter(|_| !shared)?;
            if matches!(object.kind, Kind::Anonymous) {
                return Some(page);
            }
        }
        // What is only cached may be read by others: it must be mapped here, and nowhere else.
        let here = self.body.pmap.query(&self.vm.machine, at)?;
        self.vm.page_of(&here).filter(alone)
    }
}

/// The first address, from `at` to below `end`, at which an entry's object or the one underneath has a page.
fn next_page<M: Machine>(
    guard: &ObjectGuard<'_, M>,
    entry: &MapEntry<M>,
    at: usize,
    end: usize,
) -> Option<usize> {
    let object = guard.object();
    let next = |holder: Ptr<ObjectBody<M>>| {
        let amap = holder.amap.get()?;
        crate::object::pieces(entry.index_of(at), ((end - at) / PAGE_SIZE) as u64)
            .into_iter()
            .flatten()
            .find_map(|(first, last)| amap.first(first, last, |anon| anon.page.get().is_some()))
    };
    [Some(object), object.under]
        .into_iter()
        .flatten()
        .filter_map(next)
        .filter_map(|index| entry.address_of(index))
        .min()
}
