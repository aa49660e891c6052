//! The free slots that one processor has at hand: two chains, of which one is loaded, and for object
//! caches a third one.
//!
//! Slots come from the loaded chain and go back to it. Where it is empty, or full, the other one is
//! looked at before the depot is: so a user at the edge between two magazines does not go there each
//! time. (Bonwick and Adams, Magazines and Vmem, USENIX 2001.)
//!
//! Object caches keep slots apart that are *raw*, not constructed yet: a processor takes many of them
//! at once, so that what two processors construct in turn does not lie in one cache line.
//!
//! Each has its own lock ([`Rank::Pool`](crate::Rank::Pool)), on its own cache line: the processor's
//! own, see [`OwnerLock`]. All that follows is read and changed with it held; figures are also read
//! without, for statistics.
//!
//! 1. `size - room` slots are in the chain from `loaded` on; nobody else knows of them, nor of those in
//!    the chains `previous` and `raw`, which are as long as they count.

use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

use super::chain::{self, Chain};
use crate::machine::{Machine, Rank};
use crate::sync::{Field, OwnerGuard, OwnerLock};

/// What a processor has at hand of a pool.
#[repr(align(64))]
pub(super) struct Magazine {
    lock: OwnerLock,
    /// How many slots the loaded chain has room for yet.
    room: Field<u32>,
    /// How many it may have.
    size: Field<u32>,
    loaded: AtomicPtr<()>,
    previous: Aside,
    raw: Aside,
    /// How often a full chain was loaded in place of an empty one.
    loads: Field<u64>,
}

const _: () = assert!(size_of::<Magazine>() == 64);

/// A chain that lies beside the loaded one.
struct Aside {
    first: AtomicPtr<()>,
    count: Field<u32>,
}

impl Aside {
    const fn new() -> Aside {
        Aside {
            first: AtomicPtr::new(null_mut()),
            count: Field::<u32>::constant(0),
        }
    }

    /// Takes it away.
    fn take(&self) -> Chain {
        let chain = Chain {
            first: self.first.load(Relaxed),
            count: self.count.get(),
        };
        self.put(Chain::empty());
        chain
    }

    /// Replaces it, where it is empty or its slots are somebody's already.
    fn put(&self, chain: Chain) {
        self.first.store(chain.first, Relaxed);
        self.count.set(chain.count);
    }
}

impl Magazine {
    pub const fn new() -> Magazine {
        Magazine {
            lock: OwnerLock::new(),
            room: Field::<u32>::constant(0),
            size: Field::<u32>::constant(0),
            loaded: AtomicPtr::new(null_mut()),
            previous: Aside::new(),
            raw: Aside::new(),
            loads: Field::<u64>::constant(0),
        }
    }

    /// Takes the lock as the processor's own. The caller is pinned to it.
    #[inline(always)]
    pub fn enter<'a, M: Machine>(&'a self, machine: &'a M) -> OwnerGuard<'a, M> {
        self.lock.enter(machine, Rank::Pool)
    }

    /// The same, unless somebody has taken it away.
    #[inline(always)]
    pub fn try_enter<'a, M: Machine>(&'a self, machine: &'a M) -> Option<OwnerGuard<'a, M>> {
        self.lock.try_enter(machine, Rank::Pool)
    }

    /// Takes the lock away from its processor.
    pub fn steal<'a, M: Machine>(&'a self, machine: &'a M) -> OwnerGuard<'a, M> {
        self.lock.steal(machine, Rank::Pool)
    }

    /// Waits until its processor is out of it: see [`OwnerLock::wait_out`].
    pub fn wait_out<M: Machine>(&self, machine: &M) {
        self.lock.wait_out(machine);
    }

    /// Slots in all chains. (Without the lock: about.)
    pub fn count(&self) -> u32 {
        self.size.get().wrapping_sub(self.room.get()) + self.previous.count.get() + self.raw_count()
    }

    /// Slots that are raw. (Without the lock: about.)
    pub fn raw_count(&self) -> u32 {
        self.raw.count.get()
    }

    /// Whether there is nothing here, nor ever was.
    pub fn is_untouched(&self) -> bool {
        self.size.get() == 0 && self.loads.get() == 0 && self.raw_count() == 0
    }

    /// See the field. (Without the lock: about.)
    pub fn loads(&self) -> u64 {
        self.loads.get()
    }

