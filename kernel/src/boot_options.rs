//! What the command line says.

use alloc::vec::Vec;
use core::str::FromStr;

/// The kernel's options, and the first program.
#[derive(Default)]
pub struct BootOptions {
    /// `scalvm.stats=1`: the manager's counters are printed at the end.
    pub print_stats: bool,
    /// `scalvm.console=raw`: what programs write reaches the serial line as it is.
    pub raw_console: bool,
    /// `scalvm.rows=N`: lines of the terminal.
    pub rows: Option<u16>,
    /// `scalvm.cols=N`: columns of the terminal.
    pub columns: Option<u16>,
    /// `scalvm.swap=vdX`: the disk on which memory is put back from the start on, all of it unless
    /// mkswap(8) has been there.
    pub swap: Vec<u8>,
    /// `scalvm.swap-encrypt=1`: what is put there is encrypted with a key made at boot.
    pub swap_encrypt: bool,
    /// `scalvm.compress=BYTES`: so much memory may hold compressed pages; 0 for no compressor.
    pub compress: u64,
    /// `scalvm.policy=NAME`: how pages are chosen that leave memory.
    pub policy: Vec<u8>,
    /// `root=/dev/vdX`: the disk with the file system that is the root of the tree, instead of the
    /// archive.
    pub root: Vec<u8>,
    /// `norandmaps`, as on Linux: there is no chance in programs' addresses, see
    /// `task/space/layout.rs`.
    pub fixed_addresses: bool,
    /// `scalvm.refuse-exec-gain=1`: nobody may write and execute memory, or make it executable, as after
    /// PR_SET_MDWE.
    pub refuse_exec_gain: bool,
    /// `transparent_hugepage=always|madvise|never`, as on Linux: for which memory large pages are wanted.
    pub large_pages: Vec<u8>,
    /// What stands behind ` -- `: the first program and its arguments. Spaces in them are `%20`,
    /// and so on.
    pub program: Vec<Vec<u8>>,
}

impl BootOptions {
    /// Takes a command line apart. Unknown options are left out.
    pub fn parse(line: &[u8]) -> BootOptions {
        let mut options = BootOptions::default();
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        for word in words.by_ref() {
            match word {
                b"--" => break,
                b"scalvm.stats=1" => options.print_stats = true,
                b"scalvm.console=raw" => options.raw_console = true,
                b"scalvm.swap-encrypt=1" => options.swap_encrypt = true,
                b"scalvm.refuse-exec-gain=1" => options.refuse_exec_gain = true,
                b"norandmaps" => options.fixed_addresses = true,
                _ => options.with_value(word),
            }
        }
        options.program = words.map(decode).collect();
        if options.program.is_empty() {
            options.program.push(b"/bin/sh".to_vec());
        }
        options
    }

    /// Takes an option that has a value.
    fn with_value(&mut self, word: &[u8]) {
        let Some(at) = word.iter().position(|byte| *byte == b'=') else {
            return;
        };
        let (option, value) = (&word[..at], &word[at + 1..]);
        match option {
            b"scalvm.rows" => self.rows = number(value).or(self.rows),
            b"scalvm.cols" => self.columns = number(value).or(self.columns),
            b"scalvm.swap" => self.swap = value.to_vec(),
            b"scalvm.compress" => self.compress = number(value).unwrap_or(self.compress),
            b"transparent_hugepage" => self.large_pages = value.to_vec(),
            b"root" => self.root = value.to_vec(),
            b"scalvm.policy" => self.policy = value.to_vec(),
            _ => {}
        }
    }
}

/// A number in decimal digits.
pub fn number<T: FromStr>(value: &[u8]) -> Option<T> {
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// A number of bytes, with K, M or G behind it for more.
pub fn bytes(text: &[u8]) -> Option<u64> {
    let (digits, shift) = match text.split_last()? {
        (b'K' | b'k', digits) => (digits, 10),
        (b'M' | b'm', digits) => (digits, 20),
        (b'G' | b'g', digits) => (digits, 30),
        _ => (text, 0),
    };
    number::<u64>(digits)?.checked_mul(1 << shift)
}

/// Replaces `%XX` by the byte with that hexadecimal number; a `%` alone is an empty word.
fn decode(word: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = if word == b"%" { b"" } else { word };
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|digits| core::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if byte == b'%' => {
                decoded.push(code);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}
