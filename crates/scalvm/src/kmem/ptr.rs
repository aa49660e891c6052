//! A pointer to a structure in a pool.

use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

/// Points to a structure that lives in a [`Pool`](super::Pool) or in a segment's array of page
/// descriptors.
///
/// Copies lie in queues, trees and back pointers. What makes them safe to follow is an invariant of
/// the whole crate: **a structure is freed only after every queue, tree and field that named it has
/// been changed**, under the locks that protect those; reference counts tell when. The type never
/// leaves the crate.
pub(crate) struct Ptr<T>(NonNull<T>);

impl<T> Clone for Ptr<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ptr<T> {}

impl<T> PartialEq for Ptr<T> {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for Ptr<T> {}

impl<T> fmt::Debug for Ptr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// SAFETY: gives shared access only, as `&T` does; structures are freed by the invariant above.
unsafe impl<T: Sync> Send for Ptr<T> {}
// SAFETY: as for Send.
unsafe impl<T: Sync> Sync for Ptr<T> {}

impl<T> Deref for Ptr<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the invariant above: while a Ptr can be reached, its structure is alive.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Ptr<T> {
    /// Names a structure; it must live as the invariant says.
    ///
    /// # Safety
    ///
    /// `at` points to an initialised `T` in memory that stays a `T` until it is freed by the
    /// invariant above.
    #[inline(always)]
    pub(crate) const unsafe fn new(at: NonNull<T>) -> Ptr<T> {
        Ptr(at)
    }

    /// Names a structure that is never freed.
    #[cfg(test)]
    pub fn permanent(at: &'static T) -> Ptr<T> {
        Ptr(NonNull::from(at))
    }

    /// The structure itself, for as long as the invariant above holds for the caller.
    #[inline(always)]
    pub fn target<'a>(self) -> &'a T {
        // SAFETY: as for `deref`; the caller's reference is given up before the structure is freed.
        unsafe { &*self.0.as_ptr() }
    }

    #[inline(always)]
    pub fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }

    #[inline(always)]
    pub fn as_non_null(self) -> NonNull<T> {
        self.0
    }

    /// For an atomic pointer: null is none.
    #[inline(always)]
    pub fn into_raw(this: Option<Ptr<T>>) -> *mut T {
        this.map_or(core::ptr::null_mut(), |p| p.0.as_ptr())
    }

    /// The reverse of [`into_raw`](Ptr::into_raw).
    #[inline(always)]
    pub fn from_raw(raw: *mut T) -> Option<Ptr<T>> {
        NonNull::new(raw).map(Ptr)
    }
}
