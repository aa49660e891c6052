//! [`Discipline`]: between the line and the programs: editing, echo, signals, translation.
//!
//! Pure: bytes go in, bytes and signals come out, so that it is tested without a machine.
//!
//! Invariants: `ready` holds what programs may read, with an [`END`] mark where end-of-file was
//! typed; `lines` counts the line ends in it; `line` is empty unless the mode is canonical.

use linux_raw_sys::general::{
    ECHO, ECHOCTL, ECHOE, ECHOK, ECHOKE, ECHONL, ICANON, ICRNL, IEXTEN, IGNCR, INLCR, ISIG, ISTRIP,
    IUTF8, IXANY, IXON, NOFLSH, OCRNL, ONLCR, OPOST, SIGINT, SIGQUIT, SIGTSTP, VEOF, VEOL, VEOL2,
    VERASE, VINTR, VKILL, VLNEXT, VMIN, VQUIT, VREPRINT, VSTART, VSTOP, VSUSP, VWERASE,
};

use super::fifo::Fifo;
use super::termios::Settings;

/// The most bytes of a line, and of what waits to be read.
pub const CAPACITY: usize = 4096;
/// Columns from one tab stop to the next.
const TAB: usize = 8;
/// End-of-file was typed here.
const END: u16 = 0x100;

/// A terminal's state between line and programs.
pub struct Discipline {
    settings: Settings,
    ready: Fifo<u16, CAPACITY>,
    lines: usize,
    line: [u8; CAPACITY],
    line_len: usize,
    /// The column where the line being edited starts.
    line_column: usize,
    column: usize,
    /// The next byte is taken as it is.
    literal: bool,
    stopped: bool,
}

impl Discipline {
    /// Nothing typed, nothing printed.
    pub const fn new() -> Discipline {
        Discipline {
            settings: Settings::new(),
            ready: Fifo::new(0),
            lines: 0,
            line: [0; CAPACITY],
            line_len: 0,
            line_column: 0,
            column: 0,
            literal: false,
            stopped: false,
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes the settings. What was typed so far can be read at once when editing ends.
    pub fn set(&mut self, settings: Settings) {
        let was_canonical = self.settings.has(ICANON);
        self.settings = settings;
        match (was_canonical, settings.has(ICANON)) {
            (true, false) => {
                for at in 0..self.line_len {
                    self.ready.push(u16::from(self.line[at]));
                }
                self.line_len = 0;
                self.literal = false;
            }
            (false, true) => self.lines = self.ready.iter().filter(|item| self.ends(*item)).count(),
            _ => {}
        }
        if !settings.has_input(IXON) {
            self.stopped = false;
        }
    }

    /// Whether output is held back.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Forgets what was typed and not read.
    pub fn flush_input(&mut self) {
        self.ready.clear();
        self.lines = 0;
        self.line_len = 0;
    }

    /// A byte came from the line. What is to be shown goes to `show`; the signal that it means for
    /// the foreground is returned.
    pub fn input(&mut self, byte: u8, show: &mut dyn FnMut(&[u8])) -> Option<u32> {
        let settings = self.settings;
        let mut byte = if settings.has_input(ISTRIP) {
            byte & 0x7f
        } else {
            byte
        };
        if !core::mem::take(&mut self.literal) {
            if settings.has_input(IXON) {
                if settings.is(byte, VSTOP) {
                    self.stopped = true;
                    return None;
                }
                let starts = settings.is(byte, VSTART);
                if starts || self.stopped && settings.has_input(IXANY) {
                    self.stopped = false;
                }
                if starts {
                    return None;
                }
            }
            if settings.has(ISIG)
                && let Some(signal) = self.signal_of(byte)
            {
                if !settings.has(NOFLSH) {
                    self.flush_input();
                }
                self.stopped = false;
                self.echo(byte, show);
                return Some(signal);
            }
            match byte {
                b'\r' if settings.has_input(IGNCR) => return None,
                b'\r' if settings.has_input(ICRNL) => byte = b'\n',
                b'\n' if settings.has_input(INLCR) => byte = b'\r',
                _ => {}
            }
            if settings.has(ICANON) && self.edit(byte, show) {
                return None;
            }
        }
        if !settings.has(ICANON) {
            if self.ready.len() < CAPACITY {
                self.ready.push(u16::from(byte));
                self.echo(byte, show);
            }
        } else if self.line_len + self.ready.len() + 1 < CAPACITY {
            if self.line_len == 0 {
                self.line_column = self.column;
            }
            self.line[self.line_len] = byte;
            self.line_len += 1;
            self.echo(byte, show);
        }
        None
    }

    /// Canonical mode: acts on a byte that edits or ends the line; false for any other.
    fn edit(&mut self, byte: u8, show: &mut dyn FnMut(&[u8])) -> bool {
        let settings = self.settings;
        let extended = settings.has(IEXTEN);
        if settings.is(byte, VERASE) {
            self.erase(show);
        } else if settings.is(byte, VKILL) {
            if settings.has(ECHOKE) && settings.has(ECHOE) {
                while self.line_len > 0 {
                    self.erase(show);
                }
            } else {
                self.line_len = 0;
                self.echo(byte, show);
                if settings.has(ECHO) && settings.has(ECHOK) {
                    self.output(b"\n", show);
                }
            }
        } else if extended && settings.is(byte, VWERASE) {
            while self.line_len > 0 && !is_word(self.line[self.line_len - 1]) {
                self.erase(show);
            }
            while self.line_len > 0 && is_word(self.line[self.line_len - 1]) {
                self.erase(show);
            }
        } else if extended && settings.is(byte, VREPRINT) {
            self.echo(byte, show);
            self.output(b"\n", show);
            self.line_column = 0;
            for at in 0..self.line_len {
                self.echo(self.line[at], show);
            }
        } else if extended && settings.is(byte, VLNEXT) {
            self.literal = true;
            if settings.has(ECHO) && settings.has(ECHOCTL) {
                self.output(b"^\x08", show);
            }
        } else if settings.is(byte, VEOF) {
            self.finish_line(END);
        } else if byte == b'\n' {
            if settings.has(ECHO) || settings.has(ECHONL) {
                self.output(b"\n", show);
            }
            self.finish_line(u16::from(byte));
        } else if settings.is(byte, VEOL) || extended && settings.is(byte, VEOL2) {
            self.echo(byte, show);
            self.finish_line(u16::from(byte));
        } else {
            return false;
        }
        true
    }

    /// The line can be read, and what ended it.
    fn finish_line(&mut self, end: u16) {
        for at in 0..self.line_len {
            self.ready.push(u16::from(self.line[at]));
        }
        self.line_len = 0;
        if self.ready.push(end) {
            self.lines += 1;
        }
    }

    /// Takes the last character of the line away.
    fn erase(&mut self, show: &mut dyn FnMut(&[u8])) {
        if self.line_len == 0 {
            return;
        }
        self.line_len -= 1;
        while self.settings.has_input(IUTF8)
            && self.line_len > 0
            && is_continuation(self.line[self.line_len])
        {
            self.line_len -= 1;
        }
        if !self.settings.has(ECHO) {
            return;
        }
        if !self.settings.has(ECHOE) {
            let erase = self.settings.chars[VERASE as usize];
            self.echo(erase, show);
            return;
        }
        let mut column = self.line_column;
        for byte in &self.line[..self.line_len] {
            column += self.width(*byte, column);
        }
        let was_tab = self.line[self.line_len] == b'\t';
        while self.column > column {
            self.output(if was_tab { b"\x08" } else { b"\x08 \x08" }, show);
        }
    }

    /// The columns that the echo of a byte takes.
    fn width(&self, byte: u8, column: usize) -> usize {
        match byte {
            b'\t' => TAB - column % TAB,
            0..0x20 | 0x7f if self.settings.has(ECHOCTL) => 2,
            0..0x20 | 0x7f => 0,
            _ if self.settings.has_input(IUTF8) && is_continuation(byte) => 0,
            _ => 1,
        }
    }

    /// Shows a byte that was typed.
    fn echo(&mut self, byte: u8, show: &mut dyn FnMut(&[u8])) {
        if !self.settings.has(ECHO) {
            return;
        }
        match byte {
            0..0x20 | 0x7f if byte != b'\t' && byte != b'\n' && self.settings.has(ECHOCTL) => {
                self.output(&[b'^', byte ^ 0x40], show);
            }
            _ => self.output(&[byte], show),
        }
    }

    /// Bytes that a program, or the echo, prints.
    pub fn output(&mut self, bytes: &[u8], show: &mut dyn FnMut(&[u8])) {
        let translated = self.settings.output & OPOST != 0;
        let mut shown = 0;
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if translated && self.settings.output & ONLCR != 0 => {
                    show(&bytes[shown..at]);
                    show(b"\r\n");
                    shown = at + 1;
                    self.column = 0;
                }
                b'\r' if translated && self.settings.output & OCRNL != 0 => {
                    show(&bytes[shown..at]);
                    show(b"\n");
                    shown = at + 1;
                }
                b'\r' => self.column = 0,
                b'\x08' => self.column = self.column.saturating_sub(1),
                b'\t' => self.column += TAB - self.column % TAB,
                0..0x20 => {}
                byte if is_continuation(*byte) => {}
                _ => self.column += 1,
            }
        }
        if shown < bytes.len() {
            show(&bytes[shown..]);
        }
    }

