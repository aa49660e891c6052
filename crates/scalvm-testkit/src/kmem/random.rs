//! Programs of kernel memory as random ones.

use std::ops::AddAssign;

use super::program::Program;
use super::run::{Options, Ran, run};
use crate::program::shrink_steps;
use crate::run::Failure;
use crate::soak::Random;

impl Random for Program {
    /// How many threads carry it out.
    type Choice = u32;
    type Ran = Ran;

    fn of_seed(seed: u64, threads: &u32) -> Program {
        Program::generate(seed, *threads)
    }

    fn size(&self) -> usize {
        self.steps.len()
    }

    fn run(&self, loud: bool) -> Result<Ran, Failure> {
        let options = Options {
            loud,
            ..Options::default()
        };
        run(self, options)
    }

    /// With several threads, none smaller is looked for: each run is another one.
    fn shrink(self, mut fails: impl FnMut(&Program) -> bool) -> Program {
        if self.shape.threads > 1 {
            return self;
        }
        let shape = self.shape;
        let program = |steps| Program { shape, steps };
        let steps = shrink_steps(self.steps, |steps| fails(&program(steps.to_vec())));
        program(steps)
    }
}

impl AddAssign for Ran {
    fn add_assign(&mut self, other: Ran) {
        self.allocations += other.allocations;
        self.failures += other.failures;
        self.short += other.short;
    }
}
