//! Pools of slots without a type: magazines before slabs.
//!
//! Locks: a magazine's, inside of it the slabs', inside of it those of [`Frames`].

use core::ptr::NonNull;

use super::magazine::Magazine;
use super::poison;
use super::slabs::{Slabs, Use};
use crate::machine::{MAX_CPUS, Machine};
use crate::page::Frames;
use crate::sync::SpinGuard;

/// A pool of slots of one size.
pub(crate) struct RawPool {
    slabs: Slabs,
    /// How many slots move between a magazine and the slabs at a time.
    batch: u32,
    magazines: [Magazine; MAX_CPUS],
}

impl RawPool {
    /// An empty pool of slots with room for `size` bytes, aligned to each power of two that divides
    /// `size`.
    pub const fn new(size: usize, user: Use) -> RawPool {
        assert!(size.is_multiple_of(size_of::<usize>()));
        // At most two frames' worth, at least two slots.
        let batch = match 8192 / size {
            0..2 => 2,
            batch @ 2..32 => batch,
            _ => 32,
        };
        RawPool {
            slabs: Slabs::new(size, user),
            batch: batch as u32,
            magazines: [const { Magazine::new() }; MAX_CPUS],
        }
    }

    /// Allocates a slot. Its bytes are undefined.
    #[inline]
    pub fn alloc<M: Machine>(&self, machine: &M, frames: &Frames) -> Option<NonNull<()>> {
        if !machine.may_allocate() {
            return None;
        }
        let magazine = self.magazine(machine);
        let held = magazine.lock(machine);
        let slot = match magazine.pop(&held) {
            Some(slot) => slot,
            None => {
                drop(held);
                self.refill(machine, frames)?
            }
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
    #[inline]
    pub unsafe fn free<M: Machine>(&self, machine: &M, frames: &Frames, slot: NonNull<()>) {
        if cfg!(debug_assertions) {
            self.slabs.check_slot(frames, slot);
        }
        // SAFETY: a slot of this size, no longer its user's.
        unsafe { poison::freed(slot, self.slabs.size()) };
        let magazine = self.magazine(machine);
        let held = magazine.lock(machine);
        // SAFETY: the caller's word.
        unsafe { magazine.push(slot, &held) };
        if magazine.count() > 2 * self.batch {
            self.drain(machine, frames, magazine, held);
        }
    }

    /// Slots in use. Exact while nobody allocates or frees.
    pub fn in_use(&self) -> u64 {
        let idle: u64 = self
            .magazines
            .iter()
            .map(|magazine| u64::from(magazine.count()))
            .sum();
        self.slabs.used().saturating_sub(idle)
    }

    #[inline(always)]
    fn magazine<M: Machine>(&self, machine: &M) -> &Magazine {
        &self.magazines[machine.cpu() % MAX_CPUS]
    }

    /// Fills the magazine of this processor and takes one slot. When no frame is to be had, takes
    /// one from another processor's magazine.
    #[cold]
    fn refill<M: Machine>(&self, machine: &M, frames: &Frames) -> Option<NonNull<()>> {
        let magazine = self.magazine(machine);
        let held = magazine.lock(machine);
        if magazine.count() == 0 {
            let slabs = self.slabs.lock(machine);
            // SAFETY: each slot is free, and the magazine alone gets it.
            let sink = |slot| unsafe { magazine.push(slot, &held) };
            self.slabs.take(machine, frames, self.batch, sink, &slabs);
        }
        if let Some(slot) = magazine.pop(&held) {
            return Some(slot);
        }
        drop(held);
        self.magazines
            .iter()
            .filter(|magazine| magazine.count() != 0)
            .find_map(|magazine| {
                let held = magazine.lock(machine);
                magazine.pop(&held)
            })
    }

    /// Gives a batch of slots back to the slabs.
    #[cold]
    fn drain<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        magazine: &Magazine,
        held: SpinGuard<'_, M>,
    ) {
        let mut left = self.batch;
        let source = || {
            left = left.checked_sub(1)?;
            magazine.pop(&held)
        };
        let slabs = self.slabs.lock(machine);
        // SAFETY: slots in a magazine are free and came from these slabs.
        unsafe { self.slabs.give(machine, frames, source, &slabs) };
    }

    /// Panics where the pool contradicts itself. Locks everything in turn.
    pub fn check_invariants<M: Machine>(&self, machine: &M, frames: &Frames) {
        // Those of processors that never were need no lock.
        for magazine in self.magazines.iter().filter(|it| !it.is_empty()) {
            let held = magazine.lock(machine);
            magazine.check_invariants(&held);
        }
        let held = self.slabs.lock(machine);
        self.slabs.check_invariants(frames, &held);
    }
}
