//! All pools together: what is in them, and what they can give back.

use super::slab::{PoolStats, RawPool, Reclaim};
use crate::machine::Machine;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Calls `f` with the figures of each pool that has ever had a slab: those of the manager's own
    /// structures, then those of the heap by size, then object caches. No lock is held meanwhile.
    pub fn each_pool(&self, f: &mut dyn FnMut(&PoolStats)) {
        let mut each = |name, pool: &RawPool| {
            let stats = pool.stats(name);
            if stats.loads != 0 || stats.slabs != 0 {
                f(&stats);
            }
        };
        self.each_raw(&mut each);
        self.caches.each_raw(self, &mut each);
    }

    /// Gives back all frames that kernel memory has and nobody uses: free slabs, once processors and
    /// depots have given up what they had at hand. Returns how many frames that were. Whoever makes
    /// room calls it before memory is said to have ended. Does not block; takes locks of ranks Pool
    /// to Frames.
    pub fn reclaim_kmem(&self) -> u64 {
        self.reclaim_pools(Reclaim::All)
    }

    /// The same of what has not been needed for a while: for the page daemon, again and again.
    pub(crate) fn reclaim_idle_kmem(&self) -> u64 {
        self.reclaim_pools(Reclaim::Idle)
    }

    fn reclaim_pools(&self, how: Reclaim) -> u64 {
        let mut freed = 0;
        self.each_raw(&mut |_, pool| freed += pool.reclaim(&self.machine, &self.frames, how));
        freed += self.caches.reclaim(self, how);
        if freed != 0 {
            self.progressed();
        }
        freed
    }

    fn each_raw(&self, f: &mut dyn FnMut(&'static str, &RawPool)) {
        f("anon", self.anons.raw());
        f("amap", self.amaps.raw());
        f("amap node", self.nodes.raw());
        f("family", self.families.raw());
        f("object", self.objects.raw());
        f("map entry", self.entries.raw());
        f("map", self.maps.raw());
        f("mdl", self.mdl_blocks.raw());
        f("track", self.tracks.raw());
        f("compressor store", self.compressor.pool());
        f("swap device", self.swap.pool());
        f("kernel map", self.kernel_maps.raw());
        f("malloc row", self.types.pool());
        f("debug record", self.debug.records());
        self.arenas.each_raw(f);
        self.heap
            .named_pools()
            .for_each(|(name, pool)| f(name, pool));
    }
}
