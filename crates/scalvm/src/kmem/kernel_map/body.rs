//! [`KernelBody`]: what a kernel map is made of.

use core::sync::atomic::AtomicU64;

use crate::addr::{PAGE_MASK, PAGE_SIZE};
use crate::kmem::Ptr;
use crate::kmem::vmem::{ArenaError, Body as ArenaBody};
use crate::machine::Machine;
use crate::map::{Map, MapBody};
use crate::pmap::Pmap;
use crate::vm::Vm;

/// A kernel map.
pub(crate) struct KernelBody<M: Machine> {
    /// The pageable part, whose page tables all of it uses.
    pub space: Ptr<MapBody<M>>,
    /// The addresses of the wired part.
    pub arena: Ptr<ArenaBody>,
    /// Where the wired part begins and ends.
    pub middle: usize,
    pub high: usize,
    /// Pages that are wired.
    pub pages: AtomicU64,
}

impl<M: Machine> KernelBody<M> {
    /// Makes a kernel map; takes apart again what was made when the rest cannot be.
    pub fn make(
        vm: &Vm<M>,
        low: usize,
        high: usize,
        pageable: usize,
    ) -> Result<Ptr<KernelBody<M>>, ArenaError> {
        let middle = low.checked_add(pageable).filter(|&middle| middle <= high);
        let middle = middle.ok_or(ArenaError::BadRange)?;
        if low >= high || (low | high | pageable) & PAGE_MASK != 0 {
            return Err(ArenaError::BadRange);
        }
        let pmap = M::Pmap::new_kernel(&vm.machine, vm, low..high)?;
        // From here on it ends by itself.
        let space = vm.map_with(pmap, low, middle, 0)?;
        // What is wanted of programs' memory is not of the kernel's.
        space.allow_large(false);
        let arena = ArenaBody::make(vm, "kernel", PAGE_SIZE as u64, 0)?;
        let result = Self::finish(vm, &space, arena, middle, high);
        match result {
            Ok(body) => {
                core::mem::forget(space);
                Ok(body)
            }
            Err(error) => {
                ArenaBody::unmake(vm, arena, |_, _| ());
                Err(error)
            }
        }
    }

    fn finish(
        vm: &Vm<M>,
        space: &Map<'_, M>,
        arena: Ptr<ArenaBody>,
        middle: usize,
        high: usize,
    ) -> Result<Ptr<KernelBody<M>>, ArenaError> {
        if middle < high {
            arena.add_span(vm, middle as u64, (high - middle) as u64)?;
        }
        let body = KernelBody {
            space: space.body,
            arena,
            middle,
            high,
            pages: AtomicU64::new(0),
        };
        Ok(vm.kernel_maps.alloc(&vm.machine, &vm.frames, body)?)
    }

    /// Ends a kernel map that nobody uses any more, with all that is left in it.
    pub fn unmake(vm: &Vm<M>, body: Ptr<KernelBody<M>>) {
        body.empty(vm, body.middle..body.high);
        let body = vm.kernel_maps.take(&vm.machine, &vm.frames, body);
        ArenaBody::unmake(vm, body.arena, |_, _| ());
        drop(Map {
            vm,
            body: body.space,
        });
    }

    /// The page tables.
    pub fn pmap(&self) -> &M::Pmap {
        &self.space.target().pmap
    }
}
