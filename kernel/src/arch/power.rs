//! The end.

use x86_64::instructions::hlt;
use x86_64::instructions::port::Port;

/// QEMU's device for ending with a status.
const EXIT_PORT: u16 = 0xf4;

/// Ends the machine: QEMU exits with twice this status plus one.
pub fn power_off(status: i32) -> ! {
    // SAFETY: where the device is missing the write does nothing.
    unsafe { Port::<u32>::new(EXIT_PORT).write(status as u32) };
    loop {
        hlt();
    }
}
