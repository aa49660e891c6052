//! Runs random programs until enough steps are done: `soak [STEPS] [SEED] [LEAST..MOST]`; or a program, step by
//! step: `soak FILE`. With the third argument memory is short: there is room for so many pages, and pages leave
//! to swap devices and a compressor, on a disk that may fail.
//!
//! A program that fails is made as small as possible, told step by step, and written to a file in the
//! current folder, whose name is printed.

use std::process::ExitCode;
use std::time::Instant;

use scalvm_testkit::program::Program;
use scalvm_testkit::run::{Difference, Options, run, soak};

const LOUD: Options = Options {
    loud: true,
    fail_allocation: None,
    fail_io: None,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(text) = args
        .first()
        .and_then(|name| std::fs::read_to_string(name).ok())
    {
        return replay(&text);
    }
    let number = |n: usize, usual| {
        args.get(n)
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(usual)
    };
    let (steps, first) = (number(0, 1_000_000), number(1, 1));
    let memory = args.get(2).and_then(|text| {
        let (least, most) = text.split_once("..")?;
        Some(least.parse().ok()?..most.parse().ok()?)
    });
    if args.len() > 2 && memory.is_none() {
        println!("not a range of pages, as 16..256: {}", args[2]);
        return ExitCode::FAILURE;
    }
    let start = Instant::now();
    match soak(steps, first, memory) {
        Err(difference) => tell(&difference),
        Ok(sum) => {
            let rate = sum.steps as f64 / start.elapsed().as_secs_f64();
            println!("no difference; {rate:.0} steps a second; {sum:?}");
            ExitCode::SUCCESS
        }
    }
}

fn tell(difference: &Difference) -> ExitCode {
    let (seed, failure) = (difference.seed, &difference.failure);
    println!("seed {seed}, step {}: {}", failure.steps, failure.what);
    let (small, failure) = difference.shrink();
    let _ = run(&small, LOUD);
    println!("{} steps are enough: {}", small.steps.len(), failure.what);
    let name = format!("failing-{seed}.txt");
    match std::fs::write(&name, small.to_string()) {
        Ok(()) => println!("written to {name}"),
        Err(error) => println!("{name}: {error}\n{small}"),
    }
    ExitCode::FAILURE
}

fn replay(text: &str) -> ExitCode {
    match text.parse::<Program>().map(|program| run(&program, LOUD)) {
        Err(error) => println!("{error}"),
        Ok(Err(failure)) => println!("step {}: {}", failure.steps, failure.what),
        Ok(Ok(ran)) => {
            println!("no difference; {ran:?}");
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::FAILURE
}
