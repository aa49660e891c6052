//! Runs a program on the manager and on the model, and compares after each step.
//!
//! What is compared: the outcome of each operation and each byte read; what `query` tells; each mapping in
//! each page table (its rights, its frame's bytes, and that no frame stands for two pages where it can be
//! written, nor two for one page); what the disk holds; and all structures check themselves. Where a failure
//! was arranged, an operation that tells of it must have changed nothing, and must succeed when it is
//! tried again.

mod accesses;
mod compare;
mod decode;
mod finish;
mod maps;
mod objects;
mod runner;
mod trouble;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::program::Program;
use std::mem::ManuallyDrop;

use crate::kit::{Kit, Order};
use runner::Runner;

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong(pub String);

/// Where a program failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Steps that had gone well.
    pub steps: usize,
    /// What is wrong, or the message of the panic.
    pub what: String,
}

/// Runs a program. `loud` tells each step on standard error.
///
/// What a failed program leaves is not tidied up: its structures are wrong.
pub fn run(program: &Program, loud: bool) -> Result<(), Failure> {
    let kit = Kit::with(Order {
        frames: u64::from(program.machine.frames),
        slow_disk: program.machine.slow_disk,
        evict_one_in: program.machine.evict_one_in(),
        seed: u64::from(program.machine.space),
        runtime: None,
    });
    let mut runner = ManuallyDrop::new(Runner::new(&kit, program.machine, loud));
    let mut done = 0;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for step in &program.steps {
            runner.step(step)?;
            done += 1;
        }
        runner.finish()
    }));
    let what = match outcome {
        Ok(Ok(())) => {
            drop(ManuallyDrop::into_inner(runner));
            return Ok(());
        }
        Ok(Err(Wrong(what))) => what,
        Err(panic) => match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
            (Some(text), _) => text.clone(),
            (_, Some(text)) => text.to_string(),
            _ => "a panic".into(),
        },
    };
    Err(Failure { steps: done, what })
}
