//! The compressor beside a model, and under several threads.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::Relaxed;
use std::boxed::Box;
use std::collections::{BTreeMap, VecDeque};
use std::thread;

use super::bench::{Bench, Contents, RUNS, any_contents};
use crate::addr::PAGE_SIZE;
use crate::pager::compress::blocks::HEADER;
use crate::pager::compress::class::LARGEST;
use crate::pager::compress::store::repeated;
use crate::pager::compress::{Codec, Put};
use crate::pager::{Backing, Handle};
use crate::testing::Random;

/// What should be stored for an anon.
struct Stored {
    handle: Handle,
    contents: Contents,
}

#[test]
fn pages_are_what_a_model_says() {
    let bench = Bench::new(500, 40, 150);
    let (vm, mut random) = (&bench.vm, Random(17));
    let mut model: BTreeMap<usize, Stored> = BTreeMap::new();
    // The anons of the entries, the oldest first.
    let mut ages: VecDeque<usize> = VecDeque::new();
    let (mut full, mut failed, mut spilled) = (0, 0, 0);
    for step in 0..8000 {
        let anon = random.below(150);
        let backing = Backing::unpack(bench.anons[anon].backing.get());
        match (random.below(9), backing) {
            (0..4, Backing::None) => {
                let contents = any_contents(&mut random);
                let fails = random.below(4) == 0;
                if fails {
                    vm.machine.allow(random.below(2) as i64);
                }
                let put = bench.put(anon, &contents);
                vm.machine.allow_all();
                match put {
                    Put::Stored(handle) => {
                        if repeated(&contents).is_none() {
                            ages.push_back(anon);
                        }
                        model.insert(anon, Stored { handle, contents });
                    }
                    Put::Full if fails => failed += 1,
                    Put::Full => full += 1,
                    Put::Incompressible => {
                        let mut out = [0; 2 * PAGE_SIZE];
                        let scratch = Box::leak(Box::new(Aligned([MaybeUninit::uninit(); 128])));
                        let len = RUNS.compress(&contents, &mut out, &mut scratch.0[..100]);
                        assert!(len.unwrap() + HEADER > LARGEST);
                    }
                }
            }
            (0..4, Backing::Slot(slot)) => {
                vm.swap.free(&vm.machine, slot);
                bench.anons[anon].backing.set(0);
            }
            (4..6, Backing::Compressed(handle)) => {
                let stored = &model[&anon];
                assert_eq!(handle, stored.handle);
                assert!(bench.get(handle, anon).as_ref() == Some(&stored.contents));
                if let Some(at) = ages.iter().position(|other| *other == anon) {
                    ages.remove(at);
                    ages.push_back(anon);
                }
            }
            (6, Backing::Compressed(handle)) => {
                assert!(bench.free(handle, anon));
                bench.anons[anon].backing.set(0);
                model.remove(&anon);
                ages.retain(|other| *other != anon);
            }
            (7, _) => {
                let before = vm.compressor_stats().frames;
                let freed = vm.compressor.compact(vm, random.below(6));
                assert_eq!(before, vm.compressor_stats().frames + freed as u64);
            }
            (8, _) => {
                let spill = vm.compressor.oldest(vm, bench.page);
                let Some(oldest) = ages.pop_front() else {
                    assert!(spill.is_none());
                    continue;
                };
                let spill = spill.unwrap();
                assert!(bench.bytes(bench.page) == model[&oldest].contents);
                let slot = vm.swap.alloc(&vm.machine, 1);
                match (random.below(3), slot) {
                    (1, Some((slot, _))) => {
                        assert!(bench.free(model[&oldest].handle, oldest));
                        bench.anons[oldest].backing.set(0);
                        model.remove(&oldest);
                        assert!(!vm.compressor.spilled(vm, &spill, slot));
                        vm.swap.free(&vm.machine, slot);
                    }
                    (2, Some((slot, _))) => {
                        assert!(vm.compressor.spilled(vm, &spill, slot));
                        model.remove(&oldest);
                        spilled += 1;
                    }
                    (_, slot) => {
                        vm.compressor.keep(vm, &spill);
                        ages.push_back(oldest);
                        if let Some((slot, _)) = slot {
                            vm.swap.free(&vm.machine, slot);
                        }
                    }
                }
            }
            _ => {}
        }
        let stats = vm.compressor_stats();
        assert_eq!(stats.entries, model.len() as u64);
        assert!(stats.frames <= 40);
        if step % 10 == 0 {
            bench.check();
        }
    }
    bench.check();
    assert!(
        full > 10 && failed > 10 && spilled > 10,
        "{full} {failed} {spilled}"
    );
    assert_eq!(vm.compressor_stats().spilled, spilled);
}

#[repr(align(64))]
struct Aligned([MaybeUninit<u8>; 128]);

#[test]
fn threads_get_what_they_put() {
    let bench = Bench::new(600, 150, 200);
    thread::scope(|scope| {
        for seed in 0..4 {
            let bench = &bench;
            scope.spawn(move || churn(bench, seed));
        }
        let bench = &bench;
        scope.spawn(move || {
            let (vm, page) = (&bench.vm, bench.page());
            for n in 0..800 {
                vm.compressor.compact(vm, 3);
                let Some(spill) = vm.compressor.oldest(vm, page) else {
                    continue;
                };
                match vm.swap.alloc(&vm.machine, 1) {
                    Some((slot, _)) if n % 3 == 0 => {
                        if !vm.compressor.spilled(vm, &spill, slot) {
                            vm.swap.free(&vm.machine, slot);
                        }
                    }
                    slot => {
                        vm.compressor.keep(vm, &spill);
                        if let Some((slot, _)) = slot {
                            vm.swap.free(&vm.machine, slot);
                        }
                    }
                }
            }
        });
    });
    bench.check();
    assert_eq!(bench.vm.compressor.entries(), 0);
    assert_eq!(bench.vm.swap.used(), 0);
}

/// One thread's anons: put, got and freed. What the other thread moved to the disk has gone.
fn churn(bench: &Bench, seed: usize) {
    let (vm, page) = (&bench.vm, bench.page());
    let mut random = Random(seed as u64 + 1);
    let mut stored: BTreeMap<usize, Contents> = BTreeMap::new();
    for step in 0..2050 {
        let anon = seed * 50 + step % 50;
        let owner = bench.anons[anon];
        // The last round ends everything.
        let last = step >= 2000;
        match Backing::unpack(owner.backing.get()) {
            Backing::None if !last => {
                let contents = any_contents(&mut random);
                if let Put::Stored(_) = bench.put_from(page, anon, &contents) {
                    stored.insert(anon, contents);
                }
            }
            Backing::Compressed(handle) if !last && random.below(2) == 0 => {
                if vm.compressor.get(vm, handle, owner, page) {
                    assert!(Some(&bench.bytes(page)) == stored.get(&anon));
                }
            }
            Backing::Compressed(handle) if vm.compressor.free(vm, handle, owner) => {
                owner.backing.set(0);
            }
            Backing::None => {}
            Backing::Zeros => panic!("nobody gave it up"),
            Backing::Slot(_) | Backing::Compressed(_) => {
                let Backing::Slot(slot) = Backing::unpack(owner.backing.get()) else {
                    panic!("what is not stored any more has moved");
                };
                vm.swap.free(&vm.machine, slot);
                owner.backing.set(0);
            }
        }
    }
    page.holds().store(0, Relaxed);
}
