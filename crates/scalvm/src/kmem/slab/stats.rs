//! What people look at.

use core::sync::atomic::Ordering::Relaxed;

use super::raw::RawPool;

/// What there is to know of a pool: see [`Vm::each_pool`](crate::Vm::each_pool). Exact while nobody
/// allocates or frees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PoolStats {
    /// Its name: for those of the heap `malloc-` and the bytes of a slot. Object caches may share
    /// one.
    pub name: &'static str,
    /// Bytes in a slot.
    pub size: usize,
    /// Slots in use.
    pub in_use: u64,
    /// Free slots that processors have at hand, or that lie in the depot.
    pub at_hand: u64,
    /// Those of them that are not constructed: of object caches alone.
    pub raw: u64,
    /// Slots of all slabs, in use or not.
    pub slots: u64,
    /// Slots that there are at least, in use or not.
    pub reserve: u64,
    /// Slabs.
    pub slabs: u64,
    /// Frames of all slabs.
    pub frames: u64,
    /// How often a processor has loaded a magazine in place of one that it had emptied.
    pub loads: u64,
    /// Allocations that failed.
    pub fails: u64,
    /// Slots in a full magazine: more than at first if processors got in each other's way.
    pub magazine: u32,
}

impl RawPool {
    /// What there is to know of the pool.
    pub fn stats(&self, name: &'static str) -> PoolStats {
        PoolStats {
            name,
            size: self.slabs.size(),
            in_use: self.in_use(),
            at_hand: self.at_hand(),
            raw: self.raw(),
            slots: self.slabs.slots(),
            reserve: self.slabs.reserve(),
            slabs: self.slabs.slabs(),
            frames: self.slabs.frames(),
            loads: self.magazines.iter().map(|it| it.loads()).sum(),
            fails: self.fails.load(Relaxed),
            magazine: self.magazine_size(),
        }
    }
}
