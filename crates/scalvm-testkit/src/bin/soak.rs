//! Runs random programs until enough steps are done: `soak [STEPS] [SEED] [LEAST..MOST]`; or a program, step by
//! step: `soak FILE`. With the third argument memory is short: there is room for so many pages, and pages leave
//! to swap devices and a compressor, on a disk that may fail.
//!
//! `soak kmem [STEPS] [SEED] [THREADS]` does the same with programs of kernel memory.
//!
//! A program that fails is made as small as possible, told step by step, and written to a file in the
//! current folder, whose name is printed.

use std::fmt::Display;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Instant;

use scalvm_testkit::soak::{Difference, Random, soak};
use scalvm_testkit::{kmem, program};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(text) = args
        .first()
        .and_then(|name| std::fs::read_to_string(name).ok())
    {
        return match text.lines().any(|line| line.starts_with("kmem ")) {
            true => replay::<kmem::Program>(&text),
            false => replay::<program::Program>(&text),
        };
    }
    let is_kmem = args.first().is_some_and(|first| first == "kmem");
    let args = &args[usize::from(is_kmem)..];
    let number = |n: usize, usual: u64| match args.get(n) {
        Some(text) => text.parse().map_err(|_| format!("not a number: {text}")),
        None => Ok(usual),
    };
    let done = number(0, 1_000_000).and_then(|steps| {
        let first = number(1, 1)?;
        if is_kmem {
            let threads = number(2, 1)?.clamp(1, 64) as u32;
            return Ok(tell::<kmem::Program>(steps, first, &threads));
        }
        let memory = args.get(2).map(|text| {
            let range = text
                .split_once("..")
                .and_then(|(least, most)| Some(least.parse().ok()?..most.parse().ok()?));
            range
                .filter(|range| !range.is_empty())
                .ok_or_else(|| format!("not a range of pages, as 16..256: {text}"))
        });
        Ok(tell::<program::Program>(steps, first, &memory.transpose()?))
    });
    done.unwrap_or_else(|wrong| {
        println!("{wrong}");
        ExitCode::FAILURE
    })
}

/// Runs random programs, and tells what came of it.
fn tell<P: Random>(steps: u64, first: u64, choice: &P::Choice) -> ExitCode {
    let start = Instant::now();
    match soak::<P>(steps, first, choice) {
        Err(difference) => {
            report(&difference);
            ExitCode::FAILURE
        }
        Ok(sum) => {
            let rate = sum.steps as f64 / start.elapsed().as_secs_f64();
            println!("no difference; {rate:.0} steps a second; {sum:?}");
            ExitCode::SUCCESS
        }
    }
}

fn report<P: Random>(difference: &Difference<P>) {
    let (seed, failure) = (difference.seed, &difference.failure);
    println!("seed {seed}, step {}: {}", failure.steps, failure.what);
    let (small, failure) = difference.shrink();
    let _ = small.run(true);
    println!("{} steps are enough: {}", small.steps().len(), failure.what);
    let name = format!("failing-{seed}.txt");
    match std::fs::write(&name, small.to_string()) {
        Ok(()) => println!("written to {name}"),
        Err(error) => println!("{name}: {error}\n{small}"),
    }
}

fn replay<P: Random + FromStr<Err: Display>>(text: &str) -> ExitCode {
    match text.parse::<P>().map(|program| program.run(true)) {
        Err(error) => println!("{error}"),
        Ok(Err(failure)) => println!("step {}: {}", failure.steps, failure.what),
        Ok(Ok(ran)) => {
            println!("no difference; {ran:?}");
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::FAILURE
}
