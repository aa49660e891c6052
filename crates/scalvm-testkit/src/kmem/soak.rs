//! Random programs of kernel memory, one after the other; and each allocation of one failing.

use super::program::{Op, Program};
use super::run::{Options, run};
use crate::program::shrink_steps;
use crate::run::Failure;

/// A program on which the manager and the model differ.
#[derive(Debug)]
pub struct Difference {
    /// The seed that it came from.
    pub seed: u64,
    /// The program as it came.
    pub program: Program,
    /// What went wrong.
    pub failure: Failure,
}

/// What was done without a difference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Soaked {
    /// Steps.
    pub steps: u64,
    /// The first seed that was not used.
    pub end: u64,
    /// Allocations of frames and structures.
    pub allocations: u64,
    /// How many were made to fail, one at a time.
    pub failures: u64,
    /// How often memory was so short that an operation could not be done.
    pub short: u64,
}

/// Runs the programs of the seeds from `first` on until so many steps are done.
pub fn soak(steps: u64, first: u64, threads: u32) -> Result<Soaked, Box<Difference>> {
    let mut sum = Soaked {
        end: first,
        ..Soaked::default()
    };
    while sum.steps < steps {
        let seed = sum.end;
        let program = Program::generate(seed, threads);
        match run(&program, Options::default()) {
            Err(failure) => {
                return Err(Box::new(Difference {
                    seed,
                    program,
                    failure,
                }));
            }
            Ok(ran) => {
                sum.allocations += ran.allocations;
                sum.failures += ran.failures;
                sum.short += ran.short;
            }
        }
        sum.steps += program.steps.len() as u64;
        sum.end += 1;
    }
    Ok(sum)
}

/// Runs a program again and again, each time with the next one of its allocations failing, until there are
/// no more. Failures of its own are left out. Tells how many times it was run.
pub fn sweep(program: &Program) -> Result<u64, Failure> {
    let fails = |op| matches!(op, Op::FailAllocation | Op::FailSometimes);
    let mut program = program.clone();
    program.steps.retain(|step| !fails(step.op));
    let program = &program;
    run(program, Options::default())?;
    for n in 1.. {
        let options = Options {
            fail_allocation: Some(n),
            ..Options::default()
        };
        let told = |failure: Failure| Failure {
            what: format!("allocation {n} fails: {}", failure.what),
            ..failure
        };
        let ran = run(program, options).map_err(told)?;
        if ran.failures == 0 {
            return Ok(n + 1);
        }
    }
    unreachable!("there are not so many allocations")
}

impl Difference {
    /// The smallest program found that fails in the same way, and how it does. With several threads, none
    /// smaller is looked for: each run is another one.
    pub fn shrink(&self) -> (Program, Failure) {
        let mut last = self.failure.clone();
        if self.program.shape.threads > 1 {
            return (self.program.clone(), last);
        }
        let shape = self.program.shape;
        let wanted = self.failure.kind();
        let steps = shrink_steps(self.program.steps.clone(), |steps| {
            let smaller = Program {
                shape,
                steps: steps.to_vec(),
            };
            let failure = run(&smaller, Options::default()).err();
            let failure = failure.filter(|failure| failure.kind() == wanted);
            failure.map(|failure| last = failure).is_some()
        });
        (Program { shape, steps }, last)
    }
}
