//! [`KernelMap`]: the face.

use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use bitflags::bitflags;

use super::{Extent, KernelBody};
use crate::kmem::Ptr;
use crate::kmem::vmem::{ArenaError, ArenaStats};
use crate::machine::Machine;
use crate::map::Map;
use crate::sync::Field;
use crate::vm::Vm;

bitflags! {
    /// How wired memory is allocated. The default is none of these: it does not block, its bytes are
    /// undefined.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct KernelAlloc: u8 {
        /// Its bytes are zero.
        const ZERO = 1;
        /// The page before it and the page after it are not mapped.
        const GUARD = 2;
        /// Blocks until there is memory and room. The caller holds no lock of the manager.
        const WAIT = 4;
    }
}

/// A range of addresses in the kernel's half, and what is mapped there. Dropping it frees all that is
/// left in it; nobody may use that any more.
pub struct KernelMap<'v, M: Machine> {
    pub(super) vm: &'v Vm<M>,
    pub(super) body: Ptr<KernelBody<M>>,
    /// Whether it ends with this.
    owned: bool,
    pub(super) space: ManuallyDrop<Map<'v, M>>,
}

impl<M: Machine> Vm<M> {
    /// A kernel map for the addresses from `low` to `high`, exclusive, of whole pages, for which all
    /// address spaces share the page tables: see [`Pmap::new_kernel`](crate::Pmap::new_kernel). The
    /// first `pageable` bytes of it are for pageable memory. There is one for a range at a time,
    /// and the first must come before the first [`Vm::new_map`].
    ///
    /// [`ArenaError::BadRange`] if that is no such range.
    pub fn new_kernel_map(
        &self,
        low: usize,
        high: usize,
        pageable: usize,
    ) -> Result<KernelMap<'_, M>, ArenaError> {
        let body = KernelBody::make(self, low, high, pageable)?;
        Ok(KernelMap::new(self, body, true))
    }

    /// Keeps this kernel map for as long as the manager lives, for [`kernel_map`](Vm::kernel_map) and
    /// for [`malloc`](Vm::malloc) of what is too large for a run of frames: whoever frees or resizes that
    /// uses it through its addresses. The first one stays: a second is given back.
    pub fn set_kernel_map<'v>(&'v self, map: KernelMap<'v, M>) -> Result<(), KernelMap<'v, M>> {
        let mut map = map;
        // A map of another manager is none of this one.
        if !core::ptr::eq(self, map.vm) || !self.kernel.replace(None, Some(map.body)) {
            return Err(map);
        }
        map.owned = false;
        Ok(())
    }

    /// The kernel map that was set.
    pub fn kernel_map(&self) -> Option<KernelMap<'_, M>> {
        Some(KernelMap::new(self, self.kernel.get()?, false))
    }
}

/// Where a manager keeps its kernel map.
pub(crate) type Kept<M> = Field<Option<Ptr<KernelBody<M>>>>;

impl<'v, M: Machine> KernelMap<'v, M> {
    fn new(vm: &'v Vm<M>, body: Ptr<KernelBody<M>>, owned: bool) -> KernelMap<'v, M> {
        let space = ManuallyDrop::new(Map {
            vm,
            body: body.space,
        });
        KernelMap {
            vm,
            body,
            owned,
            space,
        }
    }

    /// Allocates wired memory: whole pages, which need not lie in frames that follow each other. Blocks
    /// only if told to.
    ///
    /// [`ArenaError::Full`] where no addresses are left, [`ArenaError::OutOfMemory`] where no
    /// frames are, [`ArenaError::BadSize`] for no bytes. Nothing has changed then.
    pub fn alloc(&self, layout: Layout, how: KernelAlloc) -> Result<NonNull<u8>, ArenaError> {
        let (vm, body) = (self.vm, self.body.target());
        let arena = body.arena.target();
        let attempt = || body.alloc(vm, arena, layout, how);
        if how.contains(KernelAlloc::WAIT) {
            arena.wait_for(vm, Extent::of(layout, how).total() as u64, attempt)
        } else {
            attempt()
        }
    }

    /// Frees wired memory. [`ArenaError::BadRange`] if none of this map begins there, or that of a
    /// submap, and then nothing has changed. Does not block, needs no memory.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    pub unsafe fn free(&self, at: NonNull<u8>) -> Result<(), ArenaError> {
        let arena = self.body.target().arena.target();
        self.body.free(self.vm, arena, at.addr().get()).map(|_| ())
    }

    /// How many bytes of wired memory were allocated at this address; none if none begin there.
    pub fn size_at(&self, at: usize) -> Option<usize> {
        Some(self.body.extent_at(self.vm, at)?.bytes())
    }

    /// What the addresses of wired memory are used for.
    pub fn stats(&self) -> ArenaStats {
        self.body.arena.stats(self.vm)
    }

    /// The page tables, for tests and tools.
    pub fn pmap(&self) -> &M::Pmap {
        self.body.target().pmap()
    }
}

impl<M: Machine> Drop for KernelMap<'_, M> {
    fn drop(&mut self) {
        if self.owned {
            KernelBody::unmake(self.vm, self.body);
        }
    }
}
