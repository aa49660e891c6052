//! Object caches: objects of one type that stay constructed while they are free.
//!
//! What an object is made of beyond its bytes (buffers, locks, places in lists) is made once, when its
//! slot comes out of its slab, and unmade once, when it goes back there: not each time that it is
//! allocated and freed. (Bonwick, The Slab Allocator, USENIX 1994.) A slot has the object's bytes, and
//! behind them the link by which free slots are chained.
//!
//! All caches of a manager are in a list, for figures and for reclaim.
//!
//! Locks: the list's ([`Rank::Caches`](crate::Rank::Caches)), under which nothing is called. Who works on a cache from the
//! list counts himself in `users` meanwhile; a cache ends once nobody does.
//!
//! 1. What is in the pool's magazines and depot is constructed, but for their raw chains; what is in its
//!    slabs is not.

mod body;
mod boxed;
#[cfg(test)]
mod tests;

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use body::CacheBody;
pub(crate) use body::Caches;
pub use boxed::CacheBox;

use super::Ptr;
use super::slab::{PoolStats, RawPool, Reclaim, Use};
use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::vm::Vm;

/// A cache of objects of one type.
///
/// It may be used from several threads at once. Dropping it unmakes what is free and gives its memory
/// back; if some of its objects were leaked ([`CacheBox::leak`]), it stays in the list of pools
/// instead, with them.
pub struct ObjectCache<'v, T: Send, M: Machine> {
    vm: &'v Vm<M>,
    body: Ptr<CacheBody>,
    make: fn(&mut MaybeUninit<T>) -> Result<(), OutOfMemory>,
    unmake: fn(&mut T),
    _objects: PhantomData<fn() -> T>,
}

impl<'v, T: Send, M: Machine> ObjectCache<'v, T, M> {
    /// Where a slot has its link: behind the object.
    const LINK: usize = size_of::<T>().next_multiple_of(size_of::<usize>());

    /// Bytes in a slot.
    const SIZE: usize = {
        let align = if align_of::<T>() < size_of::<usize>() {
            size_of::<usize>()
        } else {
            align_of::<T>()
        };
        let size = (Self::LINK + size_of::<usize>()).next_multiple_of(align);
        assert!(align <= crate::addr::PAGE_SIZE && size <= 1 << 16);
        size
    };

    /// A cache without objects. `make` constructs one in a slot, or fails, and then has made nothing;
    /// `unmake` takes to pieces what it has made, and is followed by no drop. No lock is held during
    /// either; they may allocate and free, but do not use this cache. They do not panic.
    pub fn new(
        vm: &'v Vm<M>,
        name: &'static str,
        make: fn(&mut MaybeUninit<T>) -> Result<(), OutOfMemory>,
        unmake: fn(&mut T),
    ) -> Result<Self, OutOfMemory> {
        /// Unmakes the object in a slot.
        ///
        /// # Safety
        ///
        /// `unmake` was a `fn(&mut T)`, the slot has a T, and is the caller's.
        unsafe fn unmake_in<T>(unmake: *const (), slot: NonNull<()>) {
            // SAFETY: the caller's word.
            unsafe {
                let unmake = core::mem::transmute::<*const (), fn(&mut T)>(unmake);
                unmake(slot.cast::<T>().as_mut());
            }
        }
        let body = vm.caches.add(vm, || {
            let raw = RawPool::with_link(Self::SIZE, Self::LINK, Use::Cache);
            CacheBody::new(name, raw, unmake as *const (), unmake_in::<T>)
        })?;
        Ok(ObjectCache {
            vm,
            body,
            make,
            unmake,
            _objects: PhantomData,
        })
    }

