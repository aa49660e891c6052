//! [`Frame`]: the registers of what was interrupted, as they lie on the kernel's stack.

use super::gdt::{USER_CODE, USER_DATA};

/// The registers of a program (or of the kernel) when it entered the kernel; changed, they are what
/// it goes on with. The order is that in which the entry code pushes them.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Frame {
    pub r15: usize,
    pub r14: usize,
    pub r13: usize,
    pub r12: usize,
    pub rbp: usize,
    pub rbx: usize,
    pub r11: usize,
    pub r10: usize,
    pub r9: usize,
    pub r8: usize,
    pub rax: usize,
    pub rcx: usize,
    pub rdx: usize,
    pub rsi: usize,
    pub rdi: usize,
    /// Which exception or interrupt; for a system call its number.
    pub vector: usize,
    /// What the processor says about an exception.
    pub error: usize,
    pub rip: usize,
    pub cs: usize,
    pub rflags: usize,
    pub rsp: usize,
    pub ss: usize,
}

/// The interrupt flag in rflags.
pub const INTERRUPTS: usize = 0x200;
/// The flags that a program may choose: what Linux lets sigreturn set, without the trap flag's
/// neighbours that concern input and output.
pub const USER_FLAGS: usize = 0x0005_0dd5;

impl Frame {
    /// The registers with which a program starts.
    pub fn for_program(rip: usize, rsp: usize) -> Frame {
        Frame {
            rip,
            rsp,
            cs: USER_CODE as usize,
            ss: USER_DATA as usize,
            rflags: INTERRUPTS | 2,
            ..Frame::default()
        }
    }

    /// Whether this is a program's, not the kernel's.
    #[inline(always)]
    pub fn is_user(&self) -> bool {
        self.cs & 3 != 0
    }
}
