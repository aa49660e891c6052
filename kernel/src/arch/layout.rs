//! Where things lie in the address space.
//!
//! | from | to | what |
//! |---|---|---|
//! | 0 | [`USER_HIGH`] | the program |
//! | [`DIRECT_BASE`] | + the size of memory, at least 4 GiB | all of physical memory |
//! | [`KERNEL_MAP`] | its end | memory of the kernel's that is mapped page by page |
//! | [`KERNEL_BASE`] | + 1 GiB | the kernel's image, physical memory's first GiB |

/// The end of the program's half. The last page is left out, so that a `syscall` instruction at its
/// very end returns to an address that the processor accepts.
pub const USER_HIGH: usize = 0x7fff_ffff_f000;
/// Where physical memory starts.
pub const DIRECT_BASE: usize = 0xffff_8000_0000_0000;
/// The kernel map: a range that one entry of the root table stands for.
pub const KERNEL_MAP: core::ops::Range<usize> = 0xffff_c000_0000_0000..0xffff_c010_0000_0000;
/// Bytes of it that are for pageable memory.
pub const KERNEL_MAP_PAGEABLE: usize = 1 << 30;
/// Where the kernel's image lies, at its physical address from here.
pub const KERNEL_BASE: usize = 0xffff_ffff_8000_0000;
/// What the page tables map before the sizes of memory are known.
pub const DIRECT_FIRST: u64 = 4 << 30;

/// The address of a physical address in the direct map.
#[inline(always)]
pub const fn phys_to_virt(phys: u64) -> *mut u8 {
    (DIRECT_BASE + phys as usize) as *mut u8
}

/// The physical address of something in the direct map or in the kernel's image. (What is in the
/// kernel map, only that knows.)
#[inline(always)]
pub const fn virt_to_phys(virt: usize) -> u64 {
    if virt >= KERNEL_BASE {
        (virt - KERNEL_BASE) as u64
    } else {
        (virt - DIRECT_BASE) as u64
    }
}
