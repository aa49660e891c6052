//! The kernel's heap: the manager's wired memory.

use core::alloc::{GlobalAlloc, Layout};

use super::VM;

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

// SAFETY: the manager hands out each block once, with the size and alignment asked for.
unsafe impl GlobalAlloc for Heap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        VM.kmem_alloc(layout)
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty is the same.
        unsafe { VM.kmem_free(block, layout) }
    }
}