    /// An object that is constructed: one that was freed, in the state in which it was then, or a new
    /// one. Does not block, unless the constructor does.
    #[inline]
    pub fn alloc(&self) -> Result<CacheBox<'_, T, M>, OutOfMemory> {
        if !self.vm.machine.may_allocate() {
            return Err(OutOfMemory);
        }
        match self.body.raw.take_quickly(&self.vm.machine, Self::LINK) {
            Some(slot) => Ok(CacheBox::new(self, slot.cast())),
            None => self.alloc_slowly(),
        }
    }

    /// Takes an object from the depot, or makes one in a slot from the slabs. When no frame is to be
    /// had, what is free on other processors goes back there first.
    #[cold]
    #[inline(never)]
    fn alloc_slowly(&self) -> Result<CacheBox<'_, T, M>, OutOfMemory> {
        let (raw, machine, frames) = (&self.body.raw, &self.vm.machine, &self.vm.frames);
        if let Some(slot) = raw.take_constructed(machine, Self::LINK) {
            return Ok(CacheBox::new(self, slot.cast()));
        }
        let slot = raw.take_raw(machine, frames).or_else(|| {
            self.reclaim();
            raw.take_raw(machine, frames)
        });
        let Some(slot) = slot else {
            raw.failed();
            return Err(OutOfMemory);
        };
        // SAFETY: a slot with a T's size and alignment, which is ours.
        let made = (self.make)(unsafe { slot.cast().as_mut() });
        if made.is_err() {
            raw.failed();
            // SAFETY: nothing was made in it.
            unsafe { raw.give_one(machine, frames, slot) };
            return Err(OutOfMemory);
        }
        Ok(CacheBox::new(self, slot.cast()))
    }

    /// Takes an object back, in whatever state.
    ///
    /// # Safety
    ///
    /// It came from [`alloc`](ObjectCache::alloc) of this cache, and nobody uses it any more.
    #[inline]
    unsafe fn free(&self, object: NonNull<T>) {
        let (raw, machine) = (&self.body.raw, &self.vm.machine);
        // SAFETY: the caller's word.
        unsafe {
            if !raw.put_quickly(machine, object.cast(), Self::LINK) {
                self.free_slowly(object);
            }
        }
    }

    /// The same by whatever way there is.
    ///
    /// # Safety
    ///
    /// As for [`free`](ObjectCache::free).
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(&self, object: NonNull<T>) {
        let (raw, machine, frames) = (&self.body.raw, &self.vm.machine, &self.vm.frames);
        // SAFETY: the caller's word.
        let over = unsafe { raw.put_constructed(machine, frames, object.cast(), Self::LINK) };
        if let Some(over) = over {
            over.each(Self::LINK, |slot| self.unmake(slot));
            // SAFETY: they are free, and unmade.
            unsafe { raw.give_raw(machine, frames, over) };
        }
    }

    fn unmake(&self, slot: NonNull<()>) {
        // SAFETY: a free slot that is constructed (invariant 1), and out of all places.
        (self.unmake)(unsafe { slot.cast::<T>().as_mut() });
    }

    /// Makes sure that so many objects can be in use at once, from now on and whatever else needs
    /// memory, as far as the cache's own goes; zero ends that. Does not block.
    pub fn reserve(&self, objects: u32) -> Result<(), OutOfMemory> {
        let (machine, frames) = (&self.vm.machine, &self.vm.frames);
        self.body.raw.set_reserve(machine, frames, objects)
    }

    /// Unmakes all objects that are free, and gives their memory back but for the reserve. Returns how
    /// many frames that were. ([`Vm::reclaim_kmem`] does this for all caches.)
    pub fn reclaim(&self) -> u64 {
        let (machine, frames) = (&self.vm.machine, &self.vm.frames);
        let unmake = |slot| self.unmake(slot);
        let raw = &self.body.raw;
        raw.reclaim_constructed(machine, frames, Reclaim::All, unmake)
    }

    /// What there is to know of it.
    pub fn stats(&self) -> PoolStats {
        self.body.raw.stats(self.body.name)
    }
}

impl<T: Send, M: Machine> Drop for ObjectCache<'_, T, M> {
    fn drop(&mut self) {
        // Lowering a reserve cannot fail.
        let _ = self.reserve(0);
        self.reclaim();
        self.vm.caches.end(self.vm, self.body);
    }
}
