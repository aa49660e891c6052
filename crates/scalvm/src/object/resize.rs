//! Growing and truncating an object.

use crate::addr::{Access, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};
use crate::amap::Amap;
use crate::error::FaultError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::ranges::pieces;
use crate::object::{Kind, MOST_BYTES, Miss, Object, ObjectGuard, pages_of};
use crate::vm::Vm;

impl<M: Machine> Object<'_, M> {
    /// Sets the size in bytes. What lies beyond a smaller size is gone, from every mapping too,
    /// private copies included; a later access there ends in
    /// [`Fault::BeyondEnd`](crate::Fault::BeyondEnd), and after growing again finds zeros, or what
    /// the pager has. The rest of the last page is cleared, as far as it is in memory. Blocks
    /// only where the last page of an anonymous object must be brought back from swap. If memory is short nothing is changed.
    pub fn set_size(&self, bytes: u64) -> Result<(), FaultError> {
        if bytes > MOST_BYTES {
            return Err(FaultError::BeyondEnd);
        }
        if let Kind::Device(..) = self.body.kind {
            return Err(FaultError::BeyondEnd);
        }
        let vm = self.vm;
        let tail = bytes as usize & PAGE_MASK;
        let last = bytes >> PAGE_SHIFT;
        let guard = loop {
            let guard = self.body.lock(vm);
            if bytes >= self.body.size.get() {
                if self.body.promised {
                    let promised = vm.promise(pages_of(bytes) - self.body.pages(), 0);
                    promised.map_err(|_| FaultError::OutOfMemory)?;
                }
                self.body.size.set(bytes);
                return Ok(());
            }
            let is_file = matches!(self.body.kind, Kind::Vnode(_));
            let stays = |amap: Ptr<Amap<M>>| {
                amap.anon(last as u32)
                    .is_none_or(|anon| is_file && anon.refs() == 1)
            };
            if tail == 0 || self.body.amap.get().is_none_or(stays) {
                break guard;
            }
            // The last page is about to change: it must be in memory, and the object's own. Of a file it may
            // come later, and is nobody else's unless it is lent.
            match vm.page_to_write(&guard, last as u32, &mut None) {
                Ok(found) => {
                    if let Some(old) = found.old {
                        vm.release_anon(old);
                    }
                    break guard;
                }
                Err(Miss::OutOfMemory) => return Err(FaultError::OutOfMemory),
                Err(_) => {
                    drop(guard);
                    self.hold(last, Access::Write)?;
                }
            }
        };
        let last = last as u32;
        let gone = (bytes + PAGE_MASK as u64) >> PAGE_SHIFT;
        let pages = (1u64 << 32) - gone;
        if pages > 0 {
            vm.forget_range(&guard, gone as u32, pages)?;
        }
        let before = self.body.promised_pages();
        self.body.size.set(bytes);
        vm.take_back(before - self.body.promised_pages());
        if tail != 0
            && let Some(page) = self
                .body
                .amap
                .get()
                .and_then(|a| a.anon(last))
                .and_then(|a| a.page.get())
        {
            // A page that is being read is cleared when the read is done.
            vm.frames.clear(&vm.machine, page.frame(), tail..PAGE_SIZE);
        }
        vm.truncate_copies(&guard, gone as u32, pages);
        Ok(())
    }
}

impl<M: Machine> Vm<M> {
    /// Drops what private mappings have copied of pages that are gone. They are not mapped any
    /// more, nor will be: they lie beyond the end. All objects that share such copies stand on this
    /// one, so its lock covers them all, and nothing need be unshared.
    fn truncate_copies(&self, guard: &ObjectGuard<'_, M>, first: u32, pages: u64) {
        for upper in guard.object().on_top.iter() {
            let Some(amap) = upper.amap.get() else {
                continue;
            };
            for (from, to) in pieces(first, pages).into_iter().flatten() {
                self.wipe_amap(amap, from, to);
            }
        }
    }
}