    /// Takes a slot out of the loaded chain if it has one, and `agrees` when it is known.
    #[inline(always)]
    pub fn pop<M: Machine>(
        &self,
        link: usize,
        agrees: impl FnOnce() -> bool,
        _held: &OwnerGuard<'_, M>,
    ) -> Option<NonNull<()>> {
        let slot = NonNull::new(self.loaded.load(Relaxed))?;
        if !agrees() {
            return None;
        }
        // SAFETY: invariant 1.
        self.loaded
            .store(unsafe { chain::next(slot, link) }, Relaxed);
        self.room.set(self.room.get().wrapping_add(1));
        Some(slot)
    }

    /// Adds a slot to the loaded chain if it has room, and `agrees` when that is known; tells whether
    /// it did.
    ///
    /// # Safety
    ///
    /// The slot is free once `agrees` has been called, has a link there, and the caller forgets it if
    /// this is true.
    #[inline(always)]
    pub unsafe fn push<M: Machine>(
        &self,
        slot: NonNull<()>,
        link: usize,
        agrees: impl FnOnce() -> bool,
        _held: &OwnerGuard<'_, M>,
    ) -> bool {
        let Some(room) = self.room.get().checked_sub(1) else {
            return false;
        };
        if !agrees() {
            return false;
        }
        self.room.set(room);
        // SAFETY: the caller's word.
        unsafe { chain::push(&self.loaded, slot, link) };
        true
    }

    /// Makes the other chain the loaded one. What is loaded is empty.
    pub fn load_previous<M: Machine>(&self, held: &OwnerGuard<'_, M>) {
        let chain = self.take_previous(held);
        let size = self.size.get();
        self.load(chain, size, held);
    }

    /// Loads a chain in place of an empty one. At most `size` slots may be loaded from now on, or as
    /// many as the chain has.
    pub fn load<M: Machine>(&self, chain: Chain, size: u32, _held: &OwnerGuard<'_, M>) {
        debug_assert!(self.loaded.load(Relaxed).is_null());
        let size = size.max(chain.count);
        if chain.count != 0 {
            self.loads.set(self.loads.get() + 1);
        }
        self.size.set(size);
        self.room.set(size - chain.count);
        self.loaded.store(chain.first, Relaxed);
    }

    /// Takes what is loaded away, and leaves an empty chain with no room.
    pub fn unload<M: Machine>(&self, _held: &OwnerGuard<'_, M>) -> Chain {
        let chain = Chain {
            first: self.loaded.load(Relaxed),
            count: self.size.get() - self.room.get(),
        };
        self.loaded.store(null_mut(), Relaxed);
        self.size.set(0);
        self.room.set(0);
        chain
    }

    /// Whether the other chain has any slot.
    pub fn has_previous<M: Machine>(&self, _held: &OwnerGuard<'_, M>) -> bool {
        self.previous.count.get() != 0
    }

    /// Takes the other chain away.
    pub fn take_previous<M: Machine>(&self, _held: &OwnerGuard<'_, M>) -> Chain {
        self.previous.take()
    }

    /// Sets the other chain, which is empty.
    pub fn put_previous<M: Machine>(&self, chain: Chain, _held: &OwnerGuard<'_, M>) {
        self.previous.put(chain);
    }

    /// Takes a raw slot.
    pub fn pop_raw<M: Machine>(
        &self,
        link: usize,
        _held: &OwnerGuard<'_, M>,
    ) -> Option<NonNull<()>> {
        // SAFETY: invariant 1.
        let slot = unsafe { chain::pop(&self.raw.first, link) }?;
        self.raw.count.set(self.raw.count.get() - 1);
        Some(slot)
    }

    /// Takes all raw slots away.
    pub fn take_raw<M: Machine>(&self, _held: &OwnerGuard<'_, M>) -> Chain {
        self.raw.take()
    }

    /// Sets the chain of raw slots, which is empty.
    pub fn put_raw<M: Machine>(&self, chain: Chain, _held: &OwnerGuard<'_, M>) {
        self.raw.put(chain);
    }

    /// Panics where the chains are not as long as they should be.
    pub fn check_invariants<M: Machine>(&self, link: usize, _held: &OwnerGuard<'_, M>) {
        let loaded = self.size.get() - self.room.get();
        let chains = [
            (&self.loaded, loaded),
            (&self.previous.first, self.previous.count.get()),
            (&self.raw.first, self.raw.count.get()),
        ];
        for (first, count) in chains {
            // SAFETY: invariant 1.
            let len = unsafe { chain::len(first.load(Relaxed), link, count) };
            assert_eq!(len, count, "slots in a magazine");
        }
    }
}
