//! Time: all allocators in turns, row by row, again and again; the median counts.
//!
//! It is the time that the processors have spent, so that what else runs on the machine does not
//! count; waiting for a lock does, as it spins.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::thread;

use crate::machine::number_thread;
use crate::subject::{NAMES, Subject, subject};
use crate::work::Work;

/// Pieces in a measurement.
const PIECES: u64 = 20_000;

/// Prints a line for each row and allocator: threads, row, allocator, nanoseconds for a piece.
pub fn time(rounds: usize) {
    let subjects: Vec<_> = NAMES.iter().map(|name| (name, subject(name))).collect();
    let work = Work::all();
    for threads in [1, 2] {
        let crew = Crew::new(threads);
        let mut times = vec![Vec::new(); work.len() * subjects.len()];
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| crew.serve());
            }
            for round in 0..=rounds {
                for (row, (_, work)) in work.iter().enumerate() {
                    for (column, (_, subject)) in subjects.iter().enumerate() {
                        let pieces = PIECES.max(work.pieces());
                        let time = crew.measure(&**subject, work, pieces / work.pieces());
                        // The first round brings the memory.
                        if round > 0 {
                            times[row * subjects.len() + column].push(time / pieces as f64);
                        }
                    }
                }
            }
            crew.dismiss();
        });
        for (row, (name, _)) in work.iter().enumerate() {
            for (column, (subject, _)) in subjects.iter().enumerate() {
                let times = &mut times[row * subjects.len() + column];
                times.sort_by(f64::total_cmp);
                let median = times[times.len() / 2];
                println!("{threads}\t{name}\t{subject}\t{median:.2}");
            }
        }
    }
}

/// Threads that do the same work at the same time.
struct Crew {
    threads: usize,
    /// What is to be done; null to end.
    task: spin::Mutex<Option<Task>>,
    /// Counts up when there is a new task.
    begun: AtomicUsize,
    /// How many have seen it.
    ready: AtomicUsize,
    /// Counts up when all are to start.
    started: AtomicUsize,
    done: AtomicUsize,
    /// Nanoseconds that those have spent which are done.
    spent: AtomicU64,
}

/// What each thread is to do. The one who gives it out waits until all have done it.
#[derive(Clone, Copy)]
struct Task {
    subject: *const dyn Subject,
    work: *const Work,
    times: u64,
}

// SAFETY: both are only read, by threads whose end is waited for.
unsafe impl Send for Task {}

impl Task {
    /// Does it; tells how many nanoseconds it took.
    fn run(&self) -> u64 {
        let start = now();
        // SAFETY: both live until all threads are done.
        unsafe { (*self.subject).run(&*self.work, self.times) }
        now() - start
    }
}

impl Crew {
    fn new(threads: usize) -> Crew {
        Crew {
            threads,
            task: spin::Mutex::new(None),
            begun: AtomicUsize::new(0),
            ready: AtomicUsize::new(0),
            started: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            spent: AtomicU64::new(0),
        }
    }

    /// Nanoseconds that a thread spends on the work, on average, while all do it.
    fn measure(&self, subject: &dyn Subject, work: &Work, times: u64) -> f64 {
        // SAFETY: only how long the reference is good is forgotten, see `Task`.
        let subject = unsafe {
            std::mem::transmute::<*const dyn Subject, *const (dyn Subject + 'static)>(subject)
        };
        let task = Task {
            subject,
            work,
            times,
        };
        *self.task.lock() = Some(task);
        self.done.store(0, Release);
        self.begun.fetch_add(1, AcqRel);
        // Who has waited for long is told late; who begins waits for all others.
        while self.ready.load(Acquire) != self.threads - 1 {
            spin_loop();
        }
        self.ready.store(0, Release);
        self.spent.store(0, Release);
        self.started.fetch_add(1, AcqRel);
        let spent = task.run();
        while self.done.load(Acquire) != self.threads - 1 {
            spin_loop();
        }
        (spent + self.spent.load(Acquire)) as f64 / self.threads as f64
    }

    /// Does what is given out until there is nothing more.
    fn serve(&self) {
        number_thread();
        let mut seen = 0;
        loop {
            while self.begun.load(Acquire) == seen {
                spin_loop();
            }
            seen += 1;
            let Some(task) = *self.task.lock() else {
                return;
            };
            self.ready.fetch_add(1, AcqRel);
            while self.started.load(Acquire) != seen {
                spin_loop();
            }
            self.spent.fetch_add(task.run(), AcqRel);
            self.done.fetch_add(1, AcqRel);
        }
    }

    fn dismiss(&self) {
        *self.task.lock() = None;
        self.begun.fetch_add(1, AcqRel);
    }
}

/// Nanoseconds that this thread has spent.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock of each thread; the time is ours.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "a thread's clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
