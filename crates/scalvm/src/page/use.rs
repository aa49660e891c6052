//! How the pages of objects use their descriptors: who holds them, and what is going on with them.
//!
//! A page of an object has one hold for its anon and one for everyone who uses it without a lock:
//! I/O, and each [`HeldPage`](crate::HeldPage). The last to let go frees it. `mapped` counts the
//! page-table entries that map it (the seed's count of places where an anon is actually mapped).
//!
//! The flags are atomic. `DIRTY` and `TOUCHED` are set by whoever finds that the page was written or
//! used. `BUSY` and `WRITING` are set with the object that has the page locked, or by the page daemon
//! without it, and never both: whoever sets one does so only while neither is set
//! ([`Page::try_flag`]). A page that is busy is entered in no page table, and nobody begins to hold
//! it; but who has found it plain with its object locked may still do so until that lock is let go. A
//! fork may hold one whose contents are good, to read them (`object/snapshot.rs`).
//!
//! A page and its anon name each other, and that they do changes only with the page's *identity
//! locked* ([`Page::identify`]): so who has that lock, and has found an owner, has an anon that is not
//! freed meanwhile. It is the innermost lock but for those of stores and allocators.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{Page, State};
use crate::anon::Anon;
use crate::error::PagerError;
use crate::kmem::Ptr;
use crate::machine::{LockEvent, Machine, Rank};

/// The contents differ from the backing store.
pub(crate) const DIRTY: u16 = 1;
/// Being read: the contents are not valid yet.
pub(crate) const BUSY: u16 = 2;
/// Being written: the contents are valid, and a later change sets `DIRTY` again.
pub(crate) const WRITING: u16 = 4;
/// Brought ahead of its use, and not used yet, as far as is known.
pub(crate) const AHEAD: u16 = 0x40;
/// The policy of replacement knows the page.
pub(crate) const KNOWN: u16 = 0x80;
/// Was trimmed out of an address space, and not entered since.
pub(crate) const TRIMMED: u16 = 0x4000;
/// Used without a page table since the daemon last looked.
pub(crate) const TOUCHED: u16 = 0x1000;
/// Could not be written together with others: is written alone, so that it is known which fails.
pub(crate) const LONE: u16 = 0x2000;
/// The page's identity is locked.
pub(super) const IDENTITY: u16 = 0x8000;
const FAILED_IO: u16 = 8;
const FAILED_NO_ROOM: u16 = 16;
const FAILED_GONE: u16 = 32;
/// Could not be read.
const FAILED: u16 = FAILED_IO | FAILED_NO_ROOM | FAILED_GONE;

/// Holds the lock of a page's identity; dropping it lets go.
#[must_use]
pub(crate) struct Identity<'a, M: Machine> {
    page: &'a Page,
    machine: &'a M,
}

impl<M: Machine> Drop for Identity<'_, M> {
    #[inline]
    fn drop(&mut self) {
        self.page.flags().fetch_and(!IDENTITY, Release);
        self.machine.lock_event(LockEvent::Release, Rank::Page);
    }
}

impl Page {
    /// Tells that the anon holds this page, which nobody held before.
    #[inline]
    pub fn own<M: Machine>(&self, anon: Ptr<Anon<M>>) {
        self.set_owner(Some(anon));
    }

    /// Tells that the anon is gone. Those who use the page still hold it. Its identity is locked.
    #[inline]
    pub fn disown<M: Machine>(&self, _identity: &Identity<'_, M>) {
        self.set_owner::<()>(None);
    }

    /// Locks the page's identity.
    #[inline]
    pub fn identify<'a, M: Machine>(&'a self, machine: &'a M) -> Identity<'a, M> {
        machine.lock_event(LockEvent::Acquire, Rank::Page);
        while self.flags().fetch_or(IDENTITY, Acquire) & IDENTITY != 0 {
            while self.test_flags(IDENTITY) != 0 {
                machine.relax();
            }
        }
        Identity {
            page: self,
            machine,
        }
    }

    /// Notes a use that no page table sees.
    #[inline]
    pub fn touch(&self) {
        if self.test_flags(TOUCHED) == 0 {
            self.set_flags(TOUCHED);
        }
    }

    /// Makes the page busy, if it is plain and not being written.
    pub fn try_busy(&self) -> bool {
        self.try_flag(BUSY, BUSY | WRITING | FAILED)
    }

    /// Clears what is left in the flags of a page that is about to be freed; tells what it was.
    #[inline]
    pub fn forget_flags(&self) -> u16 {
        self.clear_flags(!IDENTITY)
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

    /// The anon that has the page, and whether it is a page of a vnode object; none for a page that
    /// no anon has, or a frame that is used for something else. The identity is locked.
    ///
    /// A free frame's owner is a link of the allocator's, and is cleared before the frame gets a use
    /// again: so an owner that is still the same after the use was looked at is an anon.
    pub fn anon<M: Machine>(&self, _identity: &Identity<'_, M>) -> Option<(Ptr<Anon<M>>, bool)> {
        let anon = self.owner()?;
        let file = match self.state() {
            State::Anon => false,
            State::File => true,
            _ => return None,
        };
        (self.owner() == Some(anon)).then_some((anon, file))
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
