//! [`Settings`]: how a terminal treats what is typed and what is printed.

use linux_raw_sys::general::{
    B115200, CLOCAL, CREAD, CS8, ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, HUPCL, ICANON, ICRNL, IEXTEN,
    ISIG, IUTF8, IXON, ONLCR, OPOST, VEOF, VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT, VREPRINT,
    VSTART, VSTOP, VSUSP, VWERASE,
};

/// Control characters.
pub const CONTROLS: usize = 19;

/// The settings, in the layout of the kernel's `struct termios`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Settings {
    /// Input: what is translated or dropped.
    pub input: u32,
    /// Output: what is translated.
    pub output: u32,
    /// The line; kept and shown, without effect.
    pub control: u32,
    /// Editing, echo, signals.
    pub local: u32,
    /// The line discipline, always 0.
    pub line: u8,
    /// Which bytes control it.
    pub chars: [u8; CONTROLS],
}

impl Settings {
    /// What a terminal starts with.
    pub const fn new() -> Settings {
        let mut chars = [0; CONTROLS];
        chars[VINTR as usize] = 0x03;
        chars[VQUIT as usize] = 0x1c;
        chars[VERASE as usize] = 0x7f;
        chars[VKILL as usize] = 0x15;
        chars[VEOF as usize] = 0x04;
        chars[VMIN as usize] = 1;
        chars[VSTART as usize] = 0x11;
        chars[VSTOP as usize] = 0x13;
        chars[VSUSP as usize] = 0x1a;
        chars[VREPRINT as usize] = 0x12;
        chars[VWERASE as usize] = 0x17;
        chars[VLNEXT as usize] = 0x16;
        Settings {
            input: ICRNL | IXON | IUTF8,
            output: OPOST | ONLCR,
            control: B115200 | CS8 | CREAD | HUPCL | CLOCAL,
            local: ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
            line: 0,
            chars,
        }
    }

    /// Whether an input flag is set.
    pub fn has_input(&self, flag: u32) -> bool {
        self.input & flag != 0
    }

    /// Whether a local flag is set.
    pub fn has(&self, flag: u32) -> bool {
        self.local & flag != 0
    }

    /// Whether `byte` is the control character of this index; 0 means that there is none.
    pub fn is(&self, byte: u8, index: u32) -> bool {
        byte != 0 && self.chars[index as usize] == byte
    }
}
