//! The depot: full magazines that no processor has.
//!
//! It is protected by the lock of the pool's slabs.
//!
//! 1. The first `count` places have chains of as many slots as they say, at least one; nobody else
//!    knows of them.
//! 2. `idle` of them, or fewer, have lain there untouched since [`Depot::begin`]: what is taken is the
//!    last one, so the lowest that `count` has been since then were not needed.

use core::ptr::null_mut;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;

use super::chain::{self, Chain};
use crate::machine::Machine;
use crate::sync::{Field, SpinGuard};

/// The most magazines in a depot.
const PLACES: usize = 32;

/// Full magazines.
pub(super) struct Depot {
    chains: [AtomicPtr<()>; PLACES],
    counts: [Field<u32>; PLACES],
    count: Field<u32>,
    idle: Field<u32>,
}

impl Depot {
    pub const fn new() -> Depot {
        Depot {
            chains: [const { AtomicPtr::new(null_mut()) }; PLACES],
            counts: [const { Field::<u32>::constant(0) }; PLACES],
            count: Field::<u32>::constant(0),
            idle: Field::<u32>::constant(0),
        }
    }

    /// Takes a magazine.
    pub fn take<M: Machine>(&self, _held: &SpinGuard<'_, M>) -> Option<Chain> {
        let last = self.count.get().checked_sub(1)?;
        self.count.set(last);
        self.idle.set(self.idle.get().min(last));
        let last = last as usize;
        Some(Chain {
            first: self.chains[last].swap(null_mut(), Relaxed),
            count: self.counts[last].get(),
        })
    }

    /// Adds a magazine if `room` tells that there may be so many; else it comes back.
    pub fn put<M: Machine>(
        &self,
        chain: Chain,
        room: impl FnOnce(usize) -> bool,
        _held: &SpinGuard<'_, M>,
    ) -> Result<(), Chain> {
        let count = self.count.get();
        if count >= PLACES as u32 || !room(count as usize + 1) {
            return Err(chain);
        }
        self.chains[count as usize].store(chain.first, Relaxed);
        self.counts[count as usize].set(chain.count);
        self.count.set(count + 1);
        Ok(())
    }

    /// How many magazines have not been needed since this was last asked.
    pub fn begin<M: Machine>(&self, _held: &SpinGuard<'_, M>) -> u32 {
        let idle = self.idle.get();
        self.idle.set(self.count.get());
        idle
    }

    /// Slots in all magazines. (Without the lock: about.)
    pub fn slots(&self) -> u64 {
        let count = (self.count.get() as usize).min(PLACES);
        let counts = self.counts[..count].iter();
        counts.map(|count| u64::from(count.get())).sum()
    }

    /// Panics where the chains are not as long as they should be.
    pub fn check_invariants<M: Machine>(&self, link: usize, _held: &SpinGuard<'_, M>) {
        let count = self.count.get() as usize;
        assert!(count <= PLACES && self.idle.get() as usize <= count);
        for (first, len) in self.chains[..count].iter().zip(&self.counts) {
            assert!(len.get() > 0, "an empty magazine in a depot");
            // SAFETY: invariant 1.
            let found = unsafe { chain::len(first.load(Relaxed), link, len.get()) };
            assert_eq!(found, len.get(), "slots of a magazine in a depot");
        }
    }
}
