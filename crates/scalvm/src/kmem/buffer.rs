//! Memory to work in, for one at a time.

use core::alloc::Layout;
use core::mem::MaybeUninit;
use core::ptr::{NonNull, null_mut};
use core::slice;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicUsize};

use super::MallocFlags;
use crate::addr::PAGE_SIZE;
use crate::error::OutOfMemory;
use crate::machine::{Machine, Rank};
use crate::sync::SpinLock;
use crate::vm::Vm;

/// Alignment of both parts: a cache line.
const ALIGN: usize = 64;

crate::malloc_type!(
    M_BUFFER,
    "buffer",
    "what pages are compressed and brought back in"
);

/// Kernel memory in two parts: plain bytes, and room for whatever its user likes. Its lock
/// protects it; it is allocated once, before it is shared.
pub(crate) struct Buffer {
    lock: SpinLock,
    /// Null, or memory as [`layout`] says.
    memory: AtomicPtr<u8>,
    bytes: AtomicUsize,
    room: AtomicUsize,
}

impl Buffer {
    /// A buffer without memory.
    pub const fn new() -> Buffer {
        Buffer {
            lock: SpinLock::new(),
            memory: AtomicPtr::new(null_mut()),
            bytes: AtomicUsize::new(0),
            room: AtomicUsize::new(0),
        }
    }

    /// Gives it memory: so many bytes, which are zero, and so much room. It has none yet, and
    /// nobody else knows it.
    pub fn allocate<M: Machine>(
        &self,
        vm: &Vm<M>,
        bytes: usize,
        room: usize,
    ) -> Result<(), OutOfMemory> {
        let layout = layout(bytes, room).ok_or(OutOfMemory)?;
        let memory = vm.malloc_aligned(&M_BUFFER, layout, MallocFlags::NOWAIT);
        let memory = memory.map_err(|_| OutOfMemory)?.as_ptr();
        // SAFETY: a new piece of this size.
        unsafe { memory.write_bytes(0, bytes) };
        self.bytes.store(bytes, Relaxed);
        self.room.store(room, Relaxed);
        self.memory.store(memory, Relaxed);
        Ok(())
    }

    /// Takes its memory away, if it has any. Nobody else knows it any more.
    pub fn release<M: Machine>(&self, vm: &Vm<M>) {
        let memory = self.memory.swap(null_mut(), Relaxed);
        let layout = layout(self.bytes.load(Relaxed), self.room.load(Relaxed));
        if let (Some(memory), Some(layout)) = (NonNull::new(memory), layout) {
            // SAFETY: it was allocated with this layout.
            unsafe { vm.free_sized(&M_BUFFER, memory, layout) };
        }
    }

    /// Runs `f` over both parts, with the lock held. Both are empty if there is no memory.
    pub fn with<M: Machine, R>(
        &self,
        machine: &M,
        rank: Rank,
        f: impl FnOnce(&mut [u8], &mut [MaybeUninit<u8>]) -> R,
    ) -> R {
        let _held = self.lock.lock(machine, rank);
        let memory = self.memory.load(Relaxed);
        if memory.is_null() {
            return f(&mut [], &mut []);
        }
        let (bytes, room) = (self.bytes.load(Relaxed), self.room.load(Relaxed));
        // SAFETY: both parts lie in the piece, do not overlap, and are ours while the lock is held;
        // the bytes have been initialised.
        unsafe {
            let after = memory.add(bytes.next_multiple_of(ALIGN)).cast();
            f(
                slice::from_raw_parts_mut(memory, bytes),
                slice::from_raw_parts_mut(after, room),
            )
        }
    }
}

fn layout(bytes: usize, room: usize) -> Option<Layout> {
    const { assert!(ALIGN <= PAGE_SIZE) };
    let size = bytes.checked_next_multiple_of(ALIGN)?.checked_add(room)?;
    Layout::from_size_align(size, ALIGN).ok()
}
