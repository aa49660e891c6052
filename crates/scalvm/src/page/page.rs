//! The descriptor of one page frame.
//!
//! A frame comes from the allocator with `flags`, `holds` and `mapped` zero and without an owner,
//! and must be given back with `flags`, `holds` and `mapped` zero (but for the lock in `flags`).
//! Meanwhile `owner`, `next` and `prev` belong to whoever allocated it; while the frame is free they
//! are the allocator's. `older`, `newer` and the *mark*, four bits of `flags`, are the replacement policy's alone, and keep their
//! values while the frame is free: a policy finds out later that a page of its lists is gone.

use core::mem::size_of;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use super::State;
use crate::addr::Frame;
use crate::kmem::Ptr;
use crate::sync::Field;

/// Describes one page frame.
#[repr(C)]
pub(crate) struct Page {
    /// A [`State`].
    state: AtomicU8,
    /// log2 of the frames in the block that begins here; of a `Free` frame or one in use.
    order: Field<u8>,
    /// What `page/use.rs` likes, but for the bits of [`MARK`].
    flags: AtomicU16,
    /// How many hold the frame in place.
    pub holds: AtomicU32,
    /// Of a frame in use: what its user likes, a pointer or a number. `Cached`: the next in the
    /// cache.
    owner: AtomicPtr<()>,
    /// The next in a [`PageList`](super::PageList), a frame number.
    pub(super) next: Field<u32>,
    /// The one before in a [`PageList`](super::PageList).
    pub(super) prev: Field<u32>,
    frame: u32,
    /// Page-table entries that map the frame.
    pub mapped: AtomicU32,
    /// The replacement policy's link to the next older node of one of its lists, or
    /// [`UNLINKED`]. A frame may be freed while it is linked.
    pub older: Field<u32>,
    /// The next newer node.
    pub newer: Field<u32>,
}

/// The bits of `flags` that are the mark.
const MARK: u16 = 0xf00;

/// What `older` and `newer` of a page are that no list of a policy has.
pub(crate) const UNLINKED: u32 = u32::MAX;

const _: () = assert!(size_of::<Page>() == 40);
const _: () = assert!(size_of::<AtomicPtr<()>>() == size_of::<AtomicU64>());

impl Page {
    /// Describes a frame that is inside a block.
    pub(super) fn new(frame: u32) -> Page {
        Page {
            state: AtomicU8::new(State::Tail as u8),
            order: Field::new(0),
            flags: AtomicU16::new(0),
            holds: AtomicU32::new(0),
            owner: AtomicPtr::new(core::ptr::null_mut()),
            next: Field::new(super::list::NONE),
            prev: Field::new(super::list::NONE),
            frame,
            mapped: AtomicU32::new(0),
            older: Field::new(UNLINKED),
            newer: Field::new(UNLINKED),
        }
    }

    /// The frame that this describes.
    #[inline(always)]
    pub fn frame(&self) -> Frame {
        Frame(u64::from(self.frame))
    }

    /// Its number alone, as the links have it.
    #[inline(always)]
    pub(super) fn number(&self) -> u32 {
        self.frame
    }

    /// What the frame is used for.
    #[inline(always)]
    pub fn state(&self) -> State {
        State::from_u8(self.state.load(Acquire))
    }

    /// Changes what the frame is used for; debug builds check that [`State`] allows it.
    #[inline(always)]
    pub(super) fn move_state(&self, from: State, to: State) {
        debug_assert_eq!(self.state(), from, "frame {:#x}", self.frame);
        debug_assert!(
            from.may_become(to),
            "frame {:#x}: {from:?} to {to:?}",
            self.frame
        );
        self.state.store(to as u8, Release);
    }

    /// log2 of the frames in the block that begins here.
    #[inline(always)]
    pub fn order(&self) -> u32 {
        u32::from(self.order.get())
    }

    #[inline(always)]
    pub(super) fn set_order(&self, order: u32) {
        self.order.set(order as u8);
    }

    /// Sets flags; tells which were set before.
    #[inline(always)]
    pub fn set_flags(&self, flags: u16) -> u16 {
        debug_assert_eq!(flags & MARK, 0);
        self.flags.fetch_or(flags, Relaxed)
    }

    /// Clears flags, never the mark; tells which were set before.
    #[inline(always)]
    pub fn clear_flags(&self, flags: u16) -> u16 {
        self.flags.fetch_and(!flags | MARK, Relaxed)
    }

    /// Changes the flags in one step, unless `change` gives none; tells whether it did.
    #[inline(always)]
    pub fn update_flags(&self, change: impl FnMut(u16) -> Option<u16>) -> bool {
        self.flags.fetch_update(Acquire, Relaxed, change).is_ok()
    }

    /// Those of `flags` that are set.
    #[inline(always)]
    pub fn test_flags(&self, flags: u16) -> u16 {
        self.flags.load(Relaxed) & flags & !MARK
    }

    /// The replacement policy's mark.
    #[inline(always)]
    pub fn mark(&self) -> u8 {
        ((self.flags.load(Relaxed) & MARK) >> MARK.trailing_zeros()) as u8
    }

    /// Changes the mark, a number below 16. The policy's lock is held.
    #[inline(always)]
    pub fn set_mark(&self, mark: u8) {
        let mark = u16::from(mark) << MARK.trailing_zeros();
        debug_assert_eq!(mark & !MARK, 0);
        // Others change other flags meanwhile; nobody else the mark.
        let old = self.flags.load(Relaxed) & MARK;
        self.flags.fetch_xor(old ^ mark, Relaxed);
    }

    /// All flags.
    #[inline(always)]
    pub(super) fn flags(&self) -> &AtomicU16 {
        &self.flags
    }

    /// What [`set_owner`](Page::set_owner) left here; the caller knows of which type.
    #[inline(always)]
    pub fn owner<T>(&self) -> Option<Ptr<T>> {
        Ptr::from_raw(self.owner.load(Acquire).cast())
    }

    /// Names who uses the frame.
    #[inline(always)]
    pub fn set_owner<T>(&self, owner: Option<Ptr<T>>) {
        self.owner.store(Ptr::into_raw(owner).cast(), Release);
    }

    /// The same place as an untyped pointer, ordered by its user's lock.
    #[inline(always)]
    pub(crate) fn owner_raw(&self) -> &AtomicPtr<()> {
        &self.owner
    }

    /// The owner's place as a number, zero at first: for page tables, see
    /// [`TableFrames::word`](crate::TableFrames::word). Who uses it so must not use it as a
    /// pointer.
    #[inline(always)]
    pub fn word(&self) -> &AtomicU64 {
        // SAFETY: both atomics have the same size and alignment (asserted above; 64-bit pointers
        // are aligned to 8), and every value of the one is a value of the other.
        unsafe { &*(&raw const self.owner).cast::<AtomicU64>() }
    }

    /// Whether the frame may be freed: nobody holds or maps it, no flag is left but the mark. (Who has
    /// found the page a moment ago may have its identity locked, only to see that it is gone.)
    pub(super) fn is_idle(&self) -> bool {
        self.flags.load(Relaxed) & !MARK & !super::r#use::IDENTITY == 0
            && self.holds.load(Relaxed) == 0
            && self.mapped.load(Relaxed) == 0
    }

    /// How many hold and map the frame, and its flags: for messages of failed checks.
    #[cold]
    pub(super) fn use_of(&self) -> (u32, u32, u16) {
        let (holds, mapped) = (self.holds.load(Relaxed), self.mapped.load(Relaxed));
        (holds, mapped, self.flags.load(Relaxed))
    }
}
