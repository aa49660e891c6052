//! Runs a program.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use scalvm::Leaks;
use scalvm_machine::Threads;

use super::accounts::{STATIC, TYPES};
use super::arenas::{Arenas, LEDGERS, Ledger};
use super::leftover::Before;
use super::objects::Caches;
use super::program::Program;
use super::wired::{Kernel, kernel_map, part};
use super::worker::{Worker, is_apart};
use super::world::{World, lock};
use crate::kit::{CPUS, Kit, Order};
use crate::run::{Check, Failure, Wrong, message};

/// How a program is run.
#[derive(Clone, Copy, Default)]
pub struct Options {
    /// Tell each step on standard error.
    pub loud: bool,
    /// Which allocation fails, counted from one.
    pub fail_allocation: Option<u64>,
}

/// What a program did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Allocations of frames and structures that it asked for.
    pub allocations: u64,
    /// How many of them were made to fail.
    pub failures: u64,
    /// How often memory was so short that an operation could not be done.
    pub short: u64,
}

/// Lets threads act together, each on a processor of its own as far as there are so many, and returns when
/// all are done.
pub type Together<'a> = &'a dyn Fn(&Kit, &[&(dyn Fn() + Sync)]);

/// Runs a program, with threads of the host if it has several.
///
/// What a failed program leaves is not tidied up: its structures are wrong.
pub fn run(program: &Program, options: Options) -> Result<Ran, Failure> {
    let runtime = || Box::new(Threads::new()) as Box<dyn scalvm_machine::Runtime>;
    let kit = Kit::with(Order {
        frames: u64::from(program.shape.frames[0]),
        spare: u64::from(program.shape.frames[1]),
        kernel: true,
        runtime: (program.shape.threads > 1).then(runtime),
        ..Order::default()
    });
    let kit = ManuallyDrop::new(kit);
    let result = run_with(&kit, program, options, &|kit, acts| {
        std::thread::scope(|scope| {
            for (cpu, act) in acts.iter().enumerate() {
                scope.spawn(move || kit.on(cpu % CPUS, act));
            }
        });
    });
    if result.is_ok() {
        drop(ManuallyDrop::into_inner(kit));
    }
    result
}

/// Runs a program on a kit that nobody else uses.
pub fn run_with(
    kit: &Kit,
    program: &Program,
    options: Options,
    together: Together<'_>,
) -> Result<Ran, Failure> {
    let before = Before::new(kit, options.fail_allocation.is_none());
    let ledgers = LEDGERS.map(|quantum| Ledger::new(kit.vm(), quantum, 1 << 20, 300));
    let ledgers = ManuallyDrop::new(ledgers);
    let map = ManuallyDrop::new(kernel_map(kit.vm()));
    let part = ManuallyDrop::new(part(&map));
    let caches = ManuallyDrop::new(Caches::new(kit.vm()));
    let all = (
        Arenas::new(kit.vm(), &ledgers),
        &*caches,
        Kernel::new(&map, &part),
    );
    let world = ManuallyDrop::new(World::new(kit, all, program.shape, options.loud));
    let workers = (0..program.shape.threads as usize).map(|n| Mutex::new(Worker::new(&world, n)));
    let workers = ManuallyDrop::new(workers.collect::<Vec<_>>());
    if let Some(n) = options.fail_allocation {
        kit.fail_allocation(n);
    }
    let mut done = 0;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for chunk in program.steps.chunks(program.shape.pace as usize) {
            kit.limit(50_000_000);
            if world.is_alone() {
                let mut worker = lock(&workers[0]);
                for step in chunk {
                    worker.step(step)?;
                    done += 1;
                }
            } else {
                meet(&world, &workers, chunk, together)?;
                done += chunk.len();
            }
            compare(&world, &workers)?;
        }
        finish(&world, &workers)
    }));
    let what = match outcome {
        Ok(Ok(())) => {
            let ran = Ran {
                allocations: kit.vm().machine().allocations(),
                failures: kit.failures()[0],
                short: world.short.load(Relaxed),
            };
            drop(ManuallyDrop::into_inner(workers));
            drop(ManuallyDrop::into_inner(world));
            drop(ManuallyDrop::into_inner(caches));
            drop(ManuallyDrop::into_inner(ledgers));
            drop(ManuallyDrop::into_inner(part));
            drop(ManuallyDrop::into_inner(map));
            kit.vm().check_invariants();
            return match before.compare(kit) {
                Ok(()) => Ok(ran),
                Err(Wrong(what)) => Err(Failure { steps: done, what }),
            };
        }
        Ok(Err(Wrong(what))) => what,
        Err(panic) => message(&*panic),
    };
    Err(Failure { steps: done, what })
}

type Workers<'w, 'k> = [Mutex<Worker<'w, 'k>>];

/// All threads carry out their parts of some steps.
fn meet(
    world: &World<'_>,
    workers: &Workers<'_, '_>,
    steps: &[crate::program::Step<super::Op>],
    together: Together<'_>,
) -> Check {
    let whose = |step: &crate::program::Step<super::Op>| step.args[0] as usize % workers.len();
    for step in steps.iter().filter(|step| is_apart(step.op)) {
        lock(&workers[whose(step)]).step(step)?;
    }
    let wrong: Mutex<Option<Wrong>> = Mutex::new(None);
    let act = |n: usize| {
        let mut worker = lock(&workers[n]);
        for step in steps.iter().filter(|step| !is_apart(step.op)) {
            if whose(step) != n || lock(&wrong).is_some() {
                continue;
            }
            if let Err(error) = worker.step(step) {
                *lock(&wrong) = Some(error);
            }
        }
    };
    let acts: Vec<_> = (0..workers.len()).map(|n| move || act(n)).collect();
    let acts: Vec<&(dyn Fn() + Sync)> = acts.iter().map(|act| act as _).collect();
    together(world.kit, &acts);
    match wrong.into_inner() {
        Ok(Some(error)) => Err(error),
        _ => Ok(()),
    }
}

fn compare(world: &World<'_>, workers: &Workers<'_, '_>) -> Check {
    let workers: Vec<_> = workers.iter().map(lock).collect();
    let workers: Vec<_> = workers.iter().map(|worker| &**worker).collect();
    world.compare(&workers)
}

/// Frees everything, and compares.
fn finish(world: &World<'_>, workers: &Workers<'_, '_>) -> Check {
    world.fail_nothing();
    for (n, worker) in workers.iter().enumerate() {
        world.kit.on(n % CPUS, || lock(worker).finish())?;
    }
    for ty in STATIC..TYPES.len() {
        let is_attached = world.accounts.with(ty, |account| account.attached);
        if is_attached {
            lock(&workers[0]).detach_type(ty, Leaks::Refuse)?;
        }
    }
    world.arenas.finish()?;
    compare(world, workers)
}
