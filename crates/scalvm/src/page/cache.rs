//! A processor's cache of single free frames: a chain through the descriptors' `owner`.
//!
//! Each has its own lock ([`Rank::FrameCache`](crate::Rank::FrameCache)), on its own cache line,
//! which only its processor takes as a rule. The lock of the free lists is taken inside of it.
//!
//! 1. `count` pages are in the chain from `first` on, all `Cached`.
//! 2. `used[state]` is how many frames were allocated through this cache for that state, less those
//!    freed through it, modulo 2^32; a frame may be freed through another cache than it came from,
//!    so that only the sum over all caches means something.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU32};

use super::{Page, State};
use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::sync::{SpinGuard, SpinLock};

/// How many frames move between a cache and the free lists at a time.
pub(super) const BATCH: u32 = 32;
/// A cache with this many is drained by a batch.
pub(super) const HIGH: u32 = 64;

/// The free frames that a processor has at hand.
#[repr(align(64))]
pub(super) struct FrameCache {
    lock: SpinLock,
    count: AtomicU32,
    first: AtomicPtr<()>,
    used: [AtomicU32; State::COUNT],
}

const _: () = assert!(size_of::<FrameCache>() == 64);

impl FrameCache {
    pub const fn new() -> FrameCache {
        FrameCache {
            lock: SpinLock::new(),
            count: AtomicU32::new(0),
            first: AtomicPtr::new(core::ptr::null_mut()),
            used: [const { AtomicU32::new(0) }; State::COUNT],
        }
    }

    #[inline(always)]
    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::FrameCache)
    }

    /// Frames in the chain.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// See invariant 2.
    pub fn used(&self, state: State) -> u32 {
        self.used[state as usize].load(Relaxed)
    }

    /// Takes a page out of the chain; it is still `Cached`.
    #[inline(always)]
    pub fn pop<M: Machine>(&self, _held: &SpinGuard<'_, M>) -> Option<Ptr<Page>> {
        let page: Ptr<Page> = Ptr::from_raw(self.first.load(Relaxed).cast())?;
        self.first.store(page.owner_raw().load(Relaxed), Relaxed);
        self.count.store(self.count() - 1, Relaxed);
        Some(page)
    }

    /// Adds a page that is `Cached` already.
    #[inline(always)]
    pub fn push<M: Machine>(&self, page: Ptr<Page>, _held: &SpinGuard<'_, M>) {
        page.owner_raw().store(self.first.load(Relaxed), Relaxed);
        self.first.store(page.as_ptr().cast(), Relaxed);
        self.count.store(self.count() + 1, Relaxed);
    }

    /// Counts a frame that is in use now.
    #[inline(always)]
    pub fn count_taken<M: Machine>(&self, state: State, _held: &SpinGuard<'_, M>) {
        let used = &self.used[state as usize];
        used.store(used.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Counts a frame that was in use.
    #[inline(always)]
    pub fn count_given<M: Machine>(&self, state: State, _held: &SpinGuard<'_, M>) {
        let used = &self.used[state as usize];
        used.store(used.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// Panics where the chain contradicts the invariants.
    pub fn check_invariants<M: Machine>(&self, _held: &SpinGuard<'_, M>) {
        let mut next = self.first.load(Relaxed);
        for _ in 0..self.count() {
            let page: Ptr<Page> =
                Ptr::from_raw(next.cast()).expect("a cache has fewer frames than it counts");
            assert_eq!(
                page.state(),
                State::Cached,
                "frame {:?} in a cache",
                page.frame()
            );
            next = page.owner_raw().load(Relaxed);
        }
        assert!(next.is_null(), "a cache has more frames than it counts");
    }
}
