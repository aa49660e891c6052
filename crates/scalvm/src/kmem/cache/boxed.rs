//! [`CacheBox`]: an object in use.

use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::ObjectCache;
use crate::machine::Machine;

/// An object of an [`ObjectCache`]. Dropping it gives it back as it is: whoever gets it next finds it
/// so.
pub struct CacheBox<'c, T: Send, M: Machine> {
    cache: &'c ObjectCache<'c, T, M>,
    object: NonNull<T>,
}

// SAFETY: it owns the object, as a Box does.
unsafe impl<T: Send, M: Machine> Send for CacheBox<'_, T, M> {}
// SAFETY: the same; shared, it gives shared access.
unsafe impl<T: Send + Sync, M: Machine> Sync for CacheBox<'_, T, M> {}

impl<'c, T: Send, M: Machine> CacheBox<'c, T, M> {
    pub(super) fn new(cache: &'c ObjectCache<'_, T, M>, object: NonNull<T>) -> Self {
        CacheBox { cache, object }
    }

    /// The object for ever, or until [`from_leaked`](CacheBox::from_leaked): for who keeps it in a
    /// structure of his own. The cache stays as it is as long as it has leaked objects.
    pub fn leak(self) -> NonNull<T> {
        let object = self.object;
        core::mem::forget(self);
        object
    }

    /// The reverse of [`leak`](CacheBox::leak).
    ///
    /// # Safety
    ///
    /// The object was leaked by a box of this cache, and nobody uses it any more.
    pub unsafe fn from_leaked(cache: &'c ObjectCache<'_, T, M>, object: NonNull<T>) -> Self {
        CacheBox::new(cache, object)
    }
}

impl<T: Send, M: Machine> Deref for CacheBox<'_, T, M> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the object is constructed, and the box's alone.
        unsafe { self.object.as_ref() }
    }
}

impl<T: Send, M: Machine> DerefMut for CacheBox<'_, T, M> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.object.as_mut() }
    }
}

impl<T: Send, M: Machine> Drop for CacheBox<'_, T, M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: it came from this cache, and this is its last use.
        unsafe { self.cache.free(self.object) };
    }
}

impl<T: Send + fmt::Debug, M: Machine> fmt::Debug for CacheBox<'_, T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
