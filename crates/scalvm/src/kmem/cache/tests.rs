//! Tests of object caches.

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::AtomicI64;
use core::sync::atomic::Ordering::Relaxed;
use std::boxed::Box;
use std::thread;
use std::vec::Vec;

use super::{CacheBox, ObjectCache};
use crate::testing::{Random, TestMachine};
use crate::vm::Vm;
use crate::{FrameLimits, OutOfMemory, PoolStats};

fn setup(frames: u64) -> Vm<TestMachine> {
    let machine = TestMachine::new(frames);
    let (start, end) = (machine.frame(0), machine.frame(frames));
    machine.set_cpu(0);
    let vm = Vm::new(machine);
    // SAFETY: the arena is ours.
    unsafe { vm.add_segment(start, end) }.unwrap();
    vm
}

/// An object that has a buffer as long as it is constructed.
struct Packet {
    uses: u32,
    buffer: Box<[u8; 32]>,
}

/// Objects that are constructed and free.
fn constructed(cache: &ObjectCache<'_, Packet, TestMachine>) -> u64 {
    let stats = cache.stats();
    stats.at_hand - stats.raw
}

/// Generates a module for each test that counts objects, since constructors have no state.
macro_rules! counted {
    ($made:ident, $make:ident, $unmake:ident) => {
        static $made: AtomicI64 = AtomicI64::new(0);

        fn $make(place: &mut MaybeUninit<Packet>) -> Result<(), OutOfMemory> {
            $made.fetch_add(1, Relaxed);
            place.write(Packet {
                uses: 0,
                buffer: Box::new([7; 32]),
            });
            Ok(())
        }

        fn $unmake(packet: &mut Packet) {
            $made.fetch_sub(1, Relaxed);
            assert_eq!(*packet.buffer, [7; 32]);
            // SAFETY: the object is used no more.
            unsafe { core::ptr::drop_in_place(packet) };
        }
    };
}

#[test]
fn objects_stay_constructed_while_they_are_free() {
    counted!(MADE, make, unmake);
    let vm = setup(100);
    let cache = ObjectCache::new(&vm, "packet", make, unmake).unwrap();
    for uses in 0..10 {
        let mut packet = cache.alloc().unwrap();
        assert_eq!((packet.uses, MADE.load(Relaxed)), (uses, 1));
        packet.uses += 1;
    }
    let packets: Vec<_> = (0..500).map(|_| cache.alloc().unwrap()).collect();
    assert_eq!(MADE.load(Relaxed), 500);
    assert_eq!((cache.stats().in_use, cache.stats().name), (500, "packet"));
    vm.check_invariants();
    drop(packets);
    vm.check_invariants();
    assert_eq!(MADE.load(Relaxed) as u64, constructed(&cache));
    assert!(vm.reclaim_kmem() > 0);
    assert_eq!((MADE.load(Relaxed), cache.stats().frames), (0, 0));
    let packet = cache.alloc().unwrap();
    assert_eq!(packet.uses, 0);
    drop(packet);
    drop(cache);
    assert_eq!(MADE.load(Relaxed), 0);
    vm.reclaim_kmem();
    vm.check_invariants();
    assert_eq!(vm.stats().frames_kernel, 0);
}

#[test]
fn what_two_processors_make_in_turn_lies_apart() {
    fn zero(place: &mut MaybeUninit<u64>) -> Result<(), OutOfMemory> {
        place.write(0);
        Ok(())
    }
    let vm = setup(20);
    let cache = ObjectCache::new(&vm, "apart", zero, |_| ()).unwrap();
    let mut lines: [Vec<usize>; 2] = Default::default();
    for turn in 0..16 {
        vm.machine.set_cpu(turn % 2);
        let object = cache.alloc().unwrap();
        lines[turn % 2].push(core::ptr::from_ref(&*object).addr() / 64);
        object.leak();
    }
    assert!(
        lines[0].iter().all(|line| !lines[1].contains(line)),
        "{lines:?}"
    );
    let stats = cache.stats();
    assert_eq!((stats.in_use, stats.at_hand), (16, stats.raw));
    assert!(stats.raw > 0);
    vm.check_invariants();
    cache.reclaim();
    assert_eq!((cache.stats().in_use, cache.stats().at_hand), (16, 0));
    vm.check_invariants();
}

