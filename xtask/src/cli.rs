//! The command line of the tool.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Builds, runs, tests and measures Scalvm's reference kernel.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Subcommand)]
pub enum Command {
    /// Boot the kernel in QEMU: a shell, or one program whose status becomes this command's
    Run(RunOptions),
    /// Run everything that must pass: checks, tests on the host, tests in a guest
    Test(TestOptions),
    /// Measure the kernel with vmbench, and print the figures beside Linux's
    Bench(BenchOptions),
    /// Show in which functions of the kernel one of vmbench's tests spends its instructions
    Profile(ProfileOptions),
    /// Hold the manager's kernel memory against other allocators, on the host
    Allocators(AllocatorsOptions),
    /// Replay recorded page references through the page daemon; `--help` after it tells how
    Trace(TraceOptions),
    /// Say which tools are there, and which are missing
    Doctor,
}

/// Options of `test`.
#[derive(Args)]
pub struct TestOptions {
    /// More steps, more rounds, big programs
    #[arg(long)]
    pub long: bool,
    /// Only tests whose names contain this, such as `c/cow`; `host/NAME` for cargo's tests,
    /// `tsan` for those under the thread sanitizer
    pub pattern: Option<String>,
}

/// Options of `run`.
#[derive(Args)]
pub struct RunOptions {
    /// The guest's memory
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size)]
    pub mem: u64,
    /// Pack this host folder as the root file system
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Bring these Debian packages, and all that they depend on, beside the default root, on a disk
    /// that is /dev/vda and the root file system; what is written there is gone when the guest ends
    #[arg(
        long = "deb",
        value_name = "PACKAGE",
        value_delimiter = ',',
        conflicts_with = "root",
        value_parser = parse_package
    )]
    pub packages: Vec<String>,
    /// Attach this file as a virtio disk: /dev/vda, /dev/vdb, … in the order given
    #[arg(long = "disk", value_name = "FILE")]
    pub disks: Vec<PathBuf>,
    /// Give the guest a disk of this size, gone when it ends, on which memory can be put back
    #[arg(long, value_name = "SIZE", value_parser = parse_store)]
    pub swap: Option<u64>,
    /// Encrypt what is put there, with a key that nobody else knows
    #[arg(long, requires = "swap")]
    pub swap_encrypt: bool,
    /// Keep pages compressed in memory before they are put to a disk, in at most so much of it
    #[arg(long, value_name = "SIZE", value_parser = parse_store)]
    pub compress: Option<u64>,
    /// How the pages that leave memory are chosen
    #[arg(long, value_name = "NAME")]
    pub policy: Option<Policy>,
    /// One nanosecond of guest time for each instruction executed
    #[arg(long)]
    pub icount: bool,
    /// Print the memory manager's counters at power-off, and tables of kernel memory
    #[arg(long)]
    pub stats: bool,
    /// Watch over the kernel's own memory: some of fill, poison, redzones[=BYTES], quarantine[=SIZE],
    /// separated by commas; sites for nothing but who allocated what; or all
    #[arg(long, value_name = "MODES", value_parser = parse_modes)]
    pub kmem_debug: Option<String>,
    /// End the guest after so many seconds, and say where it was
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: Option<u64>,
    /// Wait for a debugger on TCP port 1234 before the first instruction
    #[arg(long)]
    pub gdb: bool,
    /// The program to run in place of a shell, with its arguments
    #[arg(last = true, value_name = "PROGRAM ARGS")]
    pub program: Vec<OsString>,
}

/// How pages are chosen that leave memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Policy {
    /// What comes back soon stays, what is used once leaves soon (the kernel's own choice)
    ClockPro,
    /// Pages take turns, and who was used meanwhile gets another one
    Clock,
}

impl Policy {
    /// The kernel's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClockPro => "clock-pro",
            Self::Clock => "clock",
        }
    }
}

/// Options of `bench`.
#[derive(Args)]
pub struct BenchOptions {
    /// The tests to run, such as 'fault_*'; all that need no second processor, and those of swapping
    pub patterns: Vec<String>,
    /// Keep vmbench's own lines in this file
    #[arg(long, value_name = "FILE")]
    pub raw: Option<PathBuf>,
    /// Put the table into docs/performance.md
    #[arg(long, conflicts_with = "patterns")]
    pub write: bool,
}

/// Options of `allocators`.
#[derive(Args)]
pub struct AllocatorsOptions {
    /// Put the tables into docs/performance.md
    #[arg(long)]
    pub write: bool,
}

