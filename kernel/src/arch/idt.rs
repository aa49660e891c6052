//! The interrupt descriptor table, and the code that each entry leads to.
//!
//! All entries are interrupt gates: the kernel runs with interrupts off.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

use super::frame::Frame;
use super::gdt;

/// Vectors of the processor's own exceptions are below this.
pub const EXCEPTIONS: usize = 32;
/// The first vector of the 16 interrupt lines.
pub const FIRST_LINE: usize = 32;
/// The local timer's vector.
pub const TIMER: usize = 48;
/// Vectors with code behind them; the last one is for spurious interrupts.
pub const VECTORS: usize = 50;
/// The vector of spurious interrupts.
pub const SPURIOUS: usize = VECTORS - 1;

const BREAKPOINT: usize = 3;
const OVERFLOW: usize = 4;
const DOUBLE_FAULT: usize = 8;
/// The page fault's vector.
pub const PAGE_FAULT: usize = 14;

global_asm!(
    // 16 bytes of code for each vector.
    ".balign 16",
    "vector_stubs:",
    ".set vector, 0",
    ".rept {vectors}",
    ".balign 16",
    // These push an error code themselves.
    ".if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || \
        (vector == 29) || (vector == 30)",
    ".else",
    "push 0",
    ".endif",
    "push vector",
    "jmp interrupt_entry",
    ".set vector, vector + 1",
    ".endr",

    "interrupt_entry:",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push rax",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "cld",
    "mov rdi, rsp",
    "cmp qword ptr [rsp + {vector}], {page_fault}",
    "jne 2f",
    "mov rsi, cr2",
    "call {on_page_fault}",
    ".global return_from_interrupt",
    "return_from_interrupt:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rax",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "add rsp, 16",
    "iretq",
    "2:",
    "call {on_interrupt}",
    "jmp return_from_interrupt",
    vectors = const VECTORS,
    vector = const core::mem::offset_of!(Frame, vector),
    page_fault = const PAGE_FAULT,
    on_page_fault = sym super::trap::on_page_fault,
    on_interrupt = sym super::trap::on_interrupt,
);

unsafe extern "C" {
    static vector_stubs: u8;
}

#[repr(C, align(16))]
struct Idt(UnsafeCell<[[u64; 2]; VECTORS]>);

// SAFETY: written at boot only.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([[0; 2]; VECTORS]));

/// Loads the table.
pub fn init() {
    for vector in 0..VECTORS {
        let code = (&raw const vector_stubs) as u64 + 16 * vector as u64;
        let from_user = vector == BREAKPOINT || vector == OVERFLOW;
        let stack = if vector == DOUBLE_FAULT {
            gdt::DOUBLE_FAULT_STACK
        } else {
            0
        };
        let kind = 0x8e | if from_user { 0x60 } else { 0 };
        let low = code & 0xffff
            | u64::from(gdt::KERNEL_CODE) << 16
            | u64::from(stack) << 32
            | kind << 40
            | (code >> 16 & 0xffff) << 48;
        // SAFETY: at boot, nobody else looks at the table.
        unsafe { (*IDT.0.get())[vector] = [low, code >> 32] };
    }
    #[repr(C, packed)]
    struct Pointer {
        limit: u16,
        base: u64,
    }
    let pointer = Pointer {
        limit: (VECTORS * 16 - 1) as u16,
        base: IDT.0.get() as u64,
    };
    // SAFETY: all entries lead to code above.
    unsafe { asm!("lidt [{}]", in(reg) &pointer, options(nostack, preserves_flags)) };
}
