//! Page faults, other exceptions, and interrupts.
//!
//! A program's exception becomes a signal. The kernel's own is a bug, but for those of instructions
//! that touch a program's memory.

use linux_raw_sys::general::{
    BUS_ADRALN, BUS_ADRERR, BUS_MCEERR_AR, FPE_FLTDIV, FPE_FLTINV, FPE_FLTOVF, FPE_FLTRES,
    FPE_FLTUND, FPE_INTDIV, ILL_ILLOPN, SEGV_ACCERR, SEGV_MAPERR, SI_KERNEL, SIGBUS, SIGFPE,
    SIGILL, SIGKILL, SIGSEGV, SIGTRAP, TRAP_BRKPT, TRAP_TRACE,
};
use scalvm::{Access, FaultError, PAGE_SHIFT};

use super::frame::Frame;
use super::idt::{EXCEPTIONS, FIRST_LINE, PAGE_FAULT, SPURIOUS, TIMER};
use super::layout::{KERNEL_MAP, USER_HIGH};
use super::{cpu, interrupts, timer};
use crate::fs::userfault::Origin;
use crate::mm::{VM, user};
use crate::task::{self, FaultContext, SigInfo};

/// Bits of a page fault's error code.
const WRITE: usize = 2;
const FETCH: usize = 16;

/// A page fault.
pub extern "C" fn on_page_fault(frame: &mut Frame, address: usize) {
    let access = match frame.error {
        error if error & FETCH != 0 => Access::Exec,
        error if error & WRITE != 0 => Access::Write,
        _ => Access::Read,
    };
    if frame.is_user() {
        if let Err(error) = task::fault(address, access, Origin::Program) {
            let (signal, code) = match error {
                FaultError::NoMapping => (SIGSEGV, SEGV_MAPERR),
                FaultError::Protection => (SIGSEGV, SEGV_ACCERR),
                FaultError::OutOfMemory => (SIGKILL, SI_KERNEL),
                FaultError::BeyondEnd | FaultError::Pager(_) | FaultError::Watched(_) => {
                    (SIGBUS, BUS_ADRERR)
                }
                FaultError::Poisoned => (SIGBUS, BUS_MCEERR_AR),
            };
            let context = FaultContext {
                vector: PAGE_FAULT,
                error: frame.error,
                address,
            };
            let mut info = SigInfo::fault(signal, code as i32, address);
            if code == BUS_MCEERR_AR {
                // So much is lost: `si_addr_lsb`.
                info.second = PAGE_SHIFT as u64;
            }
            task::fault_signal(info, context);
        }
        task::before_return(frame);
    } else {
        match user::fixup(frame.rip) {
            Some(go_on) if address < USER_HIGH => {
                if task::fault(address, access, Origin::Kernel).is_err() {
                    frame.rip = go_on;
                }
            }
            // Pageable memory of the kernel's own.
            _ if KERNEL_MAP.contains(&address) && kernel_fault(address, access) => {}
            _ => panic!(
                "page fault in the kernel: {access:?} of {address:#x} at {:#x}, error {:#x}",
                frame.rip, frame.error
            ),
        }
    }
}

/// A fault in the kernel map: of its pageable memory there is some to be brought in. Blocks.
fn kernel_fault(address: usize, access: Access) -> bool {
    VM.kernel_map()
        .is_some_and(|map| map.fault_wait(address, access).is_ok())
}

/// Any other exception or interrupt.
pub extern "C" fn on_interrupt(frame: &mut Frame) {
    match frame.vector {
        TIMER => {
            task::interrupted();
            timer::acknowledge();
            task::on_timer();
        }
        SPURIOUS => {}
        vector if vector >= FIRST_LINE => {
            task::interrupted();
            interrupts::on_line((vector - FIRST_LINE) as u8);
        }
        _ if frame.is_user() => program_exception(frame),
        _ => kernel_exception(frame),
    }
    if frame.is_user() {
        task::before_return(frame);
    }
}

fn program_exception(frame: &Frame) {
    let ip = frame.rip;
    let (signal, code, address) = match frame.vector {
        0 => (SIGFPE, FPE_INTDIV, ip),
        1 => (SIGTRAP, debug_code(frame), ip),
        3 => (SIGTRAP, SI_KERNEL, 0),
        6 => (SIGILL, ILL_ILLOPN, ip),
        11 | 12 => (SIGBUS, SI_KERNEL, 0),
        16 => (SIGFPE, float_code(x87_exceptions()), ip),
        17 => (SIGBUS, BUS_ADRALN, 0),
        19 => (SIGFPE, float_code(sse_exceptions()), ip),
        _ => (SIGSEGV, SI_KERNEL, 0),
    };
    let context = FaultContext {
        vector: frame.vector,
        error: frame.error,
        address: 0,
    };
    task::fault_signal(SigInfo::fault(signal, code as i32, address), context);
}

fn debug_code(frame: &Frame) -> u32 {
    const TRAP_FLAG: usize = 0x100;
    if frame.rflags & TRAP_FLAG != 0 {
        TRAP_TRACE
    } else {
        TRAP_BRKPT
    }
}

/// The unmasked exceptions of the x87 unit.
fn x87_exceptions() -> u32 {
    let (mut control, mut status) = (0u16, 0u16);
    // SAFETY: both store two bytes.
    unsafe {
        core::arch::asm!(
            "fnstcw [{}]",
            "fnstsw [{}]",
            in(reg) &mut control,
            in(reg) &mut status,
            options(nostack),
        );
    }
    u32::from(status & !control)
}

/// The unmasked exceptions of the SSE unit.
fn sse_exceptions() -> u32 {
    let mut mxcsr = 0u32;
    // SAFETY: it stores four bytes.
    unsafe { core::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
    mxcsr & !(mxcsr >> 7)
}

fn float_code(exceptions: u32) -> u32 {
    match exceptions {
        e if e & 0x01 != 0 => FPE_FLTINV,
        e if e & 0x04 != 0 => FPE_FLTDIV,
        e if e & 0x08 != 0 => FPE_FLTOVF,
        e if e & 0x12 != 0 => FPE_FLTUND,
        e if e & 0x20 != 0 => FPE_FLTRES,
        _ => FPE_FLTINV,
    }
}

fn kernel_exception(frame: &mut Frame) {
    const DOUBLE_FAULT: usize = 8;
    const GENERAL_PROTECTION: usize = 13;
    match user::fixup(frame.rip) {
        // A state of the floating-point unit that the processor refuses, or an address that is
        // none.
        Some(go_on) if frame.vector == GENERAL_PROTECTION => frame.rip = go_on,
        // The page fault's frame found no place where the stack is not mapped.
        _ if frame.vector == DOUBLE_FAULT && KERNEL_MAP.contains(&cpu::fault_address()) => panic!(
            "the kernel stack has overflown: at {:#x}, stack pointer {:#x}",
            frame.rip, frame.rsp
        ),
        _ => panic!(
            "exception {} in the kernel at {:#x}, error {:#x}",
            frame.vector, frame.rip, frame.error
        ),
    }
}

const _: () = assert!(EXCEPTIONS == FIRST_LINE);
