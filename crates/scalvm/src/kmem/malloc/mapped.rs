//! Memory of a type that is larger than the largest run of frames: wired memory of the kernel map, if
//! the kernel has set one ([`Vm::set_kernel_map`]). It is guarded by unmapped pages on both sides,
//! in debug mode in the place of red zones; it is in no quarantine then.
//!
//! As with runs, `mapped` of the first frame's descriptor says how many frames the type is charged
//! for: zero in all others, and in what was allocated from the kernel map directly.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::account::Drawn;
use super::{MallocError, MallocFlags};
use crate::addr::PAGE_SIZE;
use crate::kmem::kernel_map::{KernelAlloc, KernelBody};
use crate::kmem::types::Attached;
use crate::kmem::{Account, Heap, MallocType, Ptr};
use crate::machine::Machine;
use crate::page::Page;
use crate::sync::Pinned;
use crate::vm::Vm;

/// The bucket of whatever is larger than all classes.
const LAST: usize = Heap::BUCKETS - 1;

/// Bytes of pages for a layout, which a type is charged for.
pub(super) fn charge_for(layout: Layout) -> usize {
    // At most isize::MAX and a page.
    layout.size().div_ceil(PAGE_SIZE) * PAGE_SIZE
}

impl<M: Machine> Vm<M> {
    /// Memory from the kernel map, charged to the type.
    #[cold]
    pub(in crate::kmem) fn malloc_mapped(
        &self,
        attached: Attached,
        layout: Layout,
        flags: MallocFlags,
    ) -> Result<NonNull<u8>, MallocError> {
        let body = self.kernel.get().ok_or(MallocError::TooLarge)?;
        let bytes = charge_for(layout);
        if bytes > body.wired_bytes() {
            return Err(MallocError::TooLarge);
        }
        let account = Drawn::new(self, attached, bytes, flags)?;
        // What the arena's records take is allocated pinned, so this must not be.
        account.charge(Pinned::new(&self.machine).cpu(), LAST, bytes);
        let arena = body.arena.target();
        let memory = body.target().alloc(self, arena, layout, KernelAlloc::GUARD);
        if memory.is_err() {
            account.credit(Pinned::new(&self.machine).cpu(), LAST, bytes);
        }
        account.end(&self.machine);
        let memory = memory.or(Err(MallocError::OutOfMemory))?;
        if let Some(first) = body.page_at(self, memory.addr().get()) {
            first.mapped.store((bytes / PAGE_SIZE) as u32, Relaxed);
        }
        Ok(memory)
    }

    /// What was allocated here from the kernel map: that, its first frame, and its bytes.
    #[cold]
    fn mapped_at(&self, address: usize) -> Option<(Ptr<KernelBody<M>>, Ptr<Page>, usize)> {
        let body = self.kernel.get()?;
        let bytes = body.extent_at(self, address)?.bytes();
        let first = body.page_at(self, address)?;
        (first.mapped.load(Relaxed) != 0).then_some((body, first, bytes))
    }

    /// The bytes of memory that was allocated from the kernel map, and begins here.
    pub(in crate::kmem) fn mapped_size(&self, memory: NonNull<u8>) -> Option<usize> {
        Some(self.mapped_at(memory.addr().get())?.2)
    }

