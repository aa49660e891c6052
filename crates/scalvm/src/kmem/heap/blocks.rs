//! Pieces beyond the largest class: blocks of frames.
//!
//! The first frame's descriptor tells by `mapped` how many frames there are, which no other frame
//! in state [`State::Kernel`] does.

use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::HeapError;
use crate::machine::Machine;
use crate::page::{Frames, MAX_ORDER, State};

/// The block that has room for so many frames.
pub(super) fn order(count: usize) -> Option<u32> {
    let order = count.checked_next_power_of_two()?.trailing_zeros();
    (order <= MAX_ORDER).then_some(order)
}

/// Takes a block of this order.
#[cold]
pub(super) fn alloc<M: Machine>(
    machine: &M,
    frames: &Frames,
    order: u32,
    align: usize,
) -> Result<NonNull<u8>, HeapError> {
    let page = frames
        .alloc_block(machine, order, None, State::Kernel)
        .ok_or(HeapError::OutOfMemory)?;
    match NonNull::new(machine.frame_ptr(page.frame())) {
        Some(bytes) if bytes.addr().get() % align == 0 => {
            page.mapped.store(1 << order, Relaxed);
            Ok(bytes)
        }
        // The frames are aligned, but the direct map need not be, beyond a page.
        _ => {
            frames.free_block(machine, page);
            Err(HeapError::TooLarge)
        }
    }
}

/// Gives a block back.
#[cold]
pub(super) fn free<M: Machine>(machine: &M, frames: &Frames, bytes: NonNull<u8>) {
    let page = frames
        .page_at(bytes.addr().get())
        .expect("freed a pointer outside of all segments");
    debug_assert!(
        page.state() == State::Kernel && page.mapped.load(Relaxed) == 1 << page.order(),
        "{bytes:?} freed wrongly"
    );
    page.mapped.store(0, Relaxed);
    frames.free_block(machine, page);
}
