//! [`ArenaStats`]: what an arena holds, and what it has done.

use core::sync::atomic::Ordering::Relaxed;

use super::Body;
use crate::machine::Machine;
use crate::vm::Vm;

/// A snapshot of one arena. Sizes are in its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ArenaStats {
    /// What it is called.
    pub name: &'static str,
    /// Sizes are multiples of this.
    pub quantum: u64,
    /// In all spans.
    pub total: u64,
    /// Allocated and not freed.
    pub in_use: u64,
    /// In caches.
    pub cached: u64,
    /// The size of the largest free segment.
    pub largest_free: u64,
    /// Spans.
    pub spans: u64,
    /// Allocations so far.
    pub allocs: u64,
    /// Those of them that came from a cache.
    pub cache_hits: u64,
    /// Allocations that failed.
    pub fails: u64,
    /// Allocations that had to wait.
    pub waits: u64,
    /// Spans imported so far.
    pub imports: u64,
    /// Spans given back so far.
    pub releases: u64,
}

impl Body {
    /// What there is to know.
    pub fn stats<M: Machine>(&self, vm: &Vm<M>) -> ArenaStats {
        let (_, cached, hits) = self.cache_counts(vm);
        let _held = self.lock(vm);
        ArenaStats {
            name: self.name,
            quantum: self.quantum,
            total: self.total.get(),
            in_use: self.in_use.get().saturating_sub(cached),
            cached,
            largest_free: self.lists.largest(),
            spans: self.spans.get(),
            allocs: self.allocs.load(Relaxed) + hits,
            cache_hits: hits,
            fails: self.fails.load(Relaxed),
            waits: self.waits.load(Relaxed),
            imports: self.imports.get(),
            releases: self.releases.get(),
        }
    }
}
