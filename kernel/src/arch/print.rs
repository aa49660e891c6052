//! Text for whoever watches the serial port.

use core::fmt;

/// What `println!` writes to.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for part in text.split_inclusive('\n') {
            match part.strip_suffix('\n') {
                Some(line) => {
                    super::serial::write(line.as_bytes());
                    super::serial::write(b"\r\n");
                }
                None => super::serial::write(part.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Prints a line to the serial port.
#[macro_export]
macro_rules! println {
    ($($arg:tt)*) => {{
        use core::fmt::Write as _;
        // Writing to the console cannot fail.
        let _ = writeln!($crate::arch::print::Console, $($arg)*);
    }};
}
