//! [`Submap`]: a part of a kernel map that somebody has alone.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use super::{Extent, KernelAlloc, KernelBody, KernelMap};
use crate::addr::PAGE_SIZE;
use crate::kmem::Ptr;
use crate::kmem::vmem::{ArenaError, ArenaStats, Body as ArenaBody, Fit, Wish};
use crate::machine::Machine;
use crate::vm::Vm;

/// Addresses of a kernel map that are set aside, and a budget of pages: so that one user of wired
/// memory cannot take all, and is not left without by others. Dropping it frees all that is left in
/// it; nobody may use that any more.
pub struct Submap<'k, M: Machine> {
    vm: &'k Vm<M>,
    map: Ptr<KernelBody<M>>,
    arena: Ptr<ArenaBody>,
    start: usize,
    len: usize,
    budget: usize,
    /// Pages in use.
    used: AtomicUsize,
}

impl<M: Machine> KernelMap<'_, M> {
    /// Sets `len` bytes of addresses aside, and lets at most `budget` bytes be wired in them at a
    /// time; both are rounded up to whole pages. It costs no memory but for its records.
    pub fn submap(
        &self,
        name: &'static str,
        len: usize,
        budget: usize,
    ) -> Result<Submap<'_, M>, ArenaError> {
        let (vm, map) = (self.vm, self.body);
        let len = len
            .checked_next_multiple_of(PAGE_SIZE)
            .ok_or(ArenaError::BadSize)?;
        let wish = Wish {
            size: len as u64,
            within: None,
            fit: Fit::Instant,
        };
        let start = map.arena.get(vm, None, wish)?;
        let made = ArenaBody::make(vm, name, PAGE_SIZE as u64, 0);
        let made = made.map_err(ArenaError::from).and_then(|arena| {
            arena.add_span(vm, start, len as u64).inspect_err(|_| {
                ArenaBody::unmake(vm, arena, |_, _| ());
            })?;
            Ok(arena)
        });
        let arena = made.inspect_err(|_| give_back(vm, map, start as usize, len))?;
        Ok(Submap {
            vm,
            map,
            arena,
            start: start as usize,
            len,
            budget: budget.div_ceil(PAGE_SIZE),
            used: AtomicUsize::new(0),
        })
    }
}

impl<M: Machine> Submap<'_, M> {
    /// Allocates wired memory: as [`KernelMap::alloc`]. [`ArenaError::Full`] also where the budget is
    /// used up; who waits, waits for that, too.
    pub fn alloc(&self, layout: Layout, how: KernelAlloc) -> Result<NonNull<u8>, ArenaError> {
        let arena = self.arena.target();
        if !how.contains(KernelAlloc::WAIT) {
            return self.try_alloc(layout, how);
        }
        if layout.size().div_ceil(PAGE_SIZE) > self.budget {
            return Err(ArenaError::Full);
        }
        let attempt = || self.try_alloc(layout, how);
        arena.wait_for(self.vm, Extent::of(layout, how).total() as u64, attempt)
    }

    fn try_alloc(&self, layout: Layout, how: KernelAlloc) -> Result<NonNull<u8>, ArenaError> {
        let pages = layout.size().div_ceil(PAGE_SIZE);
        let charge = |used: usize| used.checked_add(pages).filter(|&used| used <= self.budget);
        self.used
            .fetch_update(Relaxed, Relaxed, charge)
            .map_err(|_| ArenaError::Full)?;
        self.map
            .alloc(self.vm, self.arena.target(), layout, how)
            .inspect_err(|_| {
                self.used.fetch_sub(pages, Relaxed);
            })
    }

    /// Frees wired memory: as [`KernelMap::free`].
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    pub unsafe fn free(&self, at: NonNull<u8>) -> Result<(), ArenaError> {
        let (vm, at) = (self.vm, at.addr().get());
        let pages = self.map.free(vm, self.arena.target(), at)?;
        self.used.fetch_sub(pages, Relaxed);
        // Who waits for the budget must be told after that has changed.
        vm.arenas.wake(&vm.machine);
        Ok(())
    }

    /// The addresses that are set aside: the first, and how many.
    pub fn range(&self) -> (usize, usize) {
        (self.start, self.len)
    }

    /// Bytes of wired memory in use.
    pub fn in_use(&self) -> usize {
        self.used.load(Relaxed) * PAGE_SIZE
    }

    /// What the addresses are used for.
    pub fn stats(&self) -> ArenaStats {
        self.arena.stats(self.vm)
    }
}

impl<M: Machine> Drop for Submap<'_, M> {
    fn drop(&mut self) {
        let (vm, map) = (self.vm, self.map);
        map.empty(vm, self.start..self.start + self.len);
        map.pages.fetch_sub(*self.used.get_mut() as u64, Relaxed);
        ArenaBody::unmake(vm, self.arena, |_, _| ());
        give_back(vm, map, self.start, self.len);
    }
}

/// Gives addresses back to the kernel map.
fn give_back<M: Machine>(vm: &Vm<M>, map: Ptr<KernelBody<M>>, start: usize, len: usize) {
    let freed = map.arena.give(vm, None, start as u64, len as u64);
    debug_assert!(freed.is_ok(), "allocated when the submap was made");
}
