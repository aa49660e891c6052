//! [`RawPool`]: slots of one size, without a type.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::chain::Chain;
use super::depot::{Depot, PLACES};
use super::magazine::Magazine;
use super::poison;
use super::slabs::Slabs;
use super::tag::Use;
use crate::machine::{MAX_CPUS, Machine};
use crate::page::Frames;
use crate::sync::{Field, OwnerGuard, Pinned, SpinGuard};

/// Bytes of a magazine at first.
const MAGAZINE: usize = 8 << 10;
/// Slots of a magazine at first, at most.
const FEW: usize = 32;
/// Bytes that a magazine may grow to.
const LARGE_MAGAZINE: usize = 32 << 10;
/// Slots that a magazine may grow to.
const MANY: usize = 128;
/// Bytes in a depot.
const DEPOT: usize = 64 << 10;
/// So many times the depot's lock has been found taken before magazines grow.
const CONTENDED: u32 = 16;

/// A pool of slots of one size.
pub(crate) struct RawPool {
    pub(super) slabs: Slabs,
    pub(super) depot: Depot,
    /// Slots of a magazine that is loaded from now on; the slabs' lock.
    magazine: Field<u32>,
    /// How often the lock of slabs and depot was found taken since magazines have grown.
    contended: Field<u32>,
    /// Allocations that failed.
    pub(super) fails: AtomicU64,
    pub(super) magazines: [Magazine; MAX_CPUS],
}

impl RawPool {
    /// An empty pool of slots with room for `size` bytes, aligned to each power of two that divides
    /// `size`.
    pub const fn new(size: usize, user: Use) -> RawPool {
        RawPool::with_link(size, 0, user)
    }

    /// The same for slots whose contents stay while they are free, but for the word at `link`.
    pub const fn with_link(size: usize, link: usize, user: Use) -> RawPool {
        RawPool {
            slabs: Slabs::new(size, link, user),
            depot: Depot::new(),
            magazine: Field::<u32>::constant(slots(size, MAGAZINE, FEW)),
            contended: Field::<u32>::constant(0),
            fails: AtomicU64::new(0),
            magazines: [const { Magazine::new() }; MAX_CPUS],
        }
    }

    /// Allocates a slot of a pool that was made by [`new`](RawPool::new). Its bytes are undefined.
    #[inline(always)]
    pub fn alloc<M: Machine>(
        &self,
        pinned: &Pinned<'_, M>,
        frames: &Frames,
    ) -> Option<NonNull<()>> {
        let machine = pinned.machine();
        if !machine.may_allocate() {
            return None;
        }
        let magazine = self.magazine(pinned);
        let held = magazine.enter(machine);
        let slot = match magazine.pop(0, &held) {
            Some(slot) => slot,
            None => self.alloc_slowly(machine, frames, magazine, held)?,
        };
        // SAFETY: a slot of this size, now ours.
        unsafe { poison::taken(slot, self.slabs.size()) };
        Some(slot)
    }

    /// Frees a slot.
    ///
    /// # Safety
    ///
    /// It came from [`alloc`](RawPool::alloc) of this pool and is used no more.
    #[inline(always)]
    pub unsafe fn free<M: Machine>(
        &self,
        pinned: &Pinned<'_, M>,
        frames: &Frames,
        slot: NonNull<()>,
    ) {
        let machine = pinned.machine();
        if cfg!(debug_assertions) {
            self.slabs.check_slot(machine, frames, slot);
        }
        // SAFETY: a slot of this size, no longer its user's.
        unsafe { poison::freed(slot, self.slabs.size()) };
        let magazine = self.magazine(pinned);
        let held = magazine.enter(machine);
        // SAFETY: the caller's word.
        if !unsafe { magazine.push(slot, 0, &held) } {
            // SAFETY: the same.
            unsafe { self.free_slowly(machine, frames, magazine, slot, held) };
        }
    }

    /// The magazine of the processor that the caller is pinned to.
    #[inline(always)]
    pub(super) fn magazine<M: Machine>(&self, pinned: &Pinned<'_, M>) -> &Magazine {
        &self.magazines[pinned.cpu() % MAX_CPUS]
    }