/// Options of `profile`.
#[derive(Args)]
pub struct ProfileOptions {
    /// The test, by vmbench's name
    pub test: String,
    /// Iterations, in percent of those of a measurement
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    pub scale: u32,
    /// Count inlined functions as functions
    #[arg(long)]
    pub inlined: bool,
}

/// Options of `trace`: those of the program that does it.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct TraceOptions {
    /// The file, and options
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "FILE OPTIONS"
    )]
    pub arguments: Vec<OsString>,
}

/// `256M`, `1G`, `65536K` or bytes.
fn parse_number(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "a number followed by K, M or G is wanted, such as 256M".to_owned())
}

/// Debug modes of kernel memory.
fn parse_modes(text: &str) -> Result<String, String> {
    let is_known = |mode: &str| {
        let (name, value) = mode.split_once('=').unwrap_or((mode, "0"));
        match name {
            "redzones" | "quarantine" => parse_number(value).is_ok(),
            _ => ["all", "fill", "poison", "sites"].contains(&mode),
        }
    };
    match text.split(',').find(|mode| !is_known(mode)) {
        Some(mode) => Err(format!("{mode:?} is no mode")),
        None => Ok(text.to_owned()),
    }
}

/// The name of a Debian package, as Debian's policy has them.
fn parse_package(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inner = |byte: u8| is_name(byte) || b"+-.".contains(&byte);
    match text.as_bytes() {
        [first, inner @ ..] if is_name(*first) && inner.iter().all(|byte| is_inner(*byte)) => {
            Ok(text.to_owned())
        }
        _ => Err("no package has such a name".to_owned()),
    }
}

/// The size of a guest's memory.
fn parse_size(text: &str) -> Result<u64, String> {
    let size = parse_number(text)?;
    if size < 16 << 20 {
        return Err("the kernel wants 16M at the least".to_owned());
    }
    Ok(size)
}

/// The size of what takes pages that leave memory.
fn parse_store(text: &str) -> Result<u64, String> {
    const LEAST: u64 = 1 << 20;
    const MOST: u64 = 1 << 40;
    match parse_number(text)? {
        size if size < LEAST => Err("1M is the least".to_owned()),
        size if size > MOST => Err("1024G is the most".to_owned()),
        // Whole pages.
        size => Ok(size & !4095),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_stores() {
        assert_eq!(parse_store("128M"), Ok(128 << 20));
        assert_eq!(parse_store("1048577"), Ok(1 << 20));
        for bad in ["0", "1K", "2048G", "much"] {
            assert!(parse_store(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn modes_of_kernel_memory() {
        for good in [
            "all",
            "poison,redzones,quarantine=64K,sites",
            "redzones=16,fill",
        ] {
            assert_eq!(parse_modes(good), Ok(good.to_owned()));
        }
        for bad in ["", "al", "poison,", "quarantine=x", "fill=1"] {
            assert!(parse_modes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn encryption_needs_something_to_encrypt() {
        assert!(Cli::try_parse_from(["x", "run", "--swap-encrypt"]).is_err());
        assert!(Cli::try_parse_from(["x", "run", "--swap", "8M", "--swap-encrypt"]).is_ok());
        assert!(Cli::try_parse_from(["x", "run", "--policy", "best"]).is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("256M"), Ok(256 << 20));
        assert_eq!(parse_size("1g"), Ok(1 << 30));
        assert_eq!(parse_size("33554432"), Ok(32 << 20));
        for bad in ["", "M", "12", "4M", "-1G", "1T", "99999999999999G"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn packages() {
        let words = ["x", "run", "--deb", "g++,lua5.4", "--deb", "git"];
        let cli = Cli::try_parse_from(words);
        let Command::Run(options) = cli.unwrap_or_else(|e| panic!("{e}")).command else {
            panic!("not run");
        };
        assert_eq!(options.packages, ["g++", "lua5.4", "git"]);
        for bad in ["", "-y", "Git", "git=1", "a b", "git,"] {
            assert!(
                Cli::try_parse_from(["x", "run", "--deb", bad]).is_err(),
                "{bad}"
            );
        }
        assert!(Cli::try_parse_from(["x", "run", "--deb", "git", "--root", "/"]).is_err());
    }

    #[test]
    fn the_program_keeps_its_own_options() {
        let cli = Cli::try_parse_from(["x", "run", "--icount", "--", "/bin/ls", "--mem"]);
        let Command::Run(options) = cli.unwrap_or_else(|e| panic!("{e}")).command else {
            panic!("not run");
        };
        assert!(options.icount);
        assert_eq!(options.program, ["/bin/ls", "--mem"]);
        assert!(Cli::try_parse_from(["x", "run", "--cpus", "2"]).is_err());
    }
}
