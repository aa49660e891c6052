//! Runs random programs until enough steps are done: `soak [STEPS] [SEED] [PROCESSES]`.
//!
//! A program that fails is made as small as possible, told step by step, and written to a file in the
//! current folder, whose name is printed. `soak FILE` runs such a file.

use std::process::ExitCode;
use std::time::Instant;

use scalvm_testkit::program::{Program, Rng, Trouble};
use scalvm_testkit::run::run;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
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
    let start = Instant::now();
    std::panic::set_hook(Box::new(|_| {}));
    let mut done = 0;
    let mut seed = first;
    while done < steps {
        let program = program_of(seed);
        done += program.steps.len() as u64;
        if let Err(failure) = run(&program, false) {
            println!("seed {seed}, step {}: {}", failure.steps, failure.what);
            return tell(program, &failure.what, seed);
        }
        seed += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let programs = seed - first;
    println!(
        "{done} steps in {programs} programs, seeds {first} to {}: no difference; {:.0} steps a second",
        seed - 1,
        done as f64 / seconds
    );
    ExitCode::SUCCESS
}

/// The program of a seed: of various lengths, with failures in one of two.
fn program_of(seed: u64) -> Program {
    let mut rng = Rng::new(seed);
    let steps = [20, 60, 200, 400][rng.below(4) as usize];
    let trouble = match rng.below(6) {
        0..3 => Trouble::None,
        3 => Trouble::Allocation,
        4 => Trouble::Io,
        _ => Trouble::Both,
    };
    Program::generate(rng.next(), steps, trouble)
}

/// The first words of a complaint, by which one is known again in a smaller program.
fn kind(what: &str) -> String {
    what.chars()
        .filter(|c| !c.is_ascii_digit())
        .take(24)
        .collect()
}

fn tell(program: Program, what: &str, seed: u64) -> ExitCode {
    let kind_of = kind(what);
    let small = program
        .shrink(|smaller| run(smaller, false).is_err_and(|failure| kind(&failure.what) == kind_of));
    if let Err(failure) = run(&small, true) {
        println!("{} steps are enough: {}", small.steps.len(), failure.what);
    }
    let name = format!("failing-{seed}.txt");
    match std::fs::write(
        &name,
        format!("# {}\n{small}", what.lines().next().unwrap_or_default()),
    ) {
        Ok(()) => println!("written to {name}"),
        Err(error) => println!("{name}: {error}\n{small}"),
    }
    ExitCode::FAILURE
}

fn replay(text: &str) -> ExitCode {
    match text.parse::<Program>() {
        Err(error) => println!("{error}"),
        Ok(program) => match run(&program, true) {
            Ok(()) => {
                println!("no difference");
                return ExitCode::SUCCESS;
            }
            Err(failure) => println!("step {}: {}", failure.steps, failure.what),
        },
    }
    ExitCode::FAILURE
}
