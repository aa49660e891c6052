//! Each allocation of a program failing.

use super::program::{Op, Program};
use super::run::{Options, run};
use crate::run::Failure;

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
