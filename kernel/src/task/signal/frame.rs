//! What a handler finds on its stack, and how its program goes on after it.
//!
//! The layout is that of Linux on x86_64: a return address, a ucontext with the registers, a
//! siginfo, and further up the vector registers as fxsave writes them.

use linux_raw_sys::general::{SA_NODEFER, SA_ONSTACK};

use super::action::Action;
use super::info::{self, SigInfo};
use super::set::SigSet;
use crate::arch::frame::{Frame, INTERRUPTS, USER_FLAGS};
use crate::arch::gdt::{USER_CODE, USER_DATA};
use crate::arch::layout::USER_HIGH;
use crate::arch::{fpu, gdt};
use crate::linux::Errno;
use crate::mm::user;
use crate::task::sched;
use crate::task::thread::Thread;

/// The stack for signal handlers that ask for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltStack {
    /// Its lowest address.
    pub base: usize,
    /// Bytes; 0 if there is none.
    pub size: usize,
    /// SS_ flags that were given along.
    pub flags: u32,
}

impl AltStack {
    /// None.
    pub const NONE: AltStack = AltStack {
        base: 0,
        size: 0,
        flags: 0,
    };

    /// Whether a stack pointer is on it.
    pub fn holds(&self, sp: usize) -> bool {
        self.size != 0 && sp > self.base && sp - self.base <= self.size
    }

    /// SS_ flags as a program sees them.
    pub fn shown_flags(&self, sp: usize) -> u32 {
        const ON_STACK: u32 = 1;
        const DISABLED: u32 = 2;
        self.flags
            | match () {
                _ if self.size == 0 => DISABLED,
                _ if self.holds(sp) => ON_STACK,
                _ => 0,
            }
    }
}

/// The exception that a program is in, for its handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultContext {
    /// Its vector.
    pub vector: usize,
    /// Its error code.
    pub error: usize,
    /// The address of a page fault.
    pub address: usize,
}

impl FaultContext {
    /// None.
    pub const NONE: FaultContext = FaultContext {
        vector: 0,
        error: 0,
        address: 0,
    };
}

/// Words on the stack: the return address, ...
const RETURN: usize = 0;
/// ... the ucontext, which begins with flags, a link and the alternative stack, ...
const CONTEXT: usize = 1;
const REGISTERS: usize = CONTEXT + 5;
const MASK: usize = REGISTERS + 32;
/// ... and the siginfo.
const INFO: usize = MASK + 1;
const WORDS: usize = INFO + info::SIZE / 8;

/// Words among the registers.
const SELECTORS: usize = REGISTERS + 18;
const FP_STATE: usize = REGISTERS + 23;

/// What a program may use below its stack pointer.
const RED_ZONE: usize = 128;
/// UC_SIGCONTEXT_SS and UC_STRICT_RESTORE_SS: the stack segment is among the registers.
const CONTEXT_FLAGS: u64 = 6;