    /// The bytes that one read would get at most.
    pub fn readable(&self) -> usize {
        if self.settings.has(ICANON) && self.lines == 0 {
            return 0;
        }
        let mut count = 0;
        for item in self.ready.iter() {
            count += usize::from(item != END);
            if self.settings.has(ICANON) && self.ends(item) {
                break;
            }
        }
        count
    }

    /// Whether a read need not wait.
    pub fn is_ready(&self) -> bool {
        if self.settings.has(ICANON) {
            self.lines > 0
        } else {
            self.ready.len() >= usize::from(self.settings.chars[VMIN as usize]).max(1)
        }
    }

    /// The bytes typed and not read, in raw mode.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Takes what a read gets: in canonical mode not more than a line.
    pub fn take(&mut self, to: &mut [u8]) -> usize {
        let canonical = self.settings.has(ICANON);
        if canonical && self.lines == 0 {
            return 0;
        }
        let mut count = 0;
        while let Some(item) = self.ready.first() {
            // An end mark behind the last byte that fits goes with it: it is not an empty read.
            if count == to.len() && item != END {
                break;
            }
            self.ready.pop();
            if let Ok(byte) = u8::try_from(item) {
                to[count] = byte;
                count += 1;
            }
            if canonical && self.ends(item) {
                self.lines -= 1;
                break;
            }
        }
        count
    }

    fn ends(&self, item: u16) -> bool {
        match u8::try_from(item) {
            Err(_) | Ok(b'\n') => true,
            Ok(byte) => self.settings.is(byte, VEOL) || self.settings.is(byte, VEOL2),
        }
    }

    fn signal_of(&self, byte: u8) -> Option<u32> {
        let of = [(VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)];
        of.into_iter()
            .find(|(index, _)| self.settings.is(byte, *index))
            .map(|(_, signal)| signal)
    }
}

/// A byte of a UTF-8 character that is not its first.
fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// Whether word erase takes a byte as a part of a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}
