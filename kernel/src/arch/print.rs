//! What the kernel itself has to say, apart from what programs write.
//!
//! It goes to the control port, where the emulator has one, line by line; else among the output of
//! programs.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

use x86_64::instructions::port::Port;

use super::serial;

/// QEMU's debug console. Reading it yields the number of the port.
const CONTROL_PORT: u16 = 0xe9;

/// What `println!` writes to.
pub struct Messages;

impl fmt::Write for Messages {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if has_control_port() {
            for byte in text.bytes() {
                // SAFETY: the device is there, and takes any byte.
                unsafe { Port::<u8>::new(CONTROL_PORT).write(byte) };
            }
            return Ok(());
        }
        for part in text.split_inclusive('\n') {
            match part.strip_suffix('\n') {
                Some(line) => {
                    serial::write(line.as_bytes());
                    serial::write(b"\r\n");
                }
                None => serial::write(part.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Whether the emulator has a control port.
pub fn has_control_port() -> bool {
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;
    static HAS: AtomicU8 = AtomicU8::new(UNKNOWN);
    if HAS.load(Relaxed) == UNKNOWN {
        // SAFETY: reading a port where there is no device does nothing.
        let found = unsafe { Port::<u8>::new(CONTROL_PORT).read() };
        HAS.store(if found == CONTROL_PORT as u8 { YES } else { NO }, Relaxed);
    }
    HAS.load(Relaxed) == YES
}

/// Prints a line of the kernel's own.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => {{
        use core::fmt::Write as _;
        // Writing there cannot fail.
        let _ = writeln!($crate::arch::print::Messages, $($arg)*);
    }};
}

/// Tells whoever started the emulator something, if there is a control port.
pub fn tell(message: fmt::Arguments<'_>) {
    if has_control_port() {
        crate::println!("{message}");
    }
}
