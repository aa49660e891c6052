//! From one kernel stack to another.

use core::arch::{asm, global_asm};
use core::cell::Cell;

use x86_64::registers::model_specific::Msr;

use super::frame::Frame;

const FS_BASE: u32 = 0xc000_0100;
const GS_BASE: u32 = 0xc000_0101;

global_asm!(
    ".global switch_stacks",
    "switch_stacks:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rdi], rsp",
    "mov rsp, rsi",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",

    "first_return:",
    "mov rdi, rsp",
    "call {on_first_return}",
    "jmp return_from_interrupt",

    "first_call:",
    "mov rdi, rbx",
    "call {on_first_call}",
    "ud2",
    on_first_return = sym on_first_return,
    on_first_call = sym on_first_call,
);

unsafe extern "C" {
    /// Leaves this stack, its pointer in `*from`, for the one that `to` points into. Returns when
    /// somebody switches back.
    ///
    /// # Safety
    ///
    /// `to` came from here, from [`prepare`] or from [`prepare_call`], and is used once.
    pub fn switch_stacks(from: *mut usize, to: usize);
    fn first_return();
    fn first_call();
}

/// What switch_stacks pops.
#[repr(C)]
struct Saved {
    /// r15, r14, r13, r12, rbx, rbp.
    registers: [usize; 6],
    return_address: usize,
}

/// The place of rbx among them.
const RBX: usize = 4;

extern "C" fn on_first_return(frame: &mut Frame) {
    crate::task::first_return(frame);
}

extern "C" fn on_first_call(body: extern "C" fn() -> !) -> ! {
    crate::task::first_call();
    body()
}

/// Lays a stack out so that a switch to it returns to a program with these registers. Returns the
/// stack's pointer.
///
/// # Safety
///
/// `top` is the end of a stack that nobody uses, a multiple of 16.
pub unsafe fn prepare(top: usize, frame: &Frame) -> usize {
    let at = top - size_of::<Frame>();
    let saved = at - size_of::<Saved>();
    // SAFETY: the caller's promise.
    unsafe {
        (at as *mut Frame).write(*frame);
        (saved as *mut Saved).write(Saved {
            registers: [0; 6],
            return_address: first_return as *const () as usize,
        });
    }
    saved
}

/// Lays a stack out so that a switch to it calls a function of the kernel. Returns the stack's
/// pointer.
///
/// # Safety
///
/// As for [`prepare`].
pub unsafe fn prepare_call(top: usize, body: extern "C" fn() -> !) -> usize {
    let at = top - size_of::<Saved>();
    let mut registers = [0; 6];
    registers[RBX] = body as usize;
    // SAFETY: the caller's promise.
    unsafe {
        (at as *mut Saved).write(Saved {
            registers,
            return_address: first_call as *const () as usize,
        });
    }
    at
}

/// The bases of the fs and gs segments of a program, which hold its thread-local memory.
#[derive(Default)]
pub struct SegmentBases {
    /// fs.
    pub fs: Cell<usize>,
    /// gs.
    pub gs: Cell<usize>,
}

impl SegmentBases {
    /// Loads these bases where they differ from those of the program that ran before.
    #[inline]
    pub fn load_after(&self, before: &SegmentBases) {
        if self.fs != before.fs {
            self.load_fs();
        }
        if self.gs != before.gs {
            self.load_gs();
        }
    }

    /// Loads the base of fs.
    #[inline]
    pub fn load_fs(&self) {
        // SAFETY: an address of the program's half; the kernel does not use the segment.
        unsafe { Msr::new(FS_BASE).write(self.fs.get() as u64) };
    }

    /// Loads the base of gs.
    #[inline]
    pub fn load_gs(&self) {
        // SAFETY: as in load_fs.
        unsafe { Msr::new(GS_BASE).write(self.gs.get() as u64) };
    }
}

/// The frame pointer of the caller, where a backtrace starts.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let rbp;
    // SAFETY: it reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) rbp, options(nomem, nostack, preserves_flags)) };
    rbp
}
