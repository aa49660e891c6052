//! Every allocation of a program fails once, and every request to the disk.

use super::{Failure, Options, Ran, run};
use crate::program::Program;

/// Runs a program again and again, each time with the next one of its allocations failing, and then with the next
/// one of its requests to the disk, until there are no more. Each time whatever told of the failure must
/// have changed nothing, and succeed when tried again, and in the end nothing may be left. Tells how
/// many times it was run.
pub fn sweep(program: &Program) -> Result<u64, Failure> {
    let mut runs = 1;
    run(program, Options::default())?;
    let kinds: [fn(u64) -> Options; 2] = [
        |n| Options {
            fail_allocation: Some(n),
            ..Options::default()
        },
        |n| Options {
            fail_io: Some(n),
            ..Options::default()
        },
    ];
    for (kind, options) in kinds.into_iter().enumerate() {
        for n in 1.. {
            let told = |failure: Failure| Failure {
                what: format!(
                    "{} {n} fails: {}",
                    ["allocation", "request"][kind],
                    failure.what
                ),
                ..failure
            };
            let Ran { failures, .. } = run(program, options(n)).map_err(told)?;
            runs += 1;
            if failures[kind] == 0 {
                break;
            }
        }
    }
    Ok(runs)
}
