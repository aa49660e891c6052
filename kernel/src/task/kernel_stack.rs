//! [`KernelStack`]: where a thread runs while it is in the kernel.

use core::alloc::Layout;
use core::ptr::NonNull;

use scalvm::{KernelAlloc, PAGE_SIZE};

use crate::linux::Errno;
use crate::mm::VM;
use crate::sync::Mutex;

/// Bytes of a stack.
const SIZE: usize = 4 * PAGE_SIZE;
/// Stacks of threads that have ended which are kept for the next (arbitrary: a pipeline's worth).
const KEPT: usize = 8;

static SPARE: Mutex<[Option<Bytes>; KEPT]> = Mutex::new([None; KEPT]);

/// A stack's memory.
#[derive(Clone, Copy)]
struct Bytes(NonNull<u8>);

// SAFETY: it is memory of the kernel's, the same for all threads, and nothing belongs to one of them.
unsafe impl Send for Bytes {}

/// A kernel stack: wired memory of the kernel map, with a page before it that is not mapped. Who
/// needs more than there is has a double fault, which says so.
pub struct KernelStack(Bytes);

impl KernelStack {
    /// One that nobody uses.
    pub fn new() -> Result<KernelStack, Errno> {
        if let Some(stack) = SPARE.lock().iter_mut().find_map(Option::take) {
            return Ok(KernelStack(stack));
        }
        let map = VM.kernel_map().ok_or(Errno::ENOMEM)?;
        let layout = Layout::from_size_align(SIZE, PAGE_SIZE).or(Err(Errno::ENOMEM))?;
        let stack = map.alloc(layout, KernelAlloc::GUARD);
        stack
            .map(|stack| KernelStack(Bytes(stack)))
            .or(Err(Errno::ENOMEM))
    }

    /// Its upper end, where it begins to be used.
    #[inline(always)]
    pub fn top(&self) -> usize {
        self.0.0.addr().get() + SIZE
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        if let Some(place) = SPARE.lock().iter_mut().find(|place| place.is_none()) {
            *place = Some(self.0);
        } else if let Some(map) = VM.kernel_map() {
            // SAFETY: its thread runs no more.
            let freed = unsafe { map.free(self.0.0) };
            debug_assert!(freed.is_ok(), "a stack is freed as it was allocated");
        }
    }
}
