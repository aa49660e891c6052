//! Dropping pages of a file that are in memory only to be quick.

use core::sync::atomic::Ordering::Acquire;

use crate::addr::{PAGE_SHIFT, PAGE_SIZE};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, Object, ObjectBody, ObjectGuard};
use crate::page::{BUSY, DIRTY, WRITING};
use crate::rmap::Unmapped;
use crate::stats::Event;
use crate::vm::Vm;

impl<M: Machine> Object<'_, M> {
    /// Drops the whole pages in a range of bytes that are clean and mapped nowhere, as
    /// `posix_fadvise(POSIX_FADV_DONTNEED)` asks; tells how many. Does nothing for objects without a pager.
    /// Does not block.
    pub fn drop_clean(&self, offset: u64, len: u64) -> u64 {
        let end = offset.saturating_add(len).min(self.size());
        let last = if end == self.size() {
            end.div_ceil(PAGE_SIZE as u64)
        } else {
            end >> PAGE_SHIFT
        };
        let first = offset.div_ceil(PAGE_SIZE as u64);
        match last.checked_sub(1) {
            Some(last) if first <= last => {
                self.vm
                    .drop_clean(self.body, first as u32, last as u32, false)
            }
            _ => 0,
        }
    }

    /// Drops all pages of a range of bytes that are clean, mapped or not, so that they are read anew: their bytes are about to
    /// change, or have, without the cache. What is dirty, held, wired or on its way stays. Does not block.
    pub fn invalidate(&self, offset: u64, len: u64) {
        if let Some((first, last)) = self.touched(offset, len) {
            self.vm.drop_clean(self.body, first, last, true);
        }
    }

    /// Starts to write what is dirty in a range of bytes, and does not wait for its end. Pages on their way
    /// are passed over. At times it waits for others to end, since the number of requests that run is bounded.
    pub fn start_sync(&self, offset: u64, len: u64) {
        if let Some((first, last)) = self.touched(offset, len) {
            self.vm.start_sync(self.body, first, last);
        }
    }

    /// The first and the last of the pages that have any of a range of bytes, up to the end; none if none has.
    fn touched(&self, offset: u64, len: u64) -> Option<(u32, u32)> {
        let end = offset.saturating_add(len).min(self.size());
        let last = end.checked_sub(1).filter(|last| offset <= *last)?;
        Some(((offset >> PAGE_SHIFT) as u32, (last >> PAGE_SHIFT) as u32))
    }
}

impl<M: Machine> Vm<M> {
    /// Drops the clean pages of a vnode object from `first` to `last`; with `mapped` those as well that are in
    /// page tables, but for wired ones. Tells how many. The object is locked for one chunk at a time.
    pub(crate) fn drop_clean(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
        mapped: bool,
    ) -> u64 {
        if !matches!(object.kind, Kind::Vnode(_)) {
            return 0;
        }
        let mut dropped = 0;
        self.each_chunk(object, first, last, |guard, from, to| {
            for index in from..=to {
                dropped += u64::from(self.drop_if_clean(guard, index, mapped));
            }
        });
        self.counters.add(self.machine.cpu(), Event::Drop, dropped);
        dropped
    }

    fn drop_if_clean(&self, guard: &ObjectGuard<'_, M>, index: u32, mapped: bool) -> bool {
        use core::sync::atomic::Ordering::Relaxed;
        let object = guard.object();
        let anon = object.amap.get().and_then(|amap| amap.anon(index));
        let Some(page) = anon.and_then(|anon| anon.page.get()) else {
            return false;
        };
        // Who holds it wants it, or has just chosen it to leave.
        let idle = || page.test_flags(BUSY | WRITING) == 0 && page.holds().load(Acquire) == 1;
        let dirty = || page.test_flags(DIRTY) != 0;
        if !idle() || dirty() {
            return false;
        }
        if page.mapped.load(Relaxed) > 0
            && (!mapped || self.unmap_to_leave(guard, index) != Unmapped::Done)
        {
            return false;
        }
        // It may have been written through a mapping that is gone now.
        let drop = idle() && !dirty();
        if drop {
            self.drop_page(object, index);
        }
        drop
    }
}
