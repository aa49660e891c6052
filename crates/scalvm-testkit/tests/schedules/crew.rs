//! Who carries a scene out: threads under shuttle's control, or the host's.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};

use scalvm_machine::{Runtime, Tables, Threads};
use scalvm_testkit::program::mix;
use scalvm_testkit::{CPUS, Kit, Order};
use shuttle::rand::RngCore;

/// A thread's part.
pub type Act<'a> = &'a (dyn Fn() + Sync);

/// Makes kits, and lets threads act together.
pub trait Crew {
    /// A kit for these threads.
    fn kit(&self) -> Kit;
    /// The same with a kernel half in all address spaces, and memory that can be added.
    fn kernel_kit(&self) -> Kit;
    /// The same with narrow tables, whose large leaves map eight pages.
    fn narrow_kit(&self) -> Kit;
    /// A number that is different in every round.
    fn seed(&self) -> u64;
    /// Carries out all acts at the same time, each on a processor of its own as far as there are so many; and what the disk is asked for, in
    /// a thread of its own. Returns when all are done.
    fn together(&self, kit: &Kit, acts: &[Act<'_>]);
}

fn order(runtime: Box<dyn Runtime>) -> Order {
    Order {
        frames: 512,
        slow_disk: true,
        evict_one_in: 7,
        seed: 1,
        runtime: Some(runtime),
        ..Order::default()
    }
}

fn kernel_order(runtime: Box<dyn Runtime>) -> Order {
    Order {
        kernel: true,
        spare: 64,
        ..order(runtime)
    }
}

fn narrow_order(runtime: Box<dyn Runtime>) -> Order {
    Order {
        tables: Tables::Narrow,
        ..order(runtime)
    }
}

fn rounds() -> usize {
    std::env::var("SCALVM_SCHEDULES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(150)
}

/// Threads under shuttle's control.
pub struct Scheduled;

impl Scheduled {
    /// Runs a scene under many schedules: some chosen at random, some by the theory that few preemptions at
    /// the right places show most mistakes. Of the latter there are `times` as many as usual.
    pub fn explore(scene: fn(&dyn Crew), times: usize) {
        let mut config = shuttle::Config::new();
        config.stack_size = 1 << 20;
        config.max_steps = shuttle::MaxSteps::FailAfter(200_000);
        config
            .ungraceful_shutdown_config
            .immediately_return_on_panic = true;
        let run = |scheduler: Box<dyn shuttle::scheduler::Scheduler + Send>| {
            shuttle::Runner::new(scheduler, config.clone()).run(move || scene(&Scheduled))
        };
        let rounds = rounds();
        let random = shuttle::scheduler::RandomScheduler::new(rounds.div_ceil(2));
        let few = shuttle::scheduler::PctScheduler::new(3, (rounds / 2 + 1) * times);
        let done = run(Box::new(random)) + run(Box::new(few));
        println!("{done} schedules");
    }
}

impl Crew for Scheduled {
    fn kit(&self) -> Kit {
        Kit::with(order(Box::new(Tasks::default())))
    }

    fn kernel_kit(&self) -> Kit {
        Kit::with(kernel_order(Box::new(Tasks::default())))
    }

    fn narrow_kit(&self) -> Kit {
        Kit::with(narrow_order(Box::new(Tasks::default())))
    }

    fn seed(&self) -> u64 {
        // Shuttle's own, so that it belongs to the schedule.
        shuttle::rand::thread_rng().next_u64()
    }

    fn together(&self, kit: &Kit, acts: &[Act<'_>]) {
        let left = shuttle::sync::atomic::AtomicUsize::new(acts.len());
        shuttle::thread::scope(|scope| {
            for (cpu, act) in acts.iter().enumerate() {
                let left = &left;
                scope.spawn(move || {
                    kit.on(cpu % CPUS, act);
                    left.fetch_sub(1, SeqCst);
                });
            }
            while left.load(SeqCst) != 0 {
                if !kit.pump_one() {
                    shuttle::thread::yield_now();
                }
            }
        });
        kit.pump(u32::MAX);
    }
}

/// Shuttle's tasks as the machine's threads.
#[derive(Default)]
struct Tasks {
    /// Touched where another task may go on.
    point: shuttle::sync::atomic::AtomicUsize,
    sleepers: shuttle::sync::Mutex<()>,
    woken: shuttle::sync::Condvar,
}

impl Runtime for Tasks {
    fn thread(&self) -> u64 {
        usize::from(shuttle::current::me()) as u64
    }

    fn switch(&self) {
        self.point.load(SeqCst);
    }

    fn relax(&self) {
        shuttle::thread::yield_now();
    }

    fn wait(&self, word: &AtomicU32, value: u32) {
        let mut guard = self.sleepers.lock().expect("no task panicked");
        while word.load(SeqCst) == value {
            guard = self.woken.wait(guard).expect("no task panicked");
        }
    }

    fn wake(&self, _: &AtomicU32) {
        // With the lock, so that none has looked at the word but does not sleep yet.
        let _guard = self.sleepers.lock().expect("no task panicked");
        self.woken.notify_all();
    }
}

/// The host's threads.
pub struct Hosted;

impl Hosted {
    /// Runs a scene many times.
    pub fn repeat(scene: fn(&dyn Crew)) {
        for _ in 0..rounds() * 3 {
            scene(&Hosted);
        }
    }
}

impl Crew for Hosted {
    fn kit(&self) -> Kit {
        Kit::with(order(Box::new(Threads::new())))
    }

    fn kernel_kit(&self) -> Kit {
        Kit::with(kernel_order(Box::new(Threads::new())))
    }

    fn narrow_kit(&self) -> Kit {
        Kit::with(narrow_order(Box::new(Threads::new())))
    }

    fn seed(&self) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        mix(NEXT.fetch_add(1, SeqCst))
    }

    fn together(&self, kit: &Kit, acts: &[Act<'_>]) {
        let left = Arc::new(AtomicU32::new(acts.len() as u32));
        let begin = std::sync::Barrier::new(acts.len() + 1);
        std::thread::scope(|scope| {
            for (cpu, act) in acts.iter().enumerate() {
                let (left, begin) = (left.clone(), &begin);
                scope.spawn(move || {
                    begin.wait();
                    let done = catch_unwind(AssertUnwindSafe(|| kit.on(cpu % CPUS, act)));
                    left.fetch_sub(1, SeqCst);
                    if let Err(panic) = done {
                        resume_unwind(panic);
                    }
                });
            }
            begin.wait();
            while left.load(SeqCst) != 0 {
                if !kit.pump_one() {
                    std::thread::yield_now();
                }
            }
        });
        kit.pump(u32::MAX);
    }
}
