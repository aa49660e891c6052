//! The free slots of a pool that one processor has at hand: a chain through the slots' first words.
//!
//! Each has its own lock ([`Rank::Pool`](crate::Rank::Pool)), on its own cache line, which only its
//! processor takes as a rule. The lock of the slabs is taken inside of it.
//!
//! 1. `count` slots are in the chain from `first` on; nobody else knows of them, and their first
//!    word is the next one's address.

use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU32};

use crate::machine::{Machine, Rank};
use crate::sync::{SpinGuard, SpinLock};

/// A chain of free slots.
#[repr(align(64))]
pub(super) struct Magazine {
    lock: SpinLock,
    count: AtomicU32,
    first: AtomicPtr<()>,
}

impl Magazine {
    pub const fn new() -> Magazine {
        Magazine {
            lock: SpinLock::new(),
            count: AtomicU32::new(0),
            first: AtomicPtr::new(core::ptr::null_mut()),
        }
    }

    #[inline(always)]
    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::Pool)
    }

    /// Slots in the chain.
    #[inline(always)]
    pub fn count(&self) -> u32 {
        self.count.load(Relaxed)
    }

    /// Whether nothing is in the chain, by the count and by the chain.
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && self.first.load(Relaxed).is_null()
    }

    #[inline(always)]
    pub fn pop<M: Machine>(&self, _held: &SpinGuard<'_, M>) -> Option<NonNull<()>> {
        // SAFETY: invariant 1.
        let slot = unsafe { pop(&self.first) }?;
        self.count.store(self.count() - 1, Relaxed);
        Some(slot)
    }

    /// Adds a slot.
    ///
    /// # Safety
    ///
    /// The slot is free, and the caller forgets it.
    #[inline(always)]
    pub unsafe fn push<M: Machine>(&self, slot: NonNull<()>, _held: &SpinGuard<'_, M>) {
        // SAFETY: the caller's word.
        unsafe { push(&self.first, slot) };
        self.count.store(self.count() + 1, Relaxed);
    }

    /// Panics where the chain is not as long as `count`.
    pub fn check_invariants<M: Machine>(&self, _held: &SpinGuard<'_, M>) {
        // SAFETY: invariant 1.
        let len = unsafe { len(&self.first, self.count()) };
        assert_eq!(len, self.count(), "slots in a magazine");
    }
}

/// Takes the first slot out of a chain.
///
/// # Safety
///
/// `first` is the head of a chain of free slots, which nobody else uses.
#[inline(always)]
pub(super) unsafe fn pop(first: &AtomicPtr<()>) -> Option<NonNull<()>> {
    let slot = NonNull::new(first.load(Relaxed))?;
    // SAFETY: the first word of a free slot is the next one's address.
    first.store(unsafe { slot.cast::<*mut ()>().read() }, Relaxed);
    Some(slot)
}

/// Adds a slot to the front of a chain.
///
/// # Safety
///
/// As for [`pop`]; the slot is free, has room for a pointer, and is in no chain.
#[inline(always)]
pub(super) unsafe fn push(first: &AtomicPtr<()>, slot: NonNull<()>) {
    // SAFETY: the slot is free and has room for its link.
    unsafe { slot.cast::<*mut ()>().write(first.load(Relaxed)) };
    first.store(slot.as_ptr(), Relaxed);
}

/// The length of a chain, at most one more than `most`.
///
/// # Safety
///
/// As for [`pop`].
pub(super) unsafe fn len(first: &AtomicPtr<()>, most: u32) -> u32 {
    let mut next = NonNull::new(first.load(Relaxed));
    let mut len = 0;
    while let Some(slot) = next
        && len <= most
    {
        len += 1;
        // SAFETY: a free slot, as in `pop`.
        next = NonNull::new(unsafe { slot.cast::<*mut ()>().read() });
    }
    len
}
