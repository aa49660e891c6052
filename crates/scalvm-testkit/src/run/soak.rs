//! Random programs, one after the other.

use std::ops::Range;

use super::{Failure, Options, run};
use crate::program::{Program, Rng, Trouble};

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
    /// Pages that left memory.
    pub evicted: u64,
    /// Pages that came back from swap devices.
    pub swapins: u64,
    /// Pages that came back from the compressor.
    pub decompressed: u64,
    /// How often memory was so short that an operation could not be done.
    pub short: u64,
}

/// Runs the programs of the seeds from `first` on until so many steps are done; with `memory`, on machines with
/// room for so many pages.
pub fn soak(steps: u64, first: u64, memory: Option<Range<u32>>) -> Result<Soaked, Box<Difference>> {
    let mut sum = Soaked {
        end: first,
        ..Soaked::default()
    };
    while sum.steps < steps {
        let seed = sum.end;
        let program = program_of(seed, memory.clone());
        match run(&program, Options::default()) {
            Err(failure) => {
                return Err(Box::new(Difference {
                    seed,
                    program,
                    failure,
                }));
            }
            Ok(ran) => {
                sum.evicted += ran.evicted;
                sum.swapins += ran.swapins;
                sum.decompressed += ran.decompressed;
                sum.short += ran.short;
            }
        }
        sum.steps += program.steps.len() as u64;
        sum.end += 1;
    }
    Ok(sum)
}

/// The program of a seed: of various lengths, with failures in one of two.
fn program_of(seed: u64, memory: Option<Range<u32>>) -> Program {
    let mut rng = Rng::new(seed);
    let steps = [20, 60, 200, 400][rng.below(4) as usize];
    let trouble = match rng.below(6) {
        0..3 => Trouble::None,
        3 => Trouble::Allocation,
        4 => Trouble::Io,
        _ => Trouble::Both,
    };
    Program::generate(rng.draw(), steps, trouble, memory)
}

impl Difference {
    /// The smallest program found that fails in the same way, and how it does.
    pub fn shrink(&self) -> (Program, Failure) {
        let wanted = self.failure.kind();
        let mut last = self.failure.clone();
        let small = self.program.clone().shrink(|smaller| {
            let failure = run(smaller, Options::default())
                .err()
                .filter(|f| f.kind() == wanted);
            failure.map(|failure| last = failure).is_some()
        });
        (small, last)
    }
}
