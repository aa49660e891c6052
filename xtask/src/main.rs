//! `cargo xtask`: the one tool that builds, runs, tests and measures the reference kernel.
//!
//! [`cli`] says what can be typed; [`setup`] brings the tools; [`image`] makes the guest's root
//! file system, and [`deb`] one of Debian packages; [`machine`] runs a guest in QEMU and tells how it ended; [`suite`] is what must
//! pass; [`mod@bench`] measures, [`mod@allocators`] holds kernel memory against others, and [`trace`]
//! replays recorded page references.

mod allocators;
mod bench;
mod build;
mod cli;
mod deb;
mod doctor;
mod image;
mod machine;
mod paths;
mod run;
mod say;
mod setup;
mod suite;
mod trace;

use std::process::exit;

use clap::Parser;

/// The status when the tool or the machine failed, as opposed to the program in the guest.
const FAILED: u8 = 125;

fn main() {
    let result = match cli::Cli::parse().command {
        cli::Command::Run(options) => run::run(options),
        cli::Command::Test(options) => suite::test(options),
        cli::Command::Bench(options) => bench::bench(options),
        cli::Command::Profile(options) => bench::profile(options),
        cli::Command::Allocators(options) => allocators::allocators(options),
        cli::Command::Trace(options) => trace::trace(options),
        cli::Command::Doctor => Ok(doctor::doctor()),
    };
    exit(match result {
        Ok(status) => i32::from(status),
        Err(error) => {
            say::error(&error);
            i32::from(FAILED)
        }
    });
}
