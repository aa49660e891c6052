//! A pointer to one of two kinds of structure, told apart by the lowest bit.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};

use super::Ptr;

/// What a [`Slot`] holds.
pub(crate) enum Child<A, B> {
    Left(Ptr<A>),
    Right(Ptr<B>),
}

impl<A, B> Clone for Child<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, B> Copy for Child<A, B> {}

/// A field that holds nothing, a pointer to an `A`, or one to a `B`; both are aligned to 2 or more.
pub(crate) struct Slot<A, B> {
    raw: AtomicPtr<u8>,
    _kinds: PhantomData<(Ptr<A>, Ptr<B>)>,
}

const RIGHT: usize = 1;

impl<A, B> Slot<A, B> {
    /// One that holds nothing.
    pub const fn empty() -> Slot<A, B> {
        Slot {
            raw: AtomicPtr::new(core::ptr::null_mut()),
            _kinds: PhantomData,
        }
    }

    #[inline(always)]
    pub fn get(&self) -> Option<Child<A, B>> {
        let raw = NonNull::new(self.raw.load(Acquire))?;
        Some(if raw.addr().get() & RIGHT != 0 {
            let untagged = raw.as_ptr().map_addr(|a| a & !RIGHT);
            // SAFETY: only `set` stores here, and it marks a Ptr<B> so; not null, a B is aligned.
            Child::Right(unsafe { Ptr::new(NonNull::new_unchecked(untagged).cast()) })
        } else {
            // SAFETY: only `set` stores here, and it leaves a Ptr<A> as it is.
            Child::Left(unsafe { Ptr::new(raw.cast()) })
        })
    }

    #[inline(always)]
    pub fn set(&self, child: Option<Child<A, B>>) {
        const { assert!(align_of::<A>() >= 2 && align_of::<B>() >= 2) }
        let raw = match child {
            None => core::ptr::null_mut(),
            Some(Child::Left(a)) => a.as_ptr().cast(),
            Some(Child::Right(b)) => b.as_ptr().cast::<u8>().map_addr(|a| a | RIGHT),
        };
        self.raw.store(raw, Release);
    }
}
