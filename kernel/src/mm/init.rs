//! Handing the machine's memory to the manager.

use scalvm::{Frame, FrameLimits, PAGE_SIZE};

use super::VM;
use crate::arch::boot::{self, PhysRange, StartInfo};
use crate::arch::layout::{DIRECT_FIRST, KERNEL_MAP, KERNEL_MAP_PAGEABLE, phys_to_virt};
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
        unsafe { add(self.0.start, self.0.end) };
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
        let frame = VM.alloc_frames(1, &FrameLimits::NONE).ok()?;
        // SAFETY: the frame is ours.
        unsafe { phys_to_virt(frame.address()).write_bytes(0, PAGE_SIZE) };
        Some(frame)
    });
    // SAFETY: RAM where neither the kernel nor the archive lies, and in the direct map.
    unsafe { add_all(info, DIRECT_FIRST..mapped, &[image, module]) };
    if let Err(error) = VM.check_types() {
        panic!("malloc types of this kernel: {error}");
    }
    make_kernel_map();
    Archive(module)
}

/// Makes the kernel map, before there is any address space that is to share it.
fn make_kernel_map() {
    let made = VM.new_kernel_map(KERNEL_MAP.start, KERNEL_MAP.end, KERNEL_MAP_PAGEABLE);
    if !made.is_ok_and(|map| VM.set_kernel_map(map).is_ok()) {
        println!("scalvm: there is no memory for the kernel map");
    }
}

/// Adds the RAM within `bounds`, without what is taken: the largest piece first, in which the manager
/// finds its pages quickest.
///
/// # Safety
///
/// The bounds are in the direct map, and what is not `taken` is used by nobody.
unsafe fn add_all(info: &StartInfo, bounds: core::ops::Range<u64>, taken: &[PhysRange]) {
    let each = |f: &mut dyn FnMut(u64, u64)| {
        for range in info.ram() {
            let (start, end) = (range.start.max(bounds.start), range.end.min(bounds.end));
            pieces(start, end, taken, f);
        }
    };
    let mut largest = (0, 0);
    each(&mut |start, end| {
        if end - start > largest.1 - largest.0 {
            largest = (start, end);
        }
    });
    // SAFETY: the caller's promise.
    unsafe { add(largest.0, largest.1) };
    each(&mut |start, end| {
        if (start, end) != largest {
            // SAFETY: as above.
            unsafe { add(start, end) };
        }
    });
}

/// Shows the pieces of a range that are left without what is taken.
fn pieces(start: u64, end: u64, taken: &[PhysRange], f: &mut dyn FnMut(u64, u64)) {
    if start >= end {
        return;
    }
    match taken.split_first() {
        Some((first, rest)) => {
            pieces(start, end.min(first.start.max(start)), rest, f);
            pieces(start.max(first.end.min(end)), end, rest, f);
        }
        None => f(start, end),
    }
}

/// # Safety
///
/// As for [`add_all`].
unsafe fn add(start: u64, end: u64) {
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
