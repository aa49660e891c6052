//! Free slots in a row, each of which names the next: needs no memory but their own.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

/// A chain that is on its way from one place to another. It is not forgotten: its slots would be
/// lost.
#[must_use]
pub(super) struct Chain {
    pub first: *mut (),
    pub count: u32,
}

impl Chain {
    /// No slots.
    pub const fn empty() -> Chain {
        Chain {
            first: null_mut(),
            count: 0,
        }
    }

    /// Takes the first slot out.
    ///
    /// # Safety
    ///
    /// As for [`pop`].
    pub unsafe fn pop(&mut self, link: usize) -> Option<NonNull<()>> {
        let slot = NonNull::new(self.first)?;
        // SAFETY: the caller's word.
        self.first = unsafe { place(slot, link).read() };
        self.count -= 1;
        Some(slot)
    }

    /// Adds a slot.
    ///
    /// # Safety
    ///
    /// As for [`push`].
    pub unsafe fn push(&mut self, slot: NonNull<()>, link: usize) {
        // SAFETY: the caller's word.
        unsafe { place(slot, link).write(self.first) };
        self.first = slot.as_ptr();
        self.count += 1;
    }
}

/// Where a free slot keeps the next one's address.
///
/// # Safety
///
/// The slot has a pointer's room at `link`.
#[inline(always)]
unsafe fn place(slot: NonNull<()>, link: usize) -> NonNull<*mut ()> {
    // SAFETY: within the slot.
    unsafe { slot.byte_add(link).cast() }
}

/// The slot behind one in a chain; null behind the last.
///
/// # Safety
///
/// As for [`pop`].
#[inline(always)]
pub(super) unsafe fn next(slot: NonNull<()>, link: usize) -> *mut () {
    // SAFETY: the caller's word.
    unsafe { place(slot, link).read() }
}

/// Takes the first slot out of the chain that begins in a field.
///
/// # Safety
///
/// `first` is the head of a chain of free slots linked at `link`, which nobody else uses.
#[inline(always)]
pub(super) unsafe fn pop(first: &AtomicPtr<()>, link: usize) -> Option<NonNull<()>> {
    let slot = NonNull::new(first.load(Relaxed))?;
    // SAFETY: the caller's word.
    first.store(unsafe { place(slot, link).read() }, Relaxed);
    Some(slot)
}

/// Adds a slot to the front of the chain that begins in a field.
///
/// # Safety
///
/// As for [`pop`]; the slot is free, has room for a pointer at `link`, aligned, and is in no chain.
#[inline(always)]
pub(super) unsafe fn push(first: &AtomicPtr<()>, slot: NonNull<()>, link: usize) {
    // SAFETY: the caller's word.
    unsafe { place(slot, link).write(first.load(Relaxed)) };
    first.store(slot.as_ptr(), Relaxed);
}

/// The length of a chain, at most one more than `most`.
///
/// # Safety
///
/// As for [`pop`].
pub(super) unsafe fn len(first: *mut (), link: usize, most: u32) -> u32 {
    let mut slot = NonNull::new(first);
    let mut len = 0;
    while let Some(at) = slot
        && len <= most
    {
        len += 1;
        // SAFETY: a free slot of the chain.
        slot = NonNull::new(unsafe { place(at, link).read() });
    }
    len
}
