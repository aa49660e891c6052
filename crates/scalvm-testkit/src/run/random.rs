//! Programs of address spaces as random ones.

use std::ops::{AddAssign, Range};

use super::{Failure, Options, Ran, run};
use crate::program::{Op, Program, Rng, Step, Trouble};
use crate::soak::Random;

impl Random for Program {
    type Op = Op;
    /// On machines with room for so many pages; none: with all that is wanted.
    type Choice = Option<Range<u32>>;
    type Ran = Ran;

    /// Of various lengths, with failures in one of two.
    fn of_seed(seed: u64, memory: &Self::Choice) -> Program {
        let mut rng = Rng::new(seed);
        let steps = [20, 60, 200, 400][rng.below(4) as usize];
        let trouble = match rng.below(6) {
            0..3 => Trouble::None,
            3 => Trouble::Allocation,
            4 => Trouble::Io,
            _ => Trouble::Both,
        };
        Program::generate(rng.draw(), steps, trouble, memory.clone())
    }

    fn steps(&self) -> &[Step<Op>] {
        &self.steps
    }

    fn with_steps(&self, steps: Vec<Step<Op>>) -> Program {
        let machine = self.machine;
        Program { machine, steps }
    }

    fn repeats(&self) -> bool {
        true
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
        self.requests += other.requests;
        for (sum, failures) in self.failures.iter_mut().zip(other.failures) {
            *sum += failures;
        }
        self.evicted += other.evicted;
        self.swapins += other.swapins;
        self.decompressed += other.decompressed;
        self.given_up_gone += other.given_up_gone;
        self.paged_out += other.paged_out;
        for (sum, large) in self.large.iter_mut().zip(other.large) {
            *sum += large;
        }
        for (sum, rows) in self.rows.iter_mut().zip(other.rows) {
            *sum += rows;
        }
        self.short += other.short;
    }
}
