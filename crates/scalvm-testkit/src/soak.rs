//! Random programs of any kind, one after the other until enough steps are done.

use std::fmt::{Debug, Display};
use std::ops::AddAssign;

use crate::program::{Step, shrink_steps};
use crate::run::Failure;

/// A kind of program that is made from a seed, run, and made smaller.
pub trait Random: Clone + Display {
    /// What a step may do.
    type Op: Copy + PartialEq;
    /// What its generator is told besides the seed.
    type Choice;
    /// What a program did.
    type Ran: Copy + Default + Debug + AddAssign;

    /// The program of a seed.
    fn of_seed(seed: u64, choice: &Self::Choice) -> Self;

    /// Its steps.
    fn steps(&self) -> &[Step<Self::Op>];

    /// The same program with other steps.
    fn with_steps(&self, steps: Vec<Step<Self::Op>>) -> Self;

    /// Whether it does the same each time, so that a smaller one can be looked for.
    fn repeats(&self) -> bool;

    /// Runs it on the manager and the model; telling each step on standard error, if asked to.
    fn run(&self, loud: bool) -> Result<Self::Ran, Failure>;

    /// The smallest program found that still fails as `fails` tells; itself if it does not repeat.
    fn shrink(self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        if !self.repeats() {
            return self;
        }
        let steps = shrink_steps(self.steps().to_vec(), |steps| {
            fails(&self.with_steps(steps.to_vec()))
        });
        self.with_steps(steps)
    }
}

/// A program on which the manager and the model differ.
#[derive(Debug)]
pub struct Difference<P> {
    /// The seed that it came from.
    pub seed: u64,
    /// The program as it came.
    pub program: P,
    /// What went wrong.
    pub failure: Failure,
}

/// What was done without a difference.
#[derive(Clone, Copy, Debug)]
pub struct Soaked<R> {
    /// Steps.
    pub steps: u64,
    /// The first seed that was not used.
    pub end: u64,
    /// What the programs did, all together.
    pub ran: R,
}

/// Runs the programs of the seeds from `first` on until so many steps are done.
pub fn soak<P: Random>(
    steps: u64,
    first: u64,
    choice: &P::Choice,
) -> Result<Soaked<P::Ran>, Box<Difference<P>>> {
    let mut sum = Soaked {
        steps: 0,
        end: first,
        ran: P::Ran::default(),
    };
    while sum.steps < steps {
        let seed = sum.end;
        let program = P::of_seed(seed, choice);
        match program.run(false) {
            Ok(ran) => sum.ran += ran,
            Err(failure) => {
                return Err(Box::new(Difference {
                    seed,
                    program,
                    failure,
                }));
            }
        }
        sum.steps += program.steps().len() as u64;
        sum.end += 1;
    }
    Ok(sum)
}

impl<P: Random> Difference<P> {
    /// The smallest program found that fails in the same way, and how it does.
    pub fn shrink(&self) -> (P, Failure) {
        let wanted = self.failure.kind();
        let mut last = self.failure.clone();
        let small = self.program.clone().shrink(|smaller| {
            let failure = smaller.run(false).err();
            let failure = failure.filter(|failure| failure.kind() == wanted);
            failure.map(|failure| last = failure).is_some()
        });
        (small, last)
    }
}