#[test]
fn a_constructor_may_fail_and_a_cache_may_end_with_leaked_objects() {
    fn fail(_: &mut MaybeUninit<[u64; 9]>) -> Result<(), OutOfMemory> {
        Err(OutOfMemory)
    }
    fn zero(place: &mut MaybeUninit<[u64; 9]>) -> Result<(), OutOfMemory> {
        place.write([0; 9]);
        Ok(())
    }
    let vm = setup(50);
    let cache = ObjectCache::new(&vm, "fails", fail, |_| ()).unwrap();
    assert_eq!(cache.alloc().err(), Some(OutOfMemory));
    assert_eq!((cache.stats().in_use, cache.stats().fails), (0, 1));
    drop(cache);
    let find = |name: &str| {
        let mut found: Option<PoolStats> = None;
        vm.each_pool(&mut |stats| {
            if stats.name == name {
                found = Some(*stats);
            }
        });
        found
    };
    let cache = ObjectCache::new(&vm, "leaks", zero, |_| ()).unwrap();
    let kept: NonNull<[u64; 9]> = cache.alloc().unwrap().leak();
    assert_eq!(find("leaks").unwrap().in_use, 1);
    // SAFETY: it has just been leaked.
    drop(unsafe { CacheBox::from_leaked(&cache, kept) });
    assert_eq!(find("leaks").unwrap().in_use, 0);
    cache.alloc().unwrap().leak();
    drop(cache);
    assert_eq!(find("leaks").unwrap().in_use, 1, "it stays");
    assert_eq!(find("fails"), None);
    vm.check_invariants();
}

#[test]
fn a_reserve_holds_when_memory_has_ended() {
    counted!(MADE, make, unmake);
    let vm = setup(40);
    let cache = ObjectCache::new(&vm, "reserve", make, unmake).unwrap();
    assert!(cache.reserve(1 << 20).is_err());
    cache.reserve(100).unwrap();
    while vm.alloc_frames(1, &FrameLimits::NONE).is_ok() {}
    for cpu in 0..3 {
        vm.machine.set_cpu(cpu);
        let packets: Vec<_> = (0..100).map(|_| cache.alloc().unwrap()).collect();
        drop(packets);
        vm.reclaim_kmem();
    }
    vm.check_invariants();
}

#[test]
fn threads_share_caches_and_what_is_reclaimed() {
    counted!(MADE, make, unmake);
    let vm = setup(200);
    let cache = ObjectCache::new(&vm, "shared", make, unmake).unwrap();
    thread::scope(|scope| {
        for seed in 1..6u64 {
            let (vm, cache) = (&vm, &cache);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut held = Vec::new();
                for _ in 0..5_000 {
                    vm.machine.set_cpu(random.below(3));
                    match random.below(200) {
                        0 => drop(vm.reclaim_kmem()),
                        1 => drop(cache.reserve(random.below(50) as u32)),
                        2 => {
                            // One that comes and ends meanwhile.
                            let make = |place: &mut MaybeUninit<u64>| {
                                place.write(1);
                                Ok(())
                            };
                            let other = ObjectCache::new(vm, "other", make, |n| assert_eq!(*n, 1));
                            drop(other.unwrap().alloc());
                        }
                        3..100 if !held.is_empty() => {
                            drop(held.swap_remove(random.below(held.len())));
                        }
                        _ => {
                            let mut packet = cache.alloc().unwrap();
                            packet.uses += 1;
                            held.push(packet);
                        }
                    }
                }
            });
        }
    });
    vm.check_invariants();
    assert_eq!(cache.stats().in_use, 0);
    assert_eq!(MADE.load(Relaxed) as u64, constructed(&cache));
    drop(cache);
    assert_eq!(MADE.load(Relaxed), 0);
    vm.check_invariants();
}
