//! The mappings of an object's pages: the reverse map from the object on.
//!
//! ```text
//!     page ─► anon ─► family ─► objects ─► map entries ─► map, page tables
//!                                  └─► private objects that stand on it ─► map entries ─► …
//! ```
//!
//! The lock of the object suffices to walk on from it (O2), so this never goes against the order of
//! locks.

use core::ops::Range;

use crate::addr::{PAGE_SHIFT, Prot};
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{MapBody, MapEntry};
use crate::object::{ObjectBody, ObjectGuard};
use crate::pmap::Pmap;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Calls `f` for each range of addresses at which pages `first` and up, `pages` of them, may be
    /// mapped: through entries of the object or of private objects that stand on it.
    pub(crate) fn each_range(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        pages: u64,
        mut f: impl FnMut(Ptr<MapBody<M>>, Range<usize>),
    ) {
        self.each_part(guard, object, first, pages, |entry, range| {
            f(entry.map(), range)
        });
    }

    /// The same with the entries.
    pub(crate) fn each_part(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        pages: u64,
        mut f: impl FnMut(Ptr<MapEntry<M>>, Range<usize>),
    ) {
        guard.covers(object);
        object.target().all_entries().for_each(|entry| {
            for (from, to) in overlaps(&entry, first, pages).into_iter().flatten() {
                f(entry, from..to);
            }
        });
    }

    /// Removes every mapping of those pages (O5), and flushes.
    pub(crate) fn unmap_object(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        pages: u64,
    ) {
        self.each_range(guard, object, first, pages, |map, range| {
            self.unmap_range(map, range)
        });
    }

    /// Takes the right to write the object from every map.
    pub(crate) fn protect_object(&self, guard: &ObjectGuard<'_, M>, object: Ptr<ObjectBody<M>>) {
        self.each_range(guard, object, 0, 1 << 32, |map, range| {
            let debt = map.pmap.protect(&self.machine, self, range, Prot::RX);
            self.pay(debt, &map.target().pmap);
        });
    }

    /// Lets go of the pages from `first` on, `pages` of them, none of which is mapped any more. If
    /// memory is too short to unshare what must be kept, nothing is done.
    pub(crate) fn wipe_range(
        &self,
        guard: &ObjectGuard<'_, M>,
        first: u32,
        pages: u64,
    ) -> Result<(), OutOfMemory> {
        let object = guard.object();
        if object.amap.get().is_none_or(|amap| amap.is_empty()) {
            return Ok(());
        }
        let amap = self.own_amap(object)?;
        for (from, to) in pieces(first, pages).into_iter().flatten() {
            self.own_edges(amap, from, to)?;
        }
        for (from, to) in pieces(first, pages).into_iter().flatten() {
            self.wipe_amap(amap, from, to);
        }
        Ok(())
    }

    /// The same for pages that may be mapped: unmaps them first, once it is sure that they can be
    /// let go.
    pub(crate) fn forget_range(
        &self,
        guard: &ObjectGuard<'_, M>,
        first: u32,
        pages: u64,
    ) -> Result<(), OutOfMemory> {
        let object = guard.object();
        if object.amap.get().is_some_and(|amap| !amap.is_empty()) {
            let amap = self.own_amap(object)?;
            for (from, to) in pieces(first, pages).into_iter().flatten() {
                self.own_edges(amap, from, to)?;
            }
        }
        self.unmap_object(guard, object, first, pages);
        self.wipe_range(guard, first, pages)
    }
}

/// A run of page numbers that may wrap around, as runs that do not: first and last of each.
pub(crate) fn pieces(first: u32, pages: u64) -> [Option<(u32, u32)>; 2] {
    let Some(more) = pages.checked_sub(1) else {
        return [None, None];
    };
    let last = u64::from(first) + more;
    match u32::try_from(last) {
        Ok(last) => [Some((first, last)), None],
        Err(_) if more >= u64::from(u32::MAX) => [Some((0, u32::MAX)), None],
        Err(_) => [Some((first, u32::MAX)), Some((0, last as u32))],
    }
}

/// The addresses at which an entry maps pages of a run that may wrap around: at most two ranges.
pub(crate) fn overlaps<M: Machine>(
    entry: &MapEntry<M>,
    first: u32,
    pages: u64,
) -> [Option<(usize, usize)>; 2] {
    let start = entry.start.get();
    let len = entry.pages() as u64;
    // Where the run begins, and where the entry begins, counted from the other.
    let into_entry = u64::from(first.wrapping_sub(entry.offset.get()));
    let into_run = u64::from(entry.offset.get().wrapping_sub(first));
    let range = |from: u64, to: u64| {
        (from < to).then(|| {
            (
                start + ((from as usize) << PAGE_SHIFT),
                start + ((to as usize) << PAGE_SHIFT),
            )
        })
    };
    let upper = range(into_entry, len.min(into_entry + pages));
    let lower = if into_run == 0 {
        None
    } else if into_run < pages {
        range(0, len.min(pages - into_run))
    } else {
        None
    };
    [lower, upper]
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn runs_of_pages_wrap() {
        assert_eq!(pieces(5, 3), [Some((5, 7)), None]);
        assert_eq!(pieces(5, 0), [None, None]);
        assert_eq!(pieces(u32::MAX, 1), [Some((u32::MAX, u32::MAX)), None]);
        assert_eq!(
            pieces(u32::MAX, 3),
            [Some((u32::MAX, u32::MAX)), Some((0, 1))]
        );
        assert_eq!(pieces(7, 1 << 32), [Some((0, u32::MAX)), None]);
    }
}