    /// Takes memory back if it came from the kernel map; tells whether it did.
    #[cold]
    pub(in crate::kmem) fn free_mapped(
        &self,
        ty: &'static MallocType,
        memory: NonNull<u8>,
    ) -> bool {
        let address = memory.addr().get();
        let Some((body, first, bytes)) = self.mapped_at(address) else {
            return false;
        };
        if first.mapped.swap(0, Relaxed) == 0 {
            return false;
        }
        let freed = body.free(self, body.arena.target(), address);
        debug_assert!(freed.is_ok(), "{memory:?} freed twice at the same time");
        let account = self.back(ty);
        account.credit(Pinned::new(&self.machine).cpu(), LAST, bytes);
        self.freed(account);
        true
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicUsize;
    use core::sync::atomic::Ordering::SeqCst;

    use super::*;
    use crate::testing::TestMachine;
    use crate::tests::manager;
    use crate::{Complaint, DebugOptions};

    crate::malloc_type!(M_LARGE, "test large", "of tests of large memory");
    crate::malloc_type!(
        M_CAPPED,
        "test capped",
        "of tests of large memory, with a limit",
        limit = 6 << 20
    );

    const LOW: usize = 0x7000_0000_0000;
    const LEN: usize = 16 << 20;
    const SIZE: usize = 5 << 20;
    const NOWAIT: MallocFlags = MallocFlags::NOWAIT;

    fn with_map(vm: &Vm<TestMachine>) {
        let map = vm.new_kernel_map(LOW, LOW + LEN, 0).unwrap();
        assert!(vm.set_kernel_map(map).is_ok());
    }

    fn in_use(vm: &Vm<TestMachine>, ty: &'static MallocType) -> (u64, u64) {
        let stats = vm.type_stats(ty).unwrap();
        (stats.in_use, stats.bytes)
    }

    #[test]
    fn what_no_run_can_hold_comes_from_the_kernel_map() {
        let vm = manager(6000);
        assert_eq!(
            vm.malloc(&M_LARGE, SIZE, NOWAIT),
            Err(MallocError::TooLarge)
        );
        with_map(&vm);
        let free = vm.stats().frames_free;
        let one = vm.malloc(&M_LARGE, SIZE - 5, NOWAIT).unwrap();
        assert!((LOW..LOW + LEN).contains(&one.addr().get()));
        assert_eq!(in_use(&vm, &M_LARGE), (1, SIZE as u64));
        let two = vm.malloc(&M_LARGE, SIZE, NOWAIT).unwrap();
        vm.check_invariants();
        // Its size is that of its pages.
        // SAFETY: it is ours; nothing is copied.
        let same = unsafe { vm.realloc(&M_LARGE, one, SIZE - 4000, NOWAIT) };
        assert_eq!(same, Ok(one));
        let layout = Layout::from_size_align(SIZE, 16).unwrap();
        // SAFETY: as above.
        let same = unsafe { vm.realloc_sized(&M_LARGE, one, layout, SIZE - 9, NOWAIT) };
        assert_eq!(same, Ok(one));
        // Three of them have no room, and one larger than all never will.
        vm.malloc(&M_LARGE, SIZE, NOWAIT).unwrap();
        let more = vm.malloc(&M_LARGE, SIZE, NOWAIT);
        assert_eq!(more, Err(MallocError::OutOfMemory));
        let never = vm.malloc(&M_LARGE, LEN + 1, MallocFlags::WAIT);
        assert_eq!(never, Err(MallocError::TooLarge));
        assert_eq!(in_use(&vm, &M_LARGE), (3, 3 * SIZE as u64));
        let high = vm.type_stats(&M_LARGE).unwrap().high_water;
        assert!(high >= 3 * SIZE as u64);
        // SAFETY: both are used no more.
        unsafe {
            vm.free(&M_LARGE, one);
            vm.free_sized(&M_LARGE, two, layout);
        }
        assert_eq!(in_use(&vm, &M_LARGE), (1, SIZE as u64));
        vm.check_invariants();
        let used = free - vm.stats().frames_free;
        assert!((1280..1400).contains(&used), "{used}");
    }

    #[test]
    fn it_is_charged_and_comes_back_when_it_fails() {
        let vm = manager(4000);
        with_map(&vm);
        let large = vm.malloc(&M_CAPPED, SIZE, NOWAIT).unwrap();
        let more = vm.malloc(&M_CAPPED, SIZE, NOWAIT);
        assert_eq!(more, Err(MallocError::Limit));
        // SAFETY: it is used no more.
        unsafe { vm.free(&M_CAPPED, large) };
        assert_eq!(in_use(&vm, &M_CAPPED), (0, 0));
        vm.reclaim_kmem();
        let free = vm.stats().frames_free;
        for allowed in [0, 1, 2, 3, 4, 5, 9, 200, 1000, 1270] {
            vm.machine().allow(allowed);
            let failed = vm.malloc(&M_CAPPED, SIZE, NOWAIT);
            vm.machine().allow_all();
            assert_eq!(failed, Err(MallocError::OutOfMemory), "{allowed}");
            assert_eq!(in_use(&vm, &M_CAPPED), (0, 0));
            vm.check_invariants();
            vm.reclaim_kmem();
            assert!(vm.stats().frames_free + 3 >= free);
        }
        let large = vm.malloc(&M_CAPPED, SIZE, NOWAIT).unwrap();
        // SAFETY: it is used no more.
        unsafe { vm.free(&M_CAPPED, large) };
        vm.check_invariants();
    }

    #[test]
    fn debug_mode_leaves_it_to_the_guards() {
        static COMPLAINTS: AtomicUsize = AtomicUsize::new(0);
        fn report(_: &Complaint) {
            COMPLAINTS.fetch_add(1, SeqCst);
        }
        let vm = manager(4000);
        with_map(&vm);
        vm.set_debug(DebugOptions::all(report)).unwrap();
        // The second would be too large with its red zones alone.
        for size in [SIZE, 4 << 20] {
            let large = vm.malloc(&M_LARGE, size, NOWAIT).unwrap();
            let at = large.addr().get();
            assert!((LOW..LOW + LEN).contains(&at));
            let map = vm.kernel_map().unwrap();
            for outside in [at - PAGE_SIZE, at + size] {
                assert!(map.fault_wait(outside, crate::Access::Read).is_err());
            }
            assert_eq!(in_use(&vm, &M_LARGE), (1, size as u64));
            vm.check_invariants();
            // SAFETY: it is used no more.
            unsafe { vm.free(&M_LARGE, large) };
            assert_eq!(in_use(&vm, &M_LARGE), (0, 0));
            // It leaves nothing by which small pieces would go unwatched.
            vm.check_invariants();
        }
        assert_eq!(COMPLAINTS.load(SeqCst), 0);
        vm.check_invariants();
    }
}
