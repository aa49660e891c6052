//! The threads that the machine runs on: the host's, or those of a checker of schedules.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What the machine asks of the threads it runs on. No lock of the machine is held during a call.
pub trait Runtime: Send + Sync {
    /// Which thread this is, among those that share the host's thread.
    fn thread(&self) -> u64;
    /// A lock is about to be taken, or was let go: a point where another thread may go on.
    fn switch(&self);
    /// Another thread must go on, or this one waits forever.
    fn relax(&self);
    /// Sleeps while `word` holds `value`; may return early.
    fn wait(&self, word: &AtomicU32, value: u32);
    /// Wakes all that wait on `word`.
    fn wake(&self, word: &AtomicU32);
}

/// The host's threads.
pub struct Threads {
    /// How often a word was woken, for all words of the same remainder.
    wakes: Mutex<[u64; BUCKETS]>,
    woken: Condvar,
    patience: Duration,
}

const BUCKETS: usize = 64;

impl Threads {
    /// Threads that sleep for at most a minute.
    pub fn new() -> Threads {
        Threads::with_patience(Duration::from_secs(60))
    }

    /// Threads of which none sleeps for longer than this: then a wakeup was lost, and it panics.
    pub fn with_patience(patience: Duration) -> Threads {
        Threads {
            wakes: Mutex::new([0; BUCKETS]),
            woken: Condvar::new(),
            patience,
        }
    }
}

impl Default for Threads {
    fn default() -> Threads {
        Threads::new()
    }
}

impl Runtime for Threads {
    fn thread(&self) -> u64 {
        0
    }

    fn switch(&self) {}

    fn relax(&self) {
        std::thread::yield_now();
    }

    fn wait(&self, word: &AtomicU32, value: u32) {
        let bucket = bucket(word);
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at with the lock held that `wake` takes: a change before is seen, one after wakes.
        if word.load(SeqCst) != value {
            return;
        }
        let before = wakes[bucket];
        let asleep = |wakes: &mut [u64; BUCKETS]| wakes[bucket] == before;
        let (wakes, timeout) = self
            .woken
            .wait_timeout_while(wakes, self.patience, asleep)
            .unwrap_or_else(PoisonError::into_inner);
        drop(wakes);
        if timeout.timed_out() {
            let now = word.load(SeqCst);
            panic!(
                "a wakeup was lost: slept while a word held {value:#x}, which holds {now:#x} now"
            );
        }
    }

    fn wake(&self, word: &AtomicU32) {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes[bucket(word)] += 1;
        self.woken.notify_all();
    }
}

fn bucket(word: &AtomicU32) -> usize {
    std::ptr::from_ref(word).addr() / size_of::<AtomicU32>() % BUCKETS
}
