//! [`GlobalHeap`]: what `Box` and `Vec` live in.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};

use scalvm::{Machine, MallocError, MallocFlags, MallocType, Vm};

/// The global allocator of a kernel: memory of one malloc type. Never waits.
///
/// It can be made before the program runs, for a `#[global_allocator]`. Before the manager has
/// memory it gives none.
pub struct GlobalHeap<M: Machine> {
    vm: &'static Vm<M>,
    ty: &'static MallocType,
}

impl<M: Machine> GlobalHeap<M> {
    /// Memory of this type from this manager. The type is a static one, or attached as long as the
    /// heap is used.
    pub const fn new(vm: &'static Vm<M>, ty: &'static MallocType) -> GlobalHeap<M> {
        GlobalHeap { vm, ty }
    }

    #[inline(always)]
    fn take(&self, layout: Layout, flags: MallocFlags) -> *mut u8 {
        or_null(self.vm.malloc_aligned(self.ty, layout, flags))
    }
}

// SAFETY: each piece of the manager's is given out once, with room and alignment for its layout, and
// stays until it is freed. A resized one keeps its bytes and its alignment; on an error the old one
// stays.
unsafe impl<M: Machine> GlobalAlloc for GlobalHeap<M> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.take(layout, MallocFlags::NOWAIT)
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.take(layout, MallocFlags::ZERO)
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's word: not null, and from here with this layout.
        unsafe {
            let memory = NonNull::new_unchecked(memory);
            self.vm.free_sized(self.ty, memory, layout);
        }
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the same.
        or_null(unsafe {
            let memory = NonNull::new_unchecked(memory);
            let nowait = MallocFlags::NOWAIT;
            self.vm.realloc_sized(self.ty, memory, layout, size, nowait)
        })
    }
}

#[inline(always)]
fn or_null(memory: Result<NonNull<u8>, MallocError>) -> *mut u8 {
    memory.map_or(null_mut(), NonNull::as_ptr)
}
