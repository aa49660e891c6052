//! Pieces beyond the largest class: runs of frames.
//!
//! The first frame's descriptor tells by `mapped` how many frames there are, which no other frame
//! in state [`State::Kernel`] does.

use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::HeapError;
use crate::machine::Machine;
use crate::page::{Frames, MAX_ORDER, State};

/// So many frames, if there can be a run of them.
#[inline]
pub(super) fn length(count: usize) -> Option<u32> {
    (count <= 1 << MAX_ORDER).then_some(count as u32)
}

/// Takes a run of so many frames.
#[cold]
pub(super) fn alloc<M: Machine>(
    machine: &M,
    frames: &Frames,
    count: u32,
    align: usize,
) -> Result<NonNull<u8>, HeapError> {
    if !machine.may_allocate() {
        return Err(HeapError::OutOfMemory);
    }
    let page = frames
        .take_run(machine, count, State::Kernel)
        .ok_or(HeapError::OutOfMemory)?;
    match NonNull::new(machine.frame_ptr(page.frame())) {
        Some(bytes) if bytes.addr().get().is_multiple_of(align) => {
            page.mapped.store(count, Relaxed);
            Ok(bytes)
        }
        // The frames are aligned, but the direct map need not be, beyond a page.
        _ => {
            frames.free_run(machine, page, count);
            Err(HeapError::TooLarge)
        }
    }
}

/// Gives a run back.
#[cold]
pub(super) fn free<M: Machine>(machine: &M, frames: &Frames, bytes: NonNull<u8>) {
    let page = frames
        .page_at(bytes.addr().get())
        .expect("freed a pointer outside of all segments");
    let count = page.mapped.swap(0, Relaxed);
    debug_assert!(
        page.state() == State::Kernel && count > 0,
        "{bytes:?} freed wrongly"
    );
    frames.free_run(machine, page, count);
}
