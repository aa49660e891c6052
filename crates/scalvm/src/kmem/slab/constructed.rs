//! Slots whose contents stay while they are free: for object caches.
//!
//! What is in a magazine or the depot is constructed, but for the raw chains of magazines; what is in
//! its slab is not. No lock is held where objects are made or unmade: so those who do may allocate and free whatever they like.

use core::ptr::NonNull;

use super::chain::Chain;
use super::raw::RawPool;
use super::reclaim::Reclaim;
use crate::machine::Machine;
use crate::page::Frames;
use crate::sync::Pinned;

impl RawPool {
    /// A slot that is constructed from the loaded chain of this processor, if that is simple.
    #[inline(always)]
    pub fn take_quickly<M: Machine>(&self, machine: &M, link: usize) -> Option<NonNull<()>> {
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        let held = magazine.try_enter(machine)?;
        magazine.pop(link, || true, &held)
    }

    /// A slot that is constructed, if the processor or the depot has one.
    pub fn take_constructed<M: Machine>(&self, machine: &M, link: usize) -> Option<NonNull<()>> {
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        let held = magazine.enter(machine);
        match magazine.pop(link, || true, &held) {
            None => self.reload(machine, magazine, &held),
            slot => slot,
        }
    }

    /// Takes a constructed slot back where the loaded chain of this processor has room, if that is
    /// simple; tells whether it did.
    ///
    /// # Safety
    ///
    /// As for [`put_constructed`](RawPool::put_constructed), if this is true.
    #[inline(always)]
    pub unsafe fn put_quickly<M: Machine>(
        &self,
        machine: &M,
        slot: NonNull<()>,
        link: usize,
    ) -> bool {
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        match magazine.try_enter(machine) {
            // SAFETY: the caller's word.
            Some(held) => unsafe { magazine.push(slot, link, || true, &held) },
            None => false,
        }
    }

    /// Takes a constructed slot back. Some have to be unmade and given to their slabs where there are
    /// too many: they are returned.
    ///
    /// # Safety
    ///
    /// The slot came from this pool, is constructed, and is the pool's from now on.
    pub unsafe fn put_constructed<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        slot: NonNull<()>,
        link: usize,
    ) -> Option<Slots> {
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        let held = magazine.enter(machine);
        // SAFETY: the caller's word.
        unsafe {
            if magazine.push(slot, link, || true, &held) {
                return None;
            }
            self.unload(machine, frames, magazine, slot, &held)
                .map(Slots)
        }
    }

    /// A slot that is not constructed. The processor takes more of them along, as many as a magazine has.
    pub fn take_raw<M: Machine>(&self, machine: &M, frames: &Frames) -> Option<NonNull<()>> {
        let link = self.slabs.link();
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        let held = magazine.enter(machine);
        let slot = magazine.pop_raw(link, &held);
        if slot.is_some() {
            return slot;
        }
        let slabs = self.slabs.lock(machine);
        let size = self.magazine_size();
        let mut chain = self.slabs.take(machine, frames, size, &slabs);
        drop(slabs);
        // SAFETY: a chain of free slots, ours.
        let slot = unsafe { chain.pop(link) };
        magazine.put_raw(chain, &held);
        slot
    }

    /// Gives slots back that are not constructed any more.
    ///
    /// # Safety
    ///
    /// They came from this pool, and nobody uses them.
    pub unsafe fn give_raw<M: Machine>(&self, machine: &M, frames: &Frames, slots: Slots) {
        // SAFETY: the caller's word.
        unsafe { self.give(machine, frames, slots.0) };
    }

    /// The same for one slot.
    ///
    /// # Safety
    ///
    /// As for [`give_raw`](RawPool::give_raw).
    pub unsafe fn give_one<M: Machine>(&self, machine: &M, frames: &Frames, slot: NonNull<()>) {
        let mut chain = Chain::empty();
        // SAFETY: the caller's word; a free slot has a link.
        unsafe {
            chain.push(slot, self.slabs.link());
            self.give_raw(machine, frames, Slots(chain));
        }
    }

    /// Gives frames back as [`reclaim`](RawPool::reclaim) does, where `unmake` is called for each slot
    /// that goes back to its slab.
    pub fn reclaim_constructed<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        how: Reclaim,
        mut unmake: impl FnMut(NonNull<()>),
    ) -> u64 {
        self.release(machine, frames, how, |chain| {
            let slots = Slots(chain);
            slots.each(self.slabs.link(), &mut unmake);
            // SAFETY: slots that are free go back to the slabs that they came from.
            unsafe { self.give_raw(machine, frames, slots) };
        })
    }
}

/// Free slots that are nowhere.
#[must_use]
pub(crate) struct Slots(Chain);

impl Slots {
    /// Calls `f` for each; it leaves the link alone.
    pub fn each(&self, link: usize, mut f: impl FnMut(NonNull<()>)) {
        let mut next = NonNull::new(self.0.first);
        while let Some(slot) = next {
            f(slot);
            // SAFETY: a chain of free slots, ours.
            next = NonNull::new(unsafe { super::chain::next(slot, link) });
        }
    }
}
