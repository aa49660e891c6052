//! The way into the kernel by the `syscall` instruction, and back.
//!
//! There is one processor, so the kernel's stack pointer lies in a static word and the program
//! keeps its gs register to itself.

use core::arch::global_asm;
use core::cell::UnsafeCell;

use x86_64::registers::model_specific::Msr;

use super::frame::{Frame, INTERRUPTS};
use super::gdt;

const STAR: u32 = 0xc000_0081;
const LSTAR: u32 = 0xc000_0082;
const SFMASK: u32 = 0xc000_0084;

/// Trap, interrupt, direction, nested-task and alignment flags are off in the kernel.
const CLEARED_FLAGS: u64 = 0x100 | INTERRUPTS as u64 | 0x400 | 0x4000 | 0x4_0000;

#[repr(transparent)]
struct StackPointer(UnsafeCell<usize>);

// SAFETY: one processor, which reads it only on entry.
unsafe impl Sync for StackPointer {}

static KERNEL_STACK: StackPointer = StackPointer(UnsafeCell::new(0));
static USER_STACK: StackPointer = StackPointer(UnsafeCell::new(0));

global_asm!(
    "syscall_entry:",
    "mov [rip + {user_stack}], rsp",
    "mov rsp, [rip + {kernel_stack}]",
    "push {user_data}",
    "push [rip + {user_stack}]",
    "push r11",
    "push {user_code}",
    "push rcx",
    "push 0",
    "push rax",
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
    "mov rdi, rsp",
    "call {on_syscall}",
    "test al, al",
    "jz return_from_interrupt",
    // Unchanged but for the result: the callee has kept what it must keep.
    "add rsp, 48",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rax",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "mov rsp, [rsp + 40]",
    "sysretq",
    user_stack = sym USER_STACK,
    kernel_stack = sym KERNEL_STACK,
    user_data = const gdt::USER_DATA,
    user_code = const gdt::USER_CODE,
    on_syscall = sym on_syscall,
);

unsafe extern "C" {
    fn syscall_entry();
}

/// Opens the way.
pub fn init() {
    // SAFETY: the selectors are those of the GDT, the entry code is above.
    unsafe {
        Msr::new(STAR).write(u64::from(gdt::USER_BASE) << 48 | u64::from(gdt::KERNEL_CODE) << 32);
        Msr::new(LSTAR).write(syscall_entry as *const () as u64);
        Msr::new(SFMASK).write(CLEARED_FLAGS);
    }
}

/// Where the stack starts when a program enters the kernel, in whatever way.
#[inline(always)]
pub fn set_kernel_stack(top: usize) {
    // SAFETY: one processor, which is in the kernel now.
    unsafe { *KERNEL_STACK.0.get() = top };
    gdt::set_kernel_stack(top);
}

/// True if the program goes on behind its system call with no register changed but the result.
extern "C" fn on_syscall(frame: &mut Frame) -> bool {
    crate::linux::system_call(frame)
}
