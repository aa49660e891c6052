//! [`VirtioHal`]: memory that is shared with virtio devices.

use core::ptr::NonNull;

use scalvm::{Frame, FrameLimits, Machine, PAGE_SIZE, Pmap};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use crate::arch::layout::{KERNEL_MAP, phys_to_virt, virt_to_phys};
use crate::mm::VM;

/// The manager's frames, and the direct map.
pub struct VirtioHal;

// SAFETY: frames from the manager are nobody else's until they are given back, and the direct map shows
// them, and the devices' registers, for ever. The kernel's memory is all in the direct map, in the
// image, or in the kernel map, whose physical addresses are known.
unsafe impl Hal for VirtioHal {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        match VM.alloc_frames(pages, &FrameLimits::NONE) {
            Ok(first) => {
                let bytes = VM.machine().frame_ptr(first);
                // SAFETY: the frames are ours, at least `pages` of them.
                unsafe { bytes.write_bytes(0, pages * PAGE_SIZE) };
                (
                    first.address(),
                    NonNull::new(bytes).unwrap_or(NonNull::dangling()),
                )
            }
            // Address 0 tells the crate that there is no memory.
            Err(_) => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(address: PhysAddr, _bytes: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller gives back what dma_alloc gave.
        unsafe { VM.free_frames(Frame::containing(address), pages) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(phys_to_virt(address)).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        let at = buffer.cast::<u8>().as_ptr().addr();
        let last = at + buffer.len().saturating_sub(1);
        if !KERNEL_MAP.contains(&at) {
            return virt_to_phys(at);
        }
        // On a kernel stack, say: pages there need not lie in a row.
        assert!(
            at / PAGE_SIZE == last / PAGE_SIZE,
            "a device is given pages that do not lie in a row"
        );
        let map = VM
            .kernel_map()
            .and_then(|map| map.pmap().query(VM.machine(), at));
        match map {
            Some(mapping) => mapping.frame.address() + (at % PAGE_SIZE) as u64,
            None => panic!("a device is given memory at {at:#x}, where there is none"),
        }
    }

    unsafe fn unshare(_address: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
