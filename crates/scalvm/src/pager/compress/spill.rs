//! The oldest pages go on to a disk, in two steps, so that the write happens without a lock.

use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::page::Page;
use crate::pager::compress::Compressor;
use crate::pager::compress::entry::{Entry, SPILLING};
use crate::pager::{Backing, Handle, Slot};
use crate::vm::Vm;

/// An entry that is being moved to a disk. [`Compressor::spilled`] or [`Compressor::keep`] ends
/// that.
#[must_use = "an entry that is being spilled must be spilled or kept"]
pub(crate) struct Spill<M: Machine> {
    handle: Handle,
    /// To tell it apart from another one that was here; it may have ended meanwhile.
    owner: Ptr<Anon<M>>,
    generation: u32,
}

impl<M: Machine> Compressor<M> {
    /// Fills a new page with the contents of the oldest entry, which is now being spilled: others
    /// can use it or end it meanwhile.
    pub fn oldest(&self, vm: &Vm<M>, into: Ptr<Page>) -> Option<Spill<M>> {
        let store = self.store.get()?;
        store.buffer(vm).with(&vm.machine, Rank::Codec, |out, _| {
            loop {
                let held = self.lock(vm);
                let (handle, entry) = store.entries.begin_spill()?;
                let spill = Spill {
                    handle,
                    owner: entry.owner.get()?,
                    generation: entry.generation.get(),
                };
                let content = store.content(vm, entry, out);
                drop(held);
                if store.fill(vm, content, out, into.frame()) {
                    return Some(spill);
                }
                // It cannot be read any more: it stays out of the ring, until its owner ends it.
            }
        })
    }

    /// The page has been written to a slot, which becomes the owner's backing in place of the
    /// entry. False if the owner has ended the entry meanwhile, or does not know it yet: then the
    /// slot is not needed.
    pub fn spilled(&self, vm: &Vm<M>, spill: &Spill<M>, slot: Slot) -> bool {
        let Some(store) = self.store.get() else {
            return false;
        };
        let _held = self.lock(vm);
        let Some(entry) = self.spilling(spill) else {
            return false;
        };
        // Alive: it has not ended its entry.
        if spill.owner.backing.get() != Backing::Compressed(spill.handle).pack() {
            store.entries.cancel_spill(spill.handle, entry);
            return false;
        }
        vm.swap.set_owner(&vm.machine, slot, spill.owner);
        spill.owner.backing.set(Backing::Slot(slot).pack());
        store.remove(vm, spill.handle, entry);
        store.counts.spilled();
        true
    }

    /// The page was not written: the entry stays, and is the youngest, so that others are tried
    /// first.
    pub fn keep(&self, vm: &Vm<M>, spill: &Spill<M>) {
        let Some(store) = self.store.get() else {
            return;
        };
        let _held = self.lock(vm);
        if let Some(entry) = self.spilling(spill) {
            store.entries.cancel_spill(spill.handle, entry);
        }
    }

    /// The entry, if it is still the one that is being spilled. The lock is held.
    fn spilling(&self, spill: &Spill<M>) -> Option<Ptr<Entry<M>>> {
        let entry = self.store.get()?.entry_of(spill.handle, spill.owner)?;
        let same = entry.generation.get() == spill.generation && entry.state.get() == SPILLING;
        same.then_some(entry)
    }
}
