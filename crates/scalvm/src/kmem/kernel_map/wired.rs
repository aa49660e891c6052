//! Wired memory: allocating and freeing.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use super::{Extent, KernelAlloc, KernelBody};
use crate::addr::{Access, PAGE_MASK, PAGE_SIZE, Prot};
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::kmem::vmem::{ArenaError, Body as ArenaBody, Constraints, Fit, Wish};
use crate::machine::Machine;
use crate::page::{Page, State};
use crate::pmap::{Cache, Debt, Enter, Pmap};
use crate::vm::Vm;

impl<M: Machine> KernelBody<M> {
    /// Allocates pages, with addresses from this arena. Does not block. Changes nothing if it fails.
    pub fn alloc(
        &self,
        vm: &Vm<M>,
        arena: &ArenaBody,
        layout: Layout,
        how: KernelAlloc,
    ) -> Result<NonNull<u8>, ArenaError> {
        let extent = Extent::of(layout, how);
        let align = layout.align().max(PAGE_SIZE) as u64;
        let within = Constraints {
            align,
            phase: (align - extent.guard() as u64) % align,
            ..Constraints::NONE
        };
        if extent.pages == 0 {
            return Err(ArenaError::BadSize);
        }
        let wish = Wish {
            size: extent.total() as u64,
            within: (align > PAGE_SIZE as u64).then_some(&within),
            fit: Fit::Instant,
        };
        let base = arena.get(vm, None, wish)? as usize;
        let at = base + extent.guard();
        if let Err(error) = self.fill(vm, at, extent, how.contains(KernelAlloc::ZERO)) {
            let freed = arena.give(vm, None, base as u64, extent.total() as u64);
            debug_assert!(freed.is_ok(), "just allocated");
            return Err(error.into());
        }
        // An arena with the address 0 would not be one of addresses.
        NonNull::new(core::ptr::with_exposed_provenance_mut(at)).ok_or(ArenaError::BadRange)
    }

    /// Enters new frames in a range where nothing is.
    fn fill(&self, vm: &Vm<M>, at: usize, extent: Extent, zero: bool) -> Result<(), OutOfMemory> {
        for va in (at..at + extent.bytes()).step_by(PAGE_SIZE) {
            if let Err(error) = self.enter_new(vm, va, zero) {
                self.empty(vm, at..va);
                return Err(error);
            }
        }
        if let Some(first) = self.page_at(vm, at) {
            first.word().store(extent.word(), Release);
        }
        self.pages.fetch_add(extent.pages as u64, Relaxed);
        Ok(())
    }

    fn enter_new(&self, vm: &Vm<M>, va: usize, zero: bool) -> Result<(), OutOfMemory> {
        let page = vm.frames.alloc_page(&vm.machine, State::Kernel);
        let page = page.ok_or(OutOfMemory)?;
        if zero {
            vm.machine.zero_frame(page.frame());
        }
        let how = Enter {
            frame: page.frame(),
            prot: Prot::RW,
            access: Access::Write,
            cache: Cache::WriteBack,
            managed: true,
            origin: (0, 0),
        };
        match self.pmap().enter(&vm.machine, vm, va, how) {
            Ok((old, debt)) => {
                debug_assert!(old.is_none(), "X3: {va:#x} was mapped");
                vm.pay(debt, self.pmap());
                Ok(())
            }
            Err(error) => {
                vm.frames.free_page(&vm.machine, page);
                Err(error)
            }
        }
    }

    /// Takes everything out of a range and frees its frames, when no processor can reach them any
    /// more (X4).
    pub(super) fn empty(&self, vm: &Vm<M>, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        let mut frames = Debt::none();
        let debt = self
            .pmap()
            .remove(&vm.machine, vm, range, |gone| frames.own(gone.frame, vm));
        vm.pay(debt, self.pmap());
        frames.pay(&vm.machine, self.pmap(), vm);
    }

    /// The frame that is mapped at an address of the wired part.
    pub fn page_at(&self, vm: &Vm<M>, at: usize) -> Option<Ptr<Page>> {
        if at < self.middle || at >= self.high {
            return None;
        }
        let mapping = self.pmap().query(&vm.machine, at)?;
        vm.frames.page(mapping.frame)
    }

    /// What was allocated at an address, where it begins.
    pub fn extent_at(&self, vm: &Vm<M>, at: usize) -> Option<Extent> {
        if at & PAGE_MASK != 0 {
            return None;
        }
        Extent::from_word(self.page_at(vm, at)?.word().load(Relaxed))
    }

    /// The bytes of all addresses for wired memory.
    pub fn wired_bytes(&self) -> usize {
        self.high - self.middle
    }

    /// Frees what begins at `at`, whose addresses came from this arena; tells how many pages. Does not
    /// block, needs no memory. [`ArenaError::BadRange`] if nothing of this arena begins there, and
    /// then nothing has changed.
    pub fn free(&self, vm: &Vm<M>, arena: &ArenaBody, at: usize) -> Result<usize, ArenaError> {
        let extent = self.extent_at(vm, at).ok_or(ArenaError::BadRange)?;
        let (base, total) = (at - extent.guard(), extent.total() as u64);
        let first = self.page_at(vm, at).ok_or(ArenaError::BadRange)?;
        if arena.size_at(vm, base as u64) != Some(total) {
            return Err(ArenaError::BadRange);
        }
        // Of two who free the same one gets it.
        let word = first.word();
        let ours = word.compare_exchange(extent.word(), 0, AcqRel, Relaxed);
        if ours.is_err() {
            return Err(ArenaError::BadRange);
        }
        self.empty(vm, at..at + extent.bytes());
        self.pages.fetch_sub(extent.pages as u64, Relaxed);
        arena.give(vm, None, base as u64, total)?;
        Ok(extent.pages)
    }
}