    /// Takes a slot where the loaded chain has none.
    #[cold]
    #[inline(never)]
    fn alloc_slowly<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        magazine: &Magazine,
        held: OwnerGuard<'_, M>,
    ) -> Option<NonNull<()>> {
        let slot = self.reload(machine, magazine, &held).or_else(|| {
            let slabs = self.slabs.lock(machine);
            let size = self.magazine.get();
            let chain = self.slabs.take(machine, frames, size, &slabs);
            drop(slabs);
            magazine.load(chain, size, &held);
            magazine.pop(0, &held)
        });
        drop(held);
        let slot = slot.or_else(|| self.alloc_from_others(machine, frames));
        if slot.is_none() {
            self.fails.fetch_add(1, Relaxed);
        }
        slot
    }

    /// Loads a full magazine in place of the empty one, if the processor or the depot has one, and
    /// takes a slot.
    pub(super) fn reload<M: Machine>(
        &self,
        machine: &M,
        magazine: &Magazine,
        held: &OwnerGuard<'_, M>,
    ) -> Option<NonNull<()>> {
        if magazine.has_previous(held) {
            magazine.load_previous(held);
        } else {
            let slabs = self.lock_depot(machine);
            let chain = self.depot.take(&slabs)?;
            let size = self.magazine.get();
            drop(slabs);
            magazine.load(chain, size, held);
        }
        magazine.pop(self.slabs.link(), held)
    }

    /// Takes a slot that other processors have at hand: no frame is to be had. All of them give
    /// theirs back, so that what is free anywhere is found by whoever comes next, too.
    fn alloc_from_others<M: Machine>(&self, machine: &M, frames: &Frames) -> Option<NonNull<()>> {
        self.empty_magazines(machine, frames);
        let slabs = self.slabs.lock(machine);
        let mut chain = self.slabs.take(machine, frames, 1, &slabs);
        // SAFETY: a chain of free slots, ours.
        unsafe { chain.pop(self.slabs.link()) }
    }

    /// Frees a slot where the loaded chain has no room.
    ///
    /// # Safety
    ///
    /// As for [`free`](RawPool::free).
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        magazine: &Magazine,
        slot: NonNull<()>,
        held: OwnerGuard<'_, M>,
    ) {
        // SAFETY: the caller's word.
        if let Some(chain) = unsafe { self.unload(machine, magazine, slot, &held) } {
            let slabs = self.slabs.lock(machine);
            // SAFETY: slots in a magazine are free and came from these slabs.
            unsafe { self.slabs.give(machine, frames, chain, &slabs) };
        }
    }

    /// Loads an empty magazine in place of the full one, and puts a slot in it. If there are two full
    /// ones already and the depot has no place for another, that comes back.
    ///
    /// # Safety
    ///
    /// The slot is free, came from this pool, and is the pool's from now on.
    pub(super) unsafe fn unload<M: Machine>(
        &self,
        machine: &M,
        magazine: &Magazine,
        slot: NonNull<()>,
        held: &OwnerGuard<'_, M>,
    ) -> Option<Chain> {
        let loaded = magazine.unload(held);
        let mut over = None;
        if loaded.count != 0 {
            let previous = magazine.take_previous(held);
            if previous.count != 0 {
                let slabs = self.lock_depot(machine);
                let bytes = previous.count as usize * self.slabs.size();
                let most = (DEPOT / bytes).clamp(1, PLACES) as u32;
                over = self.depot.put(previous, most, &slabs).err();
            }
            magazine.put_previous(loaded, held);
        }
        magazine.load(Chain::empty(), self.magazine.get(), held);
        // SAFETY: the caller's word.
        let pushed = unsafe { magazine.push(slot, self.slabs.link(), held) };
        debug_assert!(pushed, "an empty magazine has room");
        over
    }

    /// Locks slabs and depot. Who finds them locked often makes the magazines larger, so that fewer
    /// come here.
    fn lock_depot<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        if let Some(held) = self.slabs.try_lock(machine) {
            return held;
        }
        let held = self.slabs.lock(machine);
        self.contended.set(self.contended.get() + 1);
        if self.contended.get() >= CONTENDED {
            self.contended.set(0);
            let most = slots(self.slabs.size(), LARGE_MAGAZINE, MANY);
            self.magazine.set((2 * self.magazine.get()).min(most));
        }
        held
    }

    /// Slots that a magazine has when it is full.
    pub fn magazine_size(&self) -> u32 {
        self.magazine.get()
    }
}

/// How many slots fill so many bytes: at least one, at most `most`.
const fn slots(size: usize, bytes: usize, most: usize) -> u32 {
    match bytes / size {
        0 => 1,
        count if count > most => most as u32,
        count => count as u32,
    }
}
