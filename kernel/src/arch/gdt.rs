//! Segments and the task state segment, as far as long mode still needs them.
//!
//! The selectors are Linux's, since programs can see them.

use core::arch::asm;
use core::cell::UnsafeCell;

/// The kernel's code.
pub const KERNEL_CODE: u16 = 0x10;
/// The kernel's data.
pub const KERNEL_DATA: u16 = 0x18;
/// What sysret counts from: user data lies one behind, user code two behind.
pub const USER_BASE: u16 = 0x23;
/// A program's data.
pub const USER_DATA: u16 = 0x2b;
/// A program's code.
pub const USER_CODE: u16 = 0x33;
const TSS: u16 = 0x40;

/// The interrupt stack table's entry for double faults.
pub const DOUBLE_FAULT_STACK: u8 = 1;
const FAULT_STACK_SIZE: usize = 8192;

#[repr(C, packed(4))]
struct Tss {
    reserved: u32,
    rsp: [u64; 3],
    reserved2: u64,
    ist: [u64; 7],
    reserved3: u64,
    reserved4: u16,
    io_map: u16,
}

#[repr(C, align(16))]
struct Tables {
    gdt: UnsafeCell<[u64; 10]>,
    tss: UnsafeCell<Tss>,
    fault_stack: UnsafeCell<[u8; FAULT_STACK_SIZE]>,
}

// SAFETY: written at boot, and then by one processor, one word at a time.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables {
    gdt: UnsafeCell::new([
        0,
        0,
        0x00af_9b00_0000_ffff, // kernel code
        0x00cf_9300_0000_ffff, // kernel data
        0x00cf_fb00_0000_ffff, // 32-bit user code, unused
        0x00cf_f300_0000_ffff, // user data
        0x00af_fb00_0000_ffff, // user code
        0,
        0,
        0,
    ]),
    tss: UnsafeCell::new(Tss {
        reserved: 0,
        rsp: [0; 3],
        reserved2: 0,
        ist: [0; 7],
        reserved3: 0,
        reserved4: 0,
        io_map: size_of::<Tss>() as u16,
    }),
    fault_stack: UnsafeCell::new([0; FAULT_STACK_SIZE]),
};

#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

/// Loads the segments.
pub fn init() {
    let tss = TABLES.tss.get() as u64;
    let limit = size_of::<Tss>() as u64 - 1;
    // SAFETY: at boot, nobody else looks at the tables.
    unsafe {
        (*TABLES.tss.get()).ist[DOUBLE_FAULT_STACK as usize - 1] =
            TABLES.fault_stack.get() as u64 + FAULT_STACK_SIZE as u64;
        let gdt = &mut *TABLES.gdt.get();
        gdt[TSS as usize / 8] =
            limit | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
        gdt[TSS as usize / 8 + 1] = tss >> 32;
    }
    let pointer = Pointer {
        limit: 10 * 8 - 1,
        base: TABLES.gdt.get() as u64,
    };
    // SAFETY: the table describes flat segments, the code goes on in the kernel's.
    unsafe {
        asm!(
            "lgdt [{pointer}]",
            "push {code}",
            "lea {tmp}, [rip + 2f]",
            "push {tmp}",
            "retfq",
            "2:",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "ltr {tss:x}",
            pointer = in(reg) &pointer,
            code = in(reg) u64::from(KERNEL_CODE),
            data = in(reg) u32::from(KERNEL_DATA),
            tss = in(reg) TSS,
            tmp = out(reg) _,
        );
    }
}

/// Where the stack starts when an interrupt comes from a program.
#[inline(always)]
pub fn set_kernel_stack(top: usize) {
    // SAFETY: one processor; it reads the word only when it enters the kernel.
    unsafe { (*TABLES.tss.get()).rsp[0] = top as u64 };
}
