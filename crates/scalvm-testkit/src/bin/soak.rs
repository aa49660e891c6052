//! Runs random programs until enough steps are done: `soak [STEPS] [SEED] [LEAST..MOST]`; or a program, step by
//! step: `soak FILE`. With the third argument memory is short: there is room for so many pages, and pages leave
//! to swap devices and a compressor, on a disk that may fail.
//!
//! `soak kmem [STEPS] [SEED] [THREADS]` does the same with programs of kernel memory.
//!
//! A program that fails is made as small as possible, told step by step, and written to a file in the
//! current folder, whose name is printed.

use std::fmt::{Debug, Display};
use std::process::ExitCode;
use std::time::Instant;

use scalvm_testkit::kmem;
use scalvm_testkit::run::{Failure, Options, run, soak};

const LOUD: Options = Options {
    loud: true,
    fail_allocation: None,
    fail_io: None,
};

const LOUD_KMEM: kmem::Options = kmem::Options {
    loud: true,
    fail_allocation: None,
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(text) = args
        .first()
        .and_then(|name| std::fs::read_to_string(name).ok())
    {
        return match text.lines().any(|line| line.starts_with("kmem ")) {
            true => replay(text.parse(), |program| kmem::run(program, LOUD_KMEM)),
            false => replay(text.parse(), |program| run(program, LOUD)),
        };
    }
    let is_kmem = args.first().is_some_and(|first| first == "kmem");
    let args = &args[usize::from(is_kmem)..];
    let number = |n: usize, usual| {
        args.get(n)
            .and_then(|arg| arg.parse().ok())
            .unwrap_or(usual)
    };
    let (steps, first) = (number(0, 1_000_000), number(1, 1));
    let start = Instant::now();
    if is_kmem {
        let soaked = kmem::soak(steps, first, number(2, 1).max(1) as u32);
        let soaked = soaked.map(|sum| (sum.steps, sum));
        return tell(start, soaked, |difference| {
            report(
                (difference.seed, &difference.failure),
                || difference.shrink(),
                |program| drop(kmem::run(program, LOUD_KMEM)),
            );
        });
    }
    let memory = args.get(2).and_then(|text| {
        let (least, most) = text.split_once("..")?;
        Some(least.parse().ok()?..most.parse().ok()?)
    });
    if args.len() > 2 && memory.is_none() {
        println!("not a range of pages, as 16..256: {}", args[2]);
        return ExitCode::FAILURE;
    }
    let soaked = soak(steps, first, memory).map(|sum| (sum.steps, sum));
    tell(start, soaked, |difference| {
        report(
            (difference.seed, &difference.failure),
            || difference.shrink(),
            |program| drop(run(program, LOUD)),
        );
    })
}

fn tell<S: Debug, D>(
    start: Instant,
    soaked: Result<(u64, S), Box<D>>,
    report: impl FnOnce(&D),
) -> ExitCode {
    match soaked {
        Err(difference) => {
            report(&difference);
            ExitCode::FAILURE
        }
        Ok((steps, sum)) => {
            let rate = steps as f64 / start.elapsed().as_secs_f64();
            println!("no difference; {rate:.0} steps a second; {sum:?}");
            ExitCode::SUCCESS
        }
    }
}

fn report<P: Display>(
    (seed, failure): (u64, &Failure),
    shrink: impl FnOnce() -> (P, Failure),
    run: impl FnOnce(&P),
) {
    println!("seed {seed}, step {}: {}", failure.steps, failure.what);
    let (small, failure) = shrink();
    run(&small);
    let steps = small.to_string().lines().count() - 1;
    println!("{steps} steps are enough: {}", failure.what);
    let name = format!("failing-{seed}.txt");
    match std::fs::write(&name, small.to_string()) {
        Ok(()) => println!("written to {name}"),
        Err(error) => println!("{name}: {error}\n{small}"),
    }
}

fn replay<P, R: Debug>(
    program: Result<P, String>,
    run: impl FnOnce(&P) -> Result<R, Failure>,
) -> ExitCode {
    match program.map(|program| run(&program)) {
        Err(error) => println!("{error}"),
        Ok(Err(failure)) => println!("step {}: {}", failure.steps, failure.what),
        Ok(Ok(ran)) => {
            println!("no difference; {ran:?}");
            return ExitCode::SUCCESS;
        }
    }
    ExitCode::FAILURE
}
