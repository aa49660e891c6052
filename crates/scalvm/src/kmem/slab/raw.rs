//! [`RawPool`]: slots of one size, without a type.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::chain::Chain;
use super::depot::Depot;
use super::magazine::Magazine;
use super::poison;
use super::slabs::Slabs;
use super::tag::Use;
use crate::addr::PAGE_SIZE;
use crate::machine::{MAX_CPUS, Machine};
use crate::page::Frames;
use crate::sync::{Field, OwnerGuard, Pinned, SpinGuard};

/// Bytes of a magazine at first, and slots, at most.
const SMALL: (usize, usize) = (32 << 10, 64);
/// What it may grow to.
const LARGE: (usize, usize) = (128 << 10, 256);
/// A magazine has as many slots even so, unless that were more bytes than this.
const FEW: (usize, usize) = (128 << 10, 8);
/// A depot has at most one part in so many of all memory.
const SHARE: usize = 128;
/// Bytes that a depot may have of any memory, and the most; but one magazine always.
const DEPOT: (usize, usize) = (64 << 10, 2 << 20);
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
            magazine: Field::<u32>::constant(slots(size, SMALL)),
            contended: Field::<u32>::constant(0),
            fails: AtomicU64::new(0),
            magazines: [const { Magazine::new() }; MAX_CPUS],
        }
    }

    /// Allocates a slot of a pool that was made by [`new`](RawPool::new). Its bytes are undefined.
    #[inline(always)]
    pub fn alloc<M: Machine>(&self, machine: &M, frames: &Frames) -> Option<NonNull<()>> {
        if !machine.may_allocate() {
            return None;
        }
        match self.alloc_quickly(machine, |_| true) {
            None => self.alloc_slowly(&Pinned::new(machine), frames),
            slot => slot,
        }
    }

    /// The same from the loaded chain of this processor alone, if `charge` agrees, which is told the
    /// processor's number and takes no lock. The machine is not asked. Calls nothing that is not
    /// inlined: all else is for [`alloc_slowly`](RawPool::alloc_slowly).
    #[inline(always)]
    pub fn alloc_quickly<M: Machine>(
        &self,
        machine: &M,
        charge: impl FnOnce(usize) -> bool,
    ) -> Option<NonNull<()>> {
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        let held = magazine.try_enter(machine)?;
        let slot = magazine.pop(0, || charge(pinned.cpu()), &held)?;
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
    pub unsafe fn free<M: Machine>(&self, machine: &M, frames: &Frames, slot: NonNull<()>) {
        // SAFETY: the caller's word.
        unsafe {
            if !self.free_quickly(machine, frames, slot, |_| true) {
                self.free_slowly(&Pinned::new(machine), frames, slot);
            }
        }
    }

    /// The same where the loaded chain of this processor has room, if `credit` agrees; tells whether
    /// it was done. As [`alloc_quickly`](RawPool::alloc_quickly).
    ///
    /// # Safety
    ///
    /// As for [`free`](RawPool::free).
    #[inline(always)]
    pub unsafe fn free_quickly<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        slot: NonNull<()>,
        credit: impl FnOnce(usize) -> bool,
    ) -> bool {
        let pinned = Pinned::new(machine);
        let magazine = self.magazine(&pinned);
        let Some(held) = magazine.try_enter(machine) else {
            return false;
        };
        let agrees = || {
            let agrees = credit(pinned.cpu());
            if agrees {
                self.note_free(machine, frames, slot);
            }
            agrees
        };
        // SAFETY: the caller's word.
        unsafe { magazine.push(slot, 0, agrees, &held) }
    }

    /// In debug builds: panics if `slot` is none of this pool, or is free, and marks it so.
    #[inline(always)]
    fn note_free<M: Machine>(&self, machine: &M, frames: &Frames, slot: NonNull<()>) {
        if cfg!(debug_assertions) {
            self.slabs.check_slot(machine, frames, slot);
            // SAFETY: a slot of this size, no longer its user's.
            unsafe { poison::freed(slot, self.slabs.size()) };
        }
    }

    /// The magazine of the processor that the caller is pinned to.
    #[inline(always)]
    pub(super) fn magazine<M: Machine>(&self, pinned: &Pinned<'_, M>) -> &Magazine {
        &self.magazines[pinned.cpu() % MAX_CPUS]
    }

    /// Allocates by whatever way there is. The machine has been asked already.
    #[cold]
    #[inline(never)]
    pub fn alloc_slowly<M: Machine>(
        &self,
        pinned: &Pinned<'_, M>,
        frames: &Frames,
    ) -> Option<NonNull<()>> {
        let machine = pinned.machine();
        let magazine = self.magazine(pinned);
        let held = magazine.enter(machine);
        let mut slot = magazine.pop(0, || true, &held);
        if slot.is_none() {
            slot = self.reload(machine, magazine, &held);
        }
        if slot.is_none() {
            let slabs = self.slabs.lock(machine);
            let size = self.magazine.get();
            let chain = self.slabs.take(machine, frames, size, &slabs);
            drop(slabs);
            magazine.load(chain, size, &held);
            slot = magazine.pop(0, || true, &held);
        }
        drop(held);
        let slot = slot.or_else(|| self.alloc_from_others(machine, frames));
        match slot {
            // SAFETY: a slot of this size, now ours.
            Some(slot) => unsafe { poison::taken(slot, self.slabs.size()) },
            None => self.failed(),
        }
        slot
    }

    /// Loads a full magazine in place of the empty one, if the processor or the depot has one, and
    /// takes a slot.
    #[inline(always)]
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
        magazine.pop(self.slabs.link(), || true, held)
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

    /// Frees a slot by whatever way there is.
    ///
    /// # Safety
    ///
    /// As for [`free`](RawPool::free).
    #[cold]
    #[inline(never)]
    pub unsafe fn free_slowly<M: Machine>(
        &self,
        pinned: &Pinned<'_, M>,
        frames: &Frames,
        slot: NonNull<()>,
    ) {
        let machine = pinned.machine();
        self.note_free(machine, frames, slot);
        let magazine = self.magazine(pinned);
        let held = magazine.enter(machine);
        // SAFETY: the caller's word.
        if unsafe { magazine.push(slot, 0, || true, &held) } {
            return;
        }
        // SAFETY: the same; slots in a magazine are free and came from these slabs.
        unsafe {
            if let Some(chain) = self.unload(machine, frames, magazine, slot, &held) {
                self.give(machine, frames, chain);
            }
        }
    }

    /// Loads an empty magazine in place of the full one, and puts a slot in it. If there are two full
    /// ones already and the depot has no place for another, that comes back.
    ///
    /// # Safety
    ///
    /// The slot is free, came from this pool, and is the pool's from now on.
    #[inline(always)]
    pub(super) unsafe fn unload<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        magazine: &Magazine,
        slot: NonNull<()>,
        held: &OwnerGuard<'_, M>,
    ) -> Option<Chain> {
        let loaded = magazine.unload(held);
        let mut over = None;
        if loaded.count != 0 {
            let previous = magazine.take_previous(held);
            if previous.count != 0 {
                let bytes = frames.total() as usize / SHARE * PAGE_SIZE;
                let bytes = bytes.clamp(DEPOT.0, DEPOT.1);
                let magazine = previous.count as usize * self.slabs.size();
                let room = |count| count == 1 || count * magazine <= bytes;
                let slabs = self.lock_depot(machine);
                over = self.depot.put(previous, room, &slabs).err();
            }
            magazine.put_previous(loaded, held);
        }
        magazine.load(Chain::empty(), self.magazine.get(), held);
        // SAFETY: the caller's word.
        let pushed = unsafe { magazine.push(slot, self.slabs.link(), || true, held) };
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
            let most = slots(self.slabs.size(), LARGE);
            self.magazine.set((2 * self.magazine.get()).min(most));
        }
        held
    }

    /// Counts an allocation that has failed.
    pub fn failed(&self) {
        self.fails.fetch_add(1, Relaxed);
    }

    /// Whether its slots are for this use.
    pub fn is_for(&self, user: Use) -> bool {
        self.slabs.user() == user
    }

    /// Slots that a magazine has when it is full.
    pub fn magazine_size(&self) -> u32 {
        self.magazine.get()
    }
}

/// How many slots a magazine has, for so many bytes and so many slots at most: at least one.
const fn slots(size: usize, (bytes, most): (usize, usize)) -> u32 {
    let few = match FEW.0 / size {
        0 => 1,
        count if count > FEW.1 => FEW.1,
        count => count,
    };
    match bytes / size {
        count if count < few => few as u32,
        count if count > most => most as u32,
        count => count as u32,
    }
}
