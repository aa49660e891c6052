//! Interrupt lines, and waiting for one.
//!
//! Handlers run in the idle loop, between two instructions of a program, or where long work in the
//! kernel lets them, never in the middle of anything else: they may use what the rest of the kernel uses, but must not block.

use core::arch::asm;

use super::pic;
use crate::sync::Mutex;
use crate::task;

/// Lines of the two interrupt controllers.
pub const LINES: usize = 16;

/// What is called at an interrupt.
pub type Handler = fn();

static HANDLERS: Mutex<[Option<Handler>; LINES]> = Mutex::new([None; LINES]);

/// Has a function called at each interrupt on a line (0 to 15), and opens the line. Devices that
/// share a line must share the function.
pub fn register(line: u8, handler: Handler) {
    HANDLERS.lock()[line as usize] = Some(handler);
    pic::unmask(line);
}

/// An interrupt came on this line.
pub(super) fn on_line(line: u8) {
    if pic::is_spurious(line) {
        return;
    }
    let handler = HANDLERS.lock()[line as usize];
    if let Some(handler) = handler {
        handler();
        task::after_interrupt();
    }
    pic::done(line);
}

/// Takes the interrupts that have come. Only where the caller may block.
#[inline]
pub fn take() {
    // SAFETY: the caller holds nothing that a handler needs. An interrupt is taken only after the
    // instruction that follows `sti`.
    unsafe { asm!("sti", "nop", "cli", options(nostack)) };
}

/// Waits until an interrupt has come and been handled. Only for the idle loop and for boot.
#[inline]
pub fn wait() {
    // SAFETY: the caller holds nothing that a handler needs. An interrupt cannot come between the
    // two instructions.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}
