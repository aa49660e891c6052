//! `cargo xtask profile`: where the instructions of one of vmbench's tests go.
//!
//! QEMU executes one instruction at a time and logs the address of each into a pipe, from the
//! moment that the test begins; here they are counted by function.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::thread::JoinHandle;

use anyhow::{Result, anyhow, bail};

use super::{config, make_pipe};
use crate::cli::ProfileOptions;
use crate::machine::{self, End, Input, Memory, Scratch, Symbols, TRACE_BEGINS};

/// Functions that are shown.
const SHOWN: usize = 40;
/// The lowest address of the kernel's half.
const KERNEL_HALF: u64 = 0xffff_8000_0000_0000;

/// Executed instructions by address, those of user programs as one.
#[derive(Default)]
struct Counts {
    kernel: HashMap<u64, u64>,
    user: u64,
}

/// Profiles a test and prints the functions by their share.
pub fn profile(options: ProfileOptions) -> Result<u8> {
    let scratch = Scratch::new()?;
    let pipe = scratch.path("trace");
    make_pipe(&pipe)?;
    let script = format!(
        "echo {TRACE_BEGINS}; read line; exec /bin/vmbench -r 1 -s {} '{}'",
        options.scale, options.test
    );
    let mut config = config(&scratch, vec!["/bin/sh".into(), "-c".into(), script])?;
    config.trace = Some(pipe.clone());
    let reader: JoinHandle<Result<Counts>> = std::thread::spawn(move || {
        let mut counts = Counts::default();
        counts.read(File::open(pipe)?)?;
        Ok(counts)
    });
    let output = Memory::default();
    let finished = machine::run(
        &config,
        Input::Bytes(b"\n".to_vec()),
        Box::new(output.clone()),
    )?;
    finished.end.tell();
    let text = String::from_utf8_lossy(&output.take()).into_owned();
    if finished.end != End::Exited(0) || !text.contains(&options.test) {
        bail!("the test did not run: {text}");
    }
    let counts = reader
        .join()
        .map_err(|_| anyhow!("the reader of the trace panicked"))??;
    print!(
        "{}",
        counts.report(&Symbols::of(&config.kernel)?, options.inlined)
    );
    Ok(0)
}

impl Counts {
    /// Counts the lines of QEMU's log: `Trace 0: 0x… [cs_base/address/flags/cflags] symbol`.
    fn read(&mut self, log: impl Read) -> Result<()> {
        let mut log = BufReader::with_capacity(1 << 20, log);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line)? > 0 {
            match address(&line) {
                Some(address) if address >= KERNEL_HALF => {
                    *self.kernel.entry(address).or_default() += 1;
                }
                Some(_) => self.user += 1,
                None => {}
            }
            line.clear();
        }
        Ok(())
    }

    /// A table of the functions, the most executed first.
    fn report(&self, symbols: &Symbols, inlined: bool) -> String {
        let mut functions: HashMap<String, u64> = HashMap::new();
        for (&address, count) in &self.kernel {
            let name = if inlined {
                symbols.innermost(address)
            } else {
                symbols.function(address)
            };
            *functions
                .entry(name.unwrap_or_else(|| "?".to_owned()))
                .or_default() += count;
        }
        functions.insert("(user programs)".to_owned(), self.user);
        let total: u64 = functions.values().sum();
        let mut rows: Vec<_> = functions.into_iter().collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let mut text = format!(
            "{total} instructions\n\n| function | instructions | share |\n|---|---:|---:|\n"
        );
        for (name, count) in rows.iter().take(SHOWN) {
            let share = 100.0 * *count as f64 / total.max(1) as f64;
            text += &format!("| `{name}` | {count} | {share:.1} % |\n");
        }
        text
    }
}

/// The address in a line of the log.
fn address(line: &[u8]) -> Option<u64> {
    let open = line.iter().position(|&byte| byte == b'[')?;
    let mut fields = line.get(open + 1..)?.split(|&byte| byte == b'/');
    let field = fields.nth(1)?;
    u64::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log() {
        let log = "Trace 0: 0x7f32a4000100 [0000000000000000/ffffffff80001234/00c0b0f3/ff021001] f\n\
                   Trace 0: 0x7f32a4000100 [0000000000000000/ffffffff80001234/00c0b0f3/ff021001] f\n\
                   Trace 0: 0x7f32a4000200 [0000000000000000/0000000000401000/00c0b0f3/ff021001] \n\
                   Stopped execution of TB chain before 0x7f32a4000100 [0] \n";
        let mut counts = Counts::default();
        counts.read(log.as_bytes()).expect("memory");
        assert_eq!(counts.kernel.get(&0xffff_ffff_8000_1234), Some(&2));
        assert_eq!(counts.user, 1);
    }
}
