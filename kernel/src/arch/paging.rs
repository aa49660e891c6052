//! The rights of the kernel's own image.

use core::arch::asm;
use core::cell::UnsafeCell;

use scalvm::PAGE_SHIFT;

use super::layout::{KERNEL_BASE, virt_to_phys};

/// The image may be as large as this many 2 MiB pages, from physical address 0 on.
const TABLES: usize = 8;

/// The tables for the image, and the table that leads to them.
#[repr(C, align(4096))]
struct Tables {
    tables: [[u64; 512]; TABLES],
    directory: [u64; 512],
}

struct ImageTables(UnsafeCell<Tables>);

// SAFETY: written at boot only.
unsafe impl Sync for ImageTables {}

static IMAGE: ImageTables = ImageTables(UnsafeCell::new(Tables {
    tables: [[0; 512]; TABLES],
    directory: [0; 512],
}));

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const GLOBAL: u64 = 0x100;
const NX: u64 = 1 << 63;

/// Maps the image again, page by page: code cannot be written, constants neither, and data not
/// executed.
///
/// # Safety
///
/// Called once, at boot.
pub unsafe fn protect_image() {
    unsafe extern "C" {
        static boot_pdpt_image: [u64; 512];
        static __text_start: u8;
        static __text_end: u8;
        static __data_start: u8;
        static __kernel_end: u8;
    }
    let (text_start, text_end) = (
        (&raw const __text_start) as usize,
        (&raw const __text_end) as usize,
    );
    let (data, end) = (
        (&raw const __data_start) as usize,
        (&raw const __kernel_end) as usize,
    );
    assert!(
        virt_to_phys(end) <= (TABLES as u64) << 21,
        "the kernel's image is too large"
    );
    // SAFETY: nobody else uses the tables; the entries map what was mapped there before.
    unsafe {
        let tables = &mut *IMAGE.0.get();
        let physical = |table: usize| virt_to_phys(IMAGE.0.get() as usize) + 4096 * table as u64;
        let (directory, tables) = (&mut tables.directory, &mut tables.tables);
        for (index, entry) in directory[..TABLES].iter_mut().enumerate() {
            *entry = physical(index) | PRESENT | WRITABLE;
        }
        for (page, entry) in tables.as_flattened_mut().iter_mut().enumerate() {
            let phys = (page << PAGE_SHIFT) as u64;
            let at = KERNEL_BASE + phys as usize;
            *entry = match at {
                _ if at >= text_start && at < text_end => phys | PRESENT | GLOBAL,
                _ if at >= text_end && at < data => phys | PRESENT | GLOBAL | NX,
                _ if at >= data && at < end => phys | PRESENT | WRITABLE | GLOBAL | NX,
                _ => 0,
            };
        }
        let image = (&raw const boot_pdpt_image).cast_mut().cast::<u64>();
        image
            .add(510)
            .write_volatile(physical(TABLES) | PRESENT | WRITABLE);
        // Global translations are forgotten only when they are turned off and on again.
        asm!(
            "mov {0}, cr4", "btr {0}, 7", "mov cr4, {0}", "bts {0}, 7", "mov cr4, {0}",
            out(reg) _, options(nostack),
        );
    }
}
