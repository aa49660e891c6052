//! Arenas under several threads.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::vec::Vec;

use super::*;

#[test]
fn threads_never_get_the_same_numbers() {
    let vm = manager(300);
    let parent = Arena::new(&vm, "parent", 1);
    parent.add_span(1, 500).unwrap();
    let child = Arena::new(&vm, "child", 1)
        .importing(&parent, 20)
        .caching(3);
    let held: Vec<_> = (0..501).map(|_| AtomicU64::new(0)).collect();
    thread::scope(|scope| {
        for seed in 1..5u64 {
            let (child, held) = (&child, &held);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut mine: Vec<(u64, u64)> = Vec::new();
                for _ in 0..8000 {
                    if random.below(2) == 0 && !mine.is_empty() {
                        let (at, size) = mine.swap_remove(random.below(mine.len()));
                        for n in at..at + size {
                            assert_eq!(held[n as usize].swap(0, SeqCst), seed);
                        }
                        assert_eq!(child.free(at, size), Ok(()));
                    } else {
                        let size = 1 + random.below(5) as u64;
                        let Ok(at) = child.alloc(size, FITS[random.below(3)]) else {
                            continue;
                        };
                        for n in at..at + size {
                            assert_eq!(held[n as usize].swap(seed, SeqCst), 0, "{n} twice");
                        }
                        mine.push((at, size));
                    }
                }
                for (at, size) in mine {
                    for n in at..at + size {
                        held[n as usize].store(0, SeqCst);
                    }
                    child.free(at, size).unwrap();
                }
            });
        }
    });
    vm.check_invariants();
    assert_eq!(child.stats().in_use, 0);
    assert!(child.stats().cache_hits > 1000);
    child.reclaim();
    assert_eq!(parent.stats().in_use, 0);
    vm.check_invariants();
}

#[test]
fn who_waits_gets_what_is_freed() {
    let vm = manager(100);
    let parent = Arena::new(&vm, "parent", 1);
    parent.add_span(0, 4).unwrap();
    let child = Arena::new(&vm, "child", 1).importing(&parent, 1).caching(1);
    assert_eq!(
        child.alloc_wait(0, &Constraints::NONE, Fit::Best),
        Err(ArenaError::BadSize)
    );
    assert_eq!(
        parent.alloc_wait(5, &Constraints::NONE, Fit::Best),
        Err(ArenaError::Full),
        "that would be for ever"
    );
    let out = Mutex::new(BTreeSet::new());
    thread::scope(|scope| {
        for n in 0..8 {
            let (parent, child, out) = (&parent, &child, &out);
            // Half of them wait at the source, half at who imports from it.
            let arena = if n % 2 == 0 { parent } else { child };
            scope.spawn(move || {
                for _ in 0..300 {
                    let at = arena
                        .alloc_wait(1, &Constraints::NONE, Fit::Instant)
                        .unwrap();
                    assert!(out.lock().unwrap().insert(at), "{at} twice");
                    thread::yield_now();
                    out.lock().unwrap().remove(&at);
                    arena.free(at, 1).unwrap();
                    arena.reclaim();
                }
            });
        }
    });
    assert_eq!(child.stats().in_use, 0);
    child.reclaim();
    assert_eq!(parent.stats().in_use, 0);
    vm.check_invariants();
}

#[test]
fn a_static_arena_needs_no_making() {
    static IDS: Mutex<()> = Mutex::new(());
    let _one = IDS.lock().unwrap();
    let vm: &'static Vm<TestMachine> = std::boxed::Box::leak(std::boxed::Box::new(manager(60)));
    // As it would stand in a static, where the manager does too.
    const fn ids(vm: &'static Vm<TestMachine>) -> Arena<'static, TestMachine> {
        Arena::new(vm, "id", 1).caching(1)
    }
    let ids = ids(vm);
    ids.add_span(1, 10).unwrap();
    let id = ids.alloc(1, Fit::Instant).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| ids.free(id, 1).unwrap());
    });
    assert_eq!(ids.stats().in_use, 0);
}
