//! The owner lock under loom: all orders in which an owner and thieves can meet, and all that weak
//! memory lets them see.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{self, AtomicBool, Ordering::SeqCst};
use loom::thread;

#[path = "../src/sync/owner.rs"]
#[allow(dead_code)]
mod owner;
use owner::OwnerLock;

/// What the lock asks of a machine, as the crate's own trait has it.
trait Machine {
    fn light_fence(&self);
    fn heavy_fence(&self);
    fn relax(&self);
    fn lock_event(&self, event: LockEvent, rank: Rank);
}

#[derive(Clone, Copy)]
enum LockEvent {
    Acquire,
    Release,
}

#[derive(Clone, Copy)]
struct Rank;

/// A machine, with or without its fences.
#[derive(Clone, Copy)]
struct Fences(bool);

impl Machine for Fences {
    fn light_fence(&self) {
        if self.0 {
            atomic::fence(SeqCst);
        }
    }

    fn heavy_fence(&self) {
        self.light_fence();
    }

    fn relax(&self) {
        thread::yield_now();
    }

    fn lock_event(&self, _: LockEvent, _: Rank) {}
}

/// A counter that the lock protects: loom panics where two touch it at once.
struct Shared {
    lock: OwnerLock,
    count: UnsafeCell<u32>,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            lock: OwnerLock {
                busy: AtomicBool::new(false),
                stolen: AtomicBool::new(false),
            },
            count: UnsafeCell::new(0),
        })
    }

    fn add(&self) {
        // SAFETY: the lock is held, which is what loom checks.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    fn owner(&self, machine: &Fences) {
        let _held = match self.lock.try_enter(machine, Rank) {
            Some(held) => held,
            None => self.lock.enter(machine, Rank),
        };
        self.add();
    }

    fn thief(&self, machine: &Fences) {
        let _held = self.lock.steal(machine, Rank);
        self.add();
    }
}

/// An owner that enters so often, and thieves that steal once each.
fn meet(machine: Fences, entries: u32, thieves: u32) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let shared = Shared::new();
        let threads: Vec<_> = (0..thieves)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || shared.thief(&machine))
            })
            .collect();
        for _ in 0..entries {
            shared.owner(&machine);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        shared.owner(&machine);
        // SAFETY: the threads have ended.
        let count = shared.count.with(|count| unsafe { *count });
        assert_eq!(count, entries + thieves + 1);
    });
}

#[test]
fn an_owner_and_a_thief_are_never_inside_together() {
    meet(Fences(true), 2, 1);
}

#[test]
fn neither_are_two_thieves() {
    meet(Fences(true), 0, 2);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_fences_they_are() {
    meet(Fences(false), 2, 1);
}
