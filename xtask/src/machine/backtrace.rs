//! Names for the kernel's addresses.

use std::path::Path;

use addr2line::Loader;
use anyhow::{Result, anyhow};

use super::qmp::Qmp;
use super::registers::Registers;

/// The most frames of a backtrace.
const DEPTH: usize = 64;
/// Where the kernel's half of the address space begins.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// The kernel's symbols and lines.
pub struct Symbols {
    loader: Loader,
}

impl Symbols {
    /// Reads them from the kernel's ELF file.
    pub fn of(kernel: &Path) -> Result<Self> {
        let loader = Loader::new(kernel)
            .map_err(|error| anyhow!("the symbols of {}: {error}", kernel.display()))?;
        Ok(Self { loader })
    }

    /// The function that holds an address.
    pub fn function(&self, address: u64) -> Option<String> {
        let name = self.loader.find_symbol(address)?;
        Some(addr2line::demangle_auto(name.into(), None).into_owned())
    }

    /// The innermost function at an address, which may be inlined into others; those of Rust's
    /// own libraries count as their callers.
    pub fn innermost(&self, address: u64) -> Option<String> {
        let mut frames = self.loader.find_frames(address).ok()?;
        while let Some(frame) = frames.next().ok()? {
            let file = frame.location.as_ref().and_then(|at| at.file).unwrap_or("");
            if !file.contains("/library/") && !file.contains("/compiler-builtins") {
                return Some(frame.function.as_ref()?.demangle().ok()?.into_owned());
            }
        }
        self.function(address)
    }

    /// The lines of a backtrace. The first address is where the processor was if `exact`, and
    /// all others are where calls return to.
    pub fn backtrace(&self, addresses: &[u64], exact: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, &address) in addresses.iter().enumerate() {
            // A call may be the last instruction of its function: look just before the return.
            let probe = if number == 0 && exact {
                address
            } else {
                address.wrapping_sub(1)
            };
            let mut named = false;
            let mut frames = self.loader.find_frames(probe).ok();
            while let Some(Ok(Some(frame))) = frames.as_mut().map(|frames| frames.next()) {
                let name = frame
                    .function
                    .as_ref()
                    .and_then(|name| name.demangle().ok());
                let place = frame.location.as_ref().map_or(String::new(), |at| {
                    let file = at.file.unwrap_or("?");
                    format!(" at {file}:{}", at.line.unwrap_or(0))
                });
                let head = if named {
                    " ".repeat(22)
                } else {
                    format!("{number:>3} {address:#018x}")
                };
                lines.push(format!("{head} {}{place}", name.as_deref().unwrap_or("?")));
                named = true;
            }
            if !named {
                let name = self.function(probe).unwrap_or_else(|| "?".to_owned());
                lines.push(format!("{number:>3} {address:#018x} {name}"));
            }
        }
        lines
    }

    /// Where the processor is, asked of the monitor: a line in words, and the kernel's backtrace
    /// if it is in the kernel. The machine should be stopped.
    pub fn whereabouts(&self, qmp: &mut Qmp) -> Result<Vec<String>> {
        let text = qmp.ask("info registers")?;
        let registers = Registers::parse(&text).ok_or_else(|| anyhow!("no registers: {text}"))?;
        let mut lines = Vec::new();
        if !registers.in_kernel {
            lines.push(format!(
                "the processor is in a user program, at {:#x}",
                registers.rip
            ));
            return Ok(lines);
        }
        lines.push(match (registers.halted, registers.interrupts_on) {
            (true, true) => "the kernel is idle: every process waits".to_owned(),
            (_, on) => format!(
                "the kernel runs with interrupts {}",
                if on { "on" } else { "off" }
            ),
        });
        let mut addresses = vec![registers.rip];
        let mut frame = registers.rbp;
        while frame >= KERNEL_HALF && frame % 8 == 0 && addresses.len() < DEPTH {
            let Some([up, back]) = two_words(&qmp.ask(&format!("x /2gx {frame:#x}"))?) else {
                break;
            };
            if back < KERNEL_HALF || up <= frame {
                break;
            }
            addresses.push(back);
            frame = up;
        }
        lines.extend(self.backtrace(&addresses, true));
        Ok(lines)
    }
}

/// The answer to `x /2gx`: `ffff800000001230: 0x… 0x…`.
fn two_words(text: &str) -> Option<[u64; 2]> {
    let (_, words) = text.split_once(": ")?;
    let mut words = words.split_whitespace();
    let mut word = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    Some([word()?, word()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_words_are_read() {
        let text = "ffff800000001230: 0xffff800000001260 0xffffffff80001234\r\n";
        assert_eq!(
            two_words(text),
            Some([0xffff_8000_0000_1260, 0xffff_ffff_8000_1234])
        );
        assert_eq!(two_words("Cannot access memory\r\n"), None);
    }

    #[test]
    fn this_very_function_has_a_name() {
        let symbols = Symbols::of(Path::new("/proc/self/exe")).expect("symbols");
        let here = this_very_function_has_a_name as fn() as usize as u64;
        let map = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let base = map.split('-').next().expect("a line");
        let base = u64::from_str_radix(base, 16).expect("a number");
        let name = symbols.function(here - base).expect("a symbol");
        assert!(name.ends_with("this_very_function_has_a_name"), "{name}");
        let lines = symbols.backtrace(&[here - base], true);
        assert!(lines[0].contains("backtrace.rs:"), "{lines:?}");
    }
}
