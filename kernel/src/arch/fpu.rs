//! The state of the floating-point and vector units.
//!
//! The kernel does not use them: what is in them belongs to the program that runs, until another
//! one does.

use core::arch::asm;
use core::cell::UnsafeCell;

/// Bytes that fxsave writes.
pub const STATE_SIZE: usize = 512;

/// The registers of a program that does not run.
#[repr(C, align(16))]
pub struct State(UnsafeCell<[u8; STATE_SIZE]>);

// SAFETY: only touched for the thread it belongs to, by the one processor.
unsafe impl Sync for State {}

static INITIAL: State = State::new();

impl State {
    /// The state in which a program starts: x87 control word 0x37f, MXCSR 0x1f80, all registers
    /// empty.
    pub const fn new() -> State {
        let mut bytes = [0; STATE_SIZE];
        bytes[0] = 0x7f;
        bytes[1] = 0x03;
        bytes[24] = 0x80;
        bytes[25] = 0x1f;
        State(UnsafeCell::new(bytes))
    }

    /// Makes this the same as another one.
    pub fn copy_from(&self, other: &State) {
        // SAFETY: one processor, and neither belongs to a thread that runs.
        unsafe { *self.0.get() = *other.0.get() };
    }

    /// Puts the registers here.
    #[inline(always)]
    pub fn save(&self) {
        // SAFETY: 512 bytes, aligned.
        unsafe { asm!("fxsave64 [{}]", in(reg) self.0.get(), options(nostack, preserves_flags)) };
    }

    /// Loads the registers; a state that was never saved is a bug.
    #[inline(always)]
    pub fn load(&self) {
        // SAFETY: what fxsave wrote, or the initial state.
        unsafe { asm!("fxrstor64 [{}]", in(reg) self.0.get(), options(nostack, preserves_flags)) };
    }
}

/// Loads the state in which a program starts.
#[inline]
pub fn reset() {
    INITIAL.load();
}

/// Puts the registers into a program's memory, at a multiple of 16. False if it cannot be written.
/// Blocks.
pub fn save_to_user(address: usize) -> bool {
    let failed: u32;
    // SAFETY: it writes the program's memory, which is not the kernel's; the fix-up skips the rest.
    unsafe {
        asm!(
            "mov {failed:e}, 1",
            "2: fxsave64 [{user}]",
            "xor {failed:e}, {failed:e}",
            "3:",
            ".pushsection .fixups, \"a\"",
            ".quad 2b, 3b",
            ".popsection",
            user = in(reg) address,
            failed = out(reg) failed,
            options(nostack),
        );
    }
    failed == 0
}

/// Loads the registers from a program's memory, at a multiple of 16. False, and nothing loaded, if
/// it cannot be read or is no valid state. Blocks.
pub fn load_from_user(address: usize) -> bool {
    let failed: u32;
    // SAFETY: as in save_to_user; the processor refuses what is no valid state.
    unsafe {
        asm!(
            "mov {failed:e}, 1",
            "2: fxrstor64 [{user}]",
            "xor {failed:e}, {failed:e}",
            "3:",
            ".pushsection .fixups, \"a\"",
            ".quad 2b, 3b",
            ".popsection",
            user = in(reg) address,
            failed = out(reg) failed,
            options(nostack),
        );
    }
    failed == 0
}
