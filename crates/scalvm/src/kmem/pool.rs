//! Typed pools of the manager's own structures.

use core::marker::PhantomData;
use core::mem::{align_of, needs_drop, size_of};

use super::Ptr;
use super::slab::{RawPool, Use};
use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::Frames;

/// A pool of structures of one type, which are never dropped, only freed.
pub(crate) struct Pool<T> {
    raw: RawPool,
    _type: PhantomData<fn() -> T>,
}

impl<T> Pool<T> {
    /// Bytes in a slot: room for the links of free slots, too.
    const SIZE: usize = {
        let align = if align_of::<T>() < 8 {
            8
        } else {
            align_of::<T>()
        };
        let size = if size_of::<T>() < 16 {
            16
        } else {
            size_of::<T>()
        };
        size.next_multiple_of(align)
    };

    /// An empty pool.
    pub const fn new() -> Pool<T> {
        Pool {
            raw: RawPool::new(Self::SIZE, Use::Own),
            _type: PhantomData,
        }
    }

    /// Puts `value` in a slot.
    #[inline]
    pub fn alloc<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        value: T,
    ) -> Result<Ptr<T>, OutOfMemory> {
        self.alloc_with(machine, frames, || value)
    }

    /// Makes a value in a slot: large ones are not moved there.
    #[inline(always)]
    pub fn alloc_with<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        value: impl FnOnce() -> T,
    ) -> Result<Ptr<T>, OutOfMemory> {
        let slot = self.raw.alloc(machine, frames).ok_or(OutOfMemory)?;
        let slot = slot.cast::<T>();
        // SAFETY: a slot has the size and alignment of a T and is ours now. It stays a T until it
        // is freed.
        unsafe {
            slot.write(value());
            Ok(Ptr::new(slot))
        }
    }

    /// The same for a value that must not be lost: it comes back when there is no memory for it.
    #[inline]
    pub fn try_alloc<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        value: T,
    ) -> Result<Ptr<T>, T> {
        let Some(slot) = self.raw.alloc(machine, frames) else {
            return Err(value);
        };
        let slot = slot.cast::<T>();
        // SAFETY: as above.
        unsafe {
            slot.write(value);
            Ok(Ptr::new(slot))
        }
    }

    /// Frees a structure that nothing names any more, and gives its value.
    pub fn take<M: Machine>(&self, machine: &M, frames: &Frames, structure: Ptr<T>) -> T {
        // SAFETY: the invariant of Ptr: it is alive, and this is the last use of it.
        unsafe {
            let value = structure.as_non_null().read();
            self.raw
                .free(machine, frames, structure.as_non_null().cast());
            value
        }
    }

    /// Frees a structure that nothing names any more, see [`Ptr`].
    #[inline]
    pub fn free<M: Machine>(&self, machine: &M, frames: &Frames, structure: Ptr<T>) {
        const { assert!(!needs_drop::<T>(), "what needs to be dropped must be taken") }
        // SAFETY: the invariant of Ptr. That it is of this pool follows from there being one for
        // each type.
        unsafe {
            self.raw
                .free(machine, frames, structure.as_non_null().cast());
        }
    }

    /// The pool without its type, for figures and reclaim.
    pub fn raw(&self) -> &RawPool {
        &self.raw
    }

    /// Structures in use. Exact while nobody allocates or frees.
    pub fn in_use(&self) -> u64 {
        self.raw.in_use()
    }

    /// Panics where the pool contradicts itself.
    pub fn check_invariants<M: Machine>(&self, machine: &M, frames: &Frames) {
        self.raw.check_invariants(machine, frames);
    }
}
