//! Holds scalvm's kernel memory against other allocators: `cargo xtask allocators` runs it, and makes
//! tables of what it prints.
//!
//! [`subject`] has the allocators, [`work`] what they are made to do, [`trace`] the mixed trace;
//! [`count`] counts instructions (under callgrind), [`time`] measures time, [`memory`] what is held.

mod count;
mod machine;
mod memory;
mod subject;
mod time;
mod trace;
mod work;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["names"] => subject::NAMES.iter().for_each(|name| println!("{name}")),
        ["count", name] => count::count(name),
        ["time"] => time::time(45),
        ["time", rounds] => match rounds.parse() {
            Ok(rounds) => time::time(rounds),
            Err(_) => return usage(),
        },
        ["memory", name] => memory::memory(name),
        _ => return usage(),
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    eprintln!("usage: scalvm-allocbench names | count NAME | time [ROUNDS] | memory NAME");
    ExitCode::FAILURE
}
