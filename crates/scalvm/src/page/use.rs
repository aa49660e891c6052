//! How the pages of objects use their descriptors: who holds them, and what is going on with them.
//!
//! A page of an object has one hold for its anon and one for everyone who uses it without a lock:
//! I/O, and each [`HeldPage`](crate::HeldPage). The last to let go frees it. `mapped` counts the
//! page-table entries that map it (the seed's count of places where an anon is actually mapped).
//! The flags change under the lock of the object that has the page, but for two: `DIRTY` may be set
//! by whoever finds that the page was written, and `BUSY` by the page-out daemon, which does not
//! always have that lock. So whoever claims a page that may be in use does it with
//! [`try_flag`](Page::try_flag).

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use super::Page;
use crate::anon::Anon;
use crate::error::PagerError;
use crate::kmem::Ptr;
use crate::machine::Machine;

/// The contents differ from the backing store.
pub(crate) const DIRTY: u16 = 1;
/// Being read: the contents are not valid yet.
pub(crate) const BUSY: u16 = 2;
/// Being written: the contents are valid, and a later change sets `DIRTY` again.
pub(crate) const WRITING: u16 = 4;
const FAILED_IO: u16 = 8;
const FAILED_NO_ROOM: u16 = 16;
const FAILED_GONE: u16 = 32;
/// Could not be read.
const FAILED: u16 = FAILED_IO | FAILED_NO_ROOM | FAILED_GONE;

impl Page {
    /// Tells that the anon holds this page, which nobody held before.
    #[inline]
    pub fn own<M: Machine>(&self, anon: Ptr<Anon<M>>) {
        self.set_owner(Some(anon));
    }

    /// Tells that the anon is gone. Those who use the page still hold it.
    #[inline]
    pub fn disown(&self) {
        self.set_owner::<()>(None);
    }

    /// Whether an anon holds the page.
    pub fn is_owned(&self) -> bool {
        self.owner::<()>().is_some()
    }

    /// How many hold the page.
    #[inline(always)]
    pub fn holds(&self) -> &AtomicU32 {
        &self.holds
    }

    /// One page-table entry more.
    #[inline(always)]
    pub fn mapped(&self) {
        self.mapped.fetch_add(1, Relaxed);
    }

    /// One page-table entry less.
    #[inline(always)]
    pub fn unmapped(&self) {
        let before = self.mapped.fetch_sub(1, Relaxed);
        debug_assert!(before > 0, "a page has as many mappings as were entered");
    }

    /// Sets `set` if none of `unless` is set, in one step; tells whether it did.
    #[inline]
    pub fn try_flag(&self, set: u16, unless: u16) -> bool {
        self.update_flags(|flags| (flags & unless == 0).then_some(flags | set))
    }

    /// Whether the contents are there to be used.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.test_flags(BUSY | FAILED) == 0
    }

    /// Why the page could not be read.
    pub fn error(&self) -> Option<PagerError> {
        match self.test_flags(FAILED) {
            0 => None,
            FAILED_NO_ROOM => Some(PagerError::NoRoom),
            FAILED_GONE => Some(PagerError::Gone),
            _ => Some(PagerError::Io),
        }
    }

    /// Notes why it could not be read.
    pub fn fail(&self, error: PagerError) {
        self.set_flags(match error {
            PagerError::Io => FAILED_IO,
            PagerError::NoRoom => FAILED_NO_ROOM,
            PagerError::Gone => FAILED_GONE,
        });
    }
}
