//! Programs of kernel memory as random ones.

use std::ops::AddAssign;

use super::program::{Op, Program};
use super::run::{Options, Ran, run};
use crate::program::Step;
use crate::run::Failure;
use crate::soak::Random;

impl Random for Program {
    type Op = Op;
    /// How many threads carry it out.
    type Choice = u32;
    type Ran = Ran;

    fn of_seed(seed: u64, threads: &u32) -> Program {
        Program::generate(seed, *threads)
    }

    fn steps(&self) -> &[Step<Op>] {
        &self.steps
    }

    fn with_steps(&self, steps: Vec<Step<Op>>) -> Program {
        let shape = self.shape;
        Program { shape, steps }
    }

    /// With several threads, each run is another one.
    fn repeats(&self) -> bool {
        self.shape.threads == 1
    }

    fn run(&self, loud: bool) -> Result<Ran, Failure> {
        let options = Options {
            loud,
            ..Options::default()
        };
        run(self, options)
    }
}

impl AddAssign for Ran {
    fn add_assign(&mut self, other: Ran) {
        self.allocations += other.allocations;
        self.failures += other.failures;
        self.short += other.short;
    }
}
