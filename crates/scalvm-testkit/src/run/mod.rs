//! Runs a program on the manager and on the model, and compares after each step.
//!
//! What is compared: the outcome of each operation and each byte read; what `query` tells; each mapping in
//! each page table (its rights, its frame's bytes, and that no frame stands for two pages where it can be
//! written, nor two for one page); what the disk holds; and all structures check themselves. Where a failure
//! was arranged, an operation that tells of it must have changed nothing, and must succeed when it is
//! tried again.
//!
//! On a small machine (`Paging`) pages leave to swap devices and a compressor, and files are written early. Nothing
//! of that may be seen, but: an operation may run out of memory where there are few free slots, or much is
//! wired, or writes fail; then there is more memory, and it must succeed. A page that cannot be read is told of,
//! and is unchanged when the disk works again. A device that is removed goes, or there is no room and it stays.
//! What lies on the disk of a file is, sector by sector, something that the page contained since it was last
//! synced. In the end everything comes back, and no slot or compressed page is left.

mod accesses;
mod advice;
mod ballast;
mod compare;
mod decode;
mod finish;
mod large;
mod maps;
mod objects;
mod paging;
mod random;
mod rules;
mod runner;
mod sharing;
mod sweep;
mod trouble;
mod watch;

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::kit::{Kit, Order};
use crate::program::Program;
use runner::Runner;

pub(crate) use runner::{Check, wrong};
pub use sweep::sweep;

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

/// How a program is run.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Tell each step on standard error.
    pub loud: bool,
    /// Which allocation fails, counted from one.
    pub fail_allocation: Option<u64>,
    /// Which request to the disk fails, counted from one.
    pub fail_io: Option<u64>,
}

/// What a program did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Allocations that it asked for.
    pub allocations: u64,
    /// Requests that the disk was given.
    pub requests: u64,
    /// Allocations and requests that failed.
    pub failures: [u64; 2],
    /// Pages that left memory.
    pub evicted: u64,
    /// Pages that came back from swap devices.
    pub swapins: u64,
    /// Pages that came back from the compressor.
    pub decompressed: u64,
    /// Pages that were given up and then discarded.
    pub given_up_gone: u64,
    /// Pages that left because a program said so.
    pub paged_out: u64,
    /// Large leaves that were made for devices, and that were split.
    pub large: [u64; 2],
    /// Faults that brought rows, and ranges that were joined.
    pub rows: [u64; 2],
    /// How often memory was so short that an operation could not be done.
    pub short: u64,
}

/// Runs a program.
///
/// What a failed program leaves is not tidied up: its structures are wrong.
pub fn run(program: &Program, options: Options) -> Result<Ran, Failure> {
    let kit = Kit::with(Order {
        frames: u64::from(program.machine.frames),
        slow_disk: program.machine.slow_disk,
        evict_one_in: program.machine.evict_one_in(),
        tables: program.machine.tables(),
        seed: u64::from(program.machine.space),
        paging: program.machine.paging,
        ..Order::default()
    });
    let mut runner = ManuallyDrop::new(Runner::new(&kit, program.machine, options.loud));
    if let Some(n) = options.fail_allocation {
        kit.fail_allocation(n);
    }
    if let Some(n) = options.fail_io {
        kit.fail_io(n);
    }
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
            let short = runner.short;
            drop(ManuallyDrop::into_inner(runner));
            let counts = kit.disk().counts();
            let stats = kit.vm().stats();
            return Ok(Ran {
                allocations: kit.vm().machine().allocations(),
                requests: counts.reads + counts.writes,
                failures: kit.failures(),
                evicted: stats.evicted,
                swapins: stats.swapins,
                decompressed: stats.decompressed,
                given_up_gone: stats.given_up_gone,
                paged_out: stats.paged_out,
                large: [stats.large_devices, stats.large_splits],
                rows: [stats.large_faults, stats.large_joins],
                short,
            });
        }
        Ok(Err(Wrong(what))) => what,
        Err(panic) => message(&*panic),
    };
    Err(Failure { steps: done, what })
}

/// What a panic says.
pub(crate) fn message(panic: &dyn Any) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => text.to_string(),
        _ => "a panic".into(),
    }
}

impl Failure {
    /// The first words of the complaint: by them one is known again.
    pub fn kind(&self) -> String {
        let letters = self.what.chars().filter(|c| !c.is_ascii_digit());
        letters.take(24).collect()
    }
}
