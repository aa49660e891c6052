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
    on_first_return = sym on_first_return,
);

unsafe extern "C" {
    /// Leaves this stack, its pointer in `*from`, for the one that `to` points into. Returns when
    /// somebody switches back.
    ///
    /// # Safety
    ///
    /// `to` came from here or from [`prepare`], and is used once.
    pub fn switch_stacks(from: *mut usize, to: usize);
    fn first_return();
}

extern "C" fn on_first_return(frame: &mut Frame) {
    crate::task::first_return(frame);
}

/// Lays a stack out so that a switch to it returns to a program with these registers. Returns the
/// stack's pointer.
///
/// # Safety
///
/// `top` is the end of a stack that nobody uses, a multiple of 16.
pub unsafe fn prepare(top: usize, frame: &Frame) -> usize {
    /// What switch_stacks pops.
    #[repr(C)]
    struct Saved {
        registers: [usize; 6],
        return_address: usize,
    }
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