/// Has the program call a handler. EFAULT if there is no room on its stack.
pub(super) fn call_handler(
    frame: &mut Frame,
    thread: &Thread,
    action: &Action,
    info: SigInfo,
    mask: SigSet,
) -> Result<(), Errno> {
    let alt = thread.alt_stack.get();
    let on_alt = alt.holds(frame.rsp);
    let top = if action.flags & SA_ONSTACK as usize != 0 && alt.size != 0 && !on_alt {
        alt.base + alt.size
    } else {
        frame.rsp.wrapping_sub(RED_ZONE)
    };
    let fp_state = top.wrapping_sub(fpu::STATE_SIZE) & !15;
    let at = (fp_state.wrapping_sub(WORDS * 8) & !15).wrapping_sub(8);
    if on_alt && !alt.holds(at) || fp_state >= USER_HIGH || action.handler >= USER_HIGH {
        return Err(Errno::EFAULT);
    }

    let fault = thread.fault.replace(FaultContext::NONE);
    let mut words = [0u64; WORDS];
    words[RETURN] = action.restorer as u64;
    words[CONTEXT] = CONTEXT_FLAGS;
    words[CONTEXT + 2] = alt.base as u64;
    words[CONTEXT + 3] = u64::from(alt.shown_flags(frame.rsp));
    words[CONTEXT + 4] = alt.size as u64;
    let registers = [
        frame.r8,
        frame.r9,
        frame.r10,
        frame.r11,
        frame.r12,
        frame.r13,
        frame.r14,
        frame.r15,
        frame.rdi,
        frame.rsi,
        frame.rbp,
        frame.rbx,
        frame.rdx,
        frame.rax,
        frame.rcx,
        frame.rsp,
        frame.rip,
        frame.rflags,
        gdt::USER_CODE as usize | (gdt::USER_DATA as usize) << 48,
        fault.error,
        fault.vector,
        mask.0 as usize,
        fault.address,
        fp_state,
    ];
    for (word, register) in words[REGISTERS..].iter_mut().zip(registers) {
        *word = register as u64;
    }
    words[MASK] = mask.0;
    words[INFO..].copy_from_slice(&info.to_words());

    if !fpu::save_to_user(fp_state) {
        return Err(Errno::EFAULT);
    }
    user::write(at, &words)?;
    fpu::reset();

    let mut new_mask = thread.mask.get() | action.mask;
    if action.flags & SA_NODEFER as usize == 0 {
        new_mask |= SigSet::of(info.signal);
    }
    thread.set_mask(new_mask);

    frame.rip = action.handler;
    frame.rsp = at;
    frame.rdi = info.signal as usize;
    frame.rsi = at + INFO * 8;
    frame.rdx = at + CONTEXT * 8;
    frame.rax = 0;
    frame.cs = USER_CODE as usize;
    frame.ss = USER_DATA as usize;
    frame.rflags &= !(TRAP_FLAG | DIRECTION | RESUME);
    Ok(())
}

const TRAP_FLAG: usize = 0x100;
const DIRECTION: usize = 0x400;
const RESUME: usize = 0x1_0000;

/// rt_sigreturn(2): the program goes on as it was before the handler. EFAULT if what should say so
/// is not there.
pub fn sigreturn(frame: &mut Frame) -> Result<(), Errno> {
    let words: [u64; INFO - CONTEXT] = user::read(frame.rsp)?;
    let word = |index: usize| words[index - CONTEXT] as usize;
    let fp_state = word(FP_STATE);
    if fp_state == 0 {
        fpu::reset();
    } else if fp_state >= USER_HIGH || !fpu::load_from_user(fp_state) {
        return Err(Errno::EFAULT);
    }
    let rip = word(REGISTERS + 16);
    if rip >= USER_HIGH || word(SELECTORS) & 3 != 3 {
        return Err(Errno::EFAULT);
    }
    *frame = Frame {
        r8: word(REGISTERS),
        r9: word(REGISTERS + 1),
        r10: word(REGISTERS + 2),
        r11: word(REGISTERS + 3),
        r12: word(REGISTERS + 4),
        r13: word(REGISTERS + 5),
        r14: word(REGISTERS + 6),
        r15: word(REGISTERS + 7),
        rdi: word(REGISTERS + 8),
        rsi: word(REGISTERS + 9),
        rbp: word(REGISTERS + 10),
        rbx: word(REGISTERS + 11),
        rdx: word(REGISTERS + 12),
        rax: word(REGISTERS + 13),
        rcx: word(REGISTERS + 14),
        rsp: word(REGISTERS + 15),
        rip,
        rflags: word(REGISTERS + 17) & USER_FLAGS | INTERRUPTS | 2,
        cs: USER_CODE as usize,
        ss: USER_DATA as usize,
        vector: 0,
        error: 0,
    };
    let thread = sched::current_thread();
    thread.set_mask(SigSet(word(MASK) as u64));
    Ok(())
}
