//! Handing the machine's memory to the manager.

use scalvm::{Frame, PAGE_SIZE};

use super::VM;
use crate::arch::boot::{self, PhysRange, StartInfo};
use crate::arch::layout::{DIRECT_FIRST, phys_to_virt};
use crate::println;

/// Memory below this belongs to the firmware and the loader.
const LOW: u64 = 1 << 20;

/// The initial file system's archive, in memory that the manager does not have yet.
pub struct Archive(PhysRange);

impl Archive {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        let PhysRange { start, end } = self.0;
        // SAFETY: the loader put them there, and they were kept from the manager.
        unsafe { core::slice::from_raw_parts(phys_to_virt(start), (end - start) as usize) }
    }

    /// Gives its memory to the manager.
    pub fn give_back(self) {
        // SAFETY: it was the archive's, of which nobody has a part any more; and it is in the direct
        // map, since it was read.
        unsafe { add(self.0.start, self.0.end, &[]) };
    }
}

/// Gives the manager all RAM that nothing is in. Returns the initial file system's archive.
///
/// # Safety
///
/// Called once; the start info is the loader's.
pub unsafe fn init(info: &StartInfo) -> Archive {
    let image = boot::image();
    let module = info.module().unwrap_or(PhysRange { start: 0, end: 0 });
    // First what the first page tables map.
    // SAFETY: see below.
    unsafe { add_all(info, LOW..DIRECT_FIRST, &[image, module]) };
    let end = info.ram().map(|range| range.end).max().unwrap_or(0);
    let mapped = boot::extend_direct_map(end, || {
        let frame = VM.alloc_frames(0).ok()?;
        // SAFETY: the frame is ours.
        unsafe { phys_to_virt(frame.address()).write_bytes(0, PAGE_SIZE) };
        Some(frame)
    });
    // SAFETY: RAM where neither the kernel nor the archive lies, and in the direct map.
    unsafe { add_all(info, DIRECT_FIRST..mapped, &[image, module]) };
    Archive(module)
}

/// Adds the RAM within `bounds`, without what is taken.
///
/// # Safety
///
/// The bounds are in the direct map, and what is not `taken` is used by nobody.
unsafe fn add_all(info: &StartInfo, bounds: core::ops::Range<u64>, taken: &[PhysRange]) {
    for range in info.ram() {
        // SAFETY: the caller's promise.
        unsafe {
            add(
                range.start.max(bounds.start),
                range.end.min(bounds.end),
                taken,
            )
        };
    }
}

/// # Safety
///
/// As for [`add_all`].
unsafe fn add(start: u64, end: u64, taken: &[PhysRange]) {
    if start >= end {
        return;
    }
    if let Some((first, rest)) = taken.split_first() {
        // SAFETY: the caller's promise, for the parts on both sides of what is taken.
        unsafe {
            add(start, end.min(first.start.max(start)), rest);
            add(start.max(first.end.min(end)), end, rest);
        }
        return;
    }
    let page = PAGE_SIZE as u64;
    let (first, last) = (
        Frame::containing(start.next_multiple_of(page)),
        Frame::containing(end),
    );
    if first < last {
        // SAFETY: the caller's promise.
        if let Err(error) = unsafe { VM.add_segment(first, last) } {
            println!("scalvm: {start:#x} to {end:#x} cannot be used: {error:?}");
        }
    }
}
