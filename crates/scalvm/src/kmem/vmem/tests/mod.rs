//! Tests of arenas, most of them against a plain model.

mod model;
mod threads;

use std::sync::Mutex;
use std::vec::Vec;

use model::{Model, constraints};

use super::*;
use crate::Vm;
use crate::page::State;
use crate::testing::{Random, TestMachine};
use crate::tests::manager;

const FITS: [Fit; 3] = [Fit::Instant, Fit::Best, Fit::Next];

/// Random steps on an arena with these spans, held against the model.
fn compare(vm: &Vm<TestMachine>, quantum: u64, spans: &[(u64, u64)], seed: u64, cached: usize) {
    let arena = Arena::new(vm, "test", quantum).caching(cached);
    let mut model = Model::new(quantum);
    for &(start, size) in spans {
        arena.add_span(start, size).unwrap();
        model.spans.push((start, size));
    }
    let mut random = Random(seed);
    for step in 0..4000 {
        // Full and empty by turns.
        if random.below(100) < if step / 500 % 2 == 0 { 35 } else { 65 } {
            model.free_any(&mut random, &arena);
        } else {
            let fit = FITS[random.below(3)];
            let size = 1 + random.below(12 * quantum as usize) as u64;
            let whole = size.next_multiple_of(quantum);
            let within = match cached {
                0 => constraints(&mut random, quantum, whole, spans[0].0),
                _ => Constraints::NONE,
            };
            let answer = match within {
                Constraints::NONE => arena.alloc(size, fit),
                _ => arena.alloc_within(size, &within, fit),
            };
            // What is cached is neither free nor taken, so only the whole can be compared.
            let fit = if cached == 0 { fit } else { Fit::Instant };
            model.took(answer, size, &within, fit);
        }
        let stats = arena.stats();
        assert_eq!(stats.in_use, model.taken.values().sum::<u64>());
        if step % 16 == 0 {
            vm.check_arenas();
        }
        if cached == 0 {
            let largest = model
                .gaps()
                .iter()
                .map(|(first, last)| last - first + 1)
                .max();
            assert_eq!(stats.largest_free, largest.unwrap_or(0));
        }
    }
    vm.check_invariants();
    drop(arena);
    nothing_is_left(vm);
}

/// All arenas have ended: so have their records.
fn nothing_is_left(vm: &Vm<TestMachine>) {
    let arenas = &vm.arenas;
    let records = (
        arenas.bodies.in_use(),
        arenas.tags.in_use(),
        arenas.magazines.in_use(),
    );
    assert_eq!(records, (0, 0, 0));
    assert_eq!(vm.frames.count(State::Kernel), 0, "frames of hash tables");
    vm.check_invariants();
}

#[test]
fn an_arena_is_its_model() {
    let vm = manager(200);
    let spans: [(u64, &[(u64, u64)]); 5] = [
        (1, &[(0, 300)]),
        (1, &[(500, 100), (100, 77), (200, 50)]),
        // The whole of the upper end.
        (1, &[(u64::MAX - 255, 256), (0, 10)]),
        (4096, &[(0xffff_8000_0000_0000, 4096 * 200)]),
        (4096, &[(u64::MAX - 0xf_ffff, 0x10_0000), (0, 4096 * 40)]),
    ];
    for (n, (quantum, spans)) in spans.into_iter().enumerate() {
        for seed in 1..4 {
            compare(&vm, quantum, spans, seed * 100 + n as u64, 0);
        }
    }
}

#[test]
fn caches_change_nothing_but_the_place() {
    let vm = manager(200);
    for cpu in 0..4 {
        vm.machine().set_cpu(cpu);
        compare(&vm, 16, &[(1024, 16 * 150)], 7 + cpu as u64, 1 + 4 * cpu);
    }
    compare(&vm, 1, &[(u64::MAX - 99, 100)], 3, 4);
}

#[test]
fn a_quantum_need_not_be_a_power_of_two() {
    let vm = manager(60);
    let arena = Arena::new(&vm, "dozens", 12);
    arena.add_span(24, 120).unwrap();
    assert_eq!(arena.alloc(13, Fit::Best), Ok(24));
    assert_eq!(arena.size_at(24), Some(24));
    let within = Constraints::aligned(16);
    assert_eq!(
        arena.alloc_within(12, &within, Fit::Best),
        Err(ArenaError::BadConstraints)
    );
    let within = Constraints::between(61, 100);
    assert_eq!(arena.alloc_within(24, &within, Fit::Best), Ok(72));
}

#[test]
fn what_cannot_be_is_refused() {
    let vm = manager(60);
    let arena = Arena::new(&vm, "test", 16);
    assert_eq!(arena.alloc(1, Fit::Instant), Err(ArenaError::Full));
    assert_eq!(arena.free(16, 16), Err(ArenaError::BadRange));
    arena.add_span(160, 160).unwrap();
    for (start, size) in [
        (8, 32),
        (0, 8),
        (0, 0),
        (u64::MAX - 15, 32),
        (144, 32),
        (304, 16),
        (0, 320),
        (160, 16),
    ] {
        assert_eq!(arena.add_span(start, size), Err(ArenaError::BadRange));
    }
    for size in [0, u64::MAX, u64::MAX - 14] {
        assert_eq!(arena.alloc(size, Fit::Best), Err(ArenaError::BadSize));
    }
    assert_eq!(arena.alloc(u64::MAX - 15, Fit::Best), Err(ArenaError::Full));
    let bad = |change: fn(&mut Constraints)| {
        let mut within = Constraints::NONE;
        change(&mut within);
        let answer = arena.alloc_within(32, &within, Fit::Best);
        assert_eq!(answer, Err(ArenaError::BadConstraints), "{within:?}");
    };
    bad(|within| within.align = 0);
    bad(|within| within.align = 48);
    bad(|within| (within.align, within.phase) = (32, 32));
    bad(|within| (within.align, within.phase) = (32, 8));
    bad(|within| within.nocross = 16);
    bad(|within| within.nocross = 96);
    bad(|within| (within.min, within.max) = (9, 8));
    // All numbers but one may be in spans, and not one more.
    let all = Arena::new(&vm, "all", 1);
    all.add_span(1, u64::MAX).unwrap();
    assert_eq!(all.add_span(0, 1), Err(ArenaError::BadRange));
    assert_eq!(all.alloc(u64::MAX, Fit::Instant), Ok(1));
    assert_eq!(all.free(1, u64::MAX), Ok(()));
    let last = Constraints::between(u64::MAX, u64::MAX);
    assert_eq!(all.alloc_within(1, &last, Fit::Next), Ok(u64::MAX));
    assert_eq!(all.alloc(1, Fit::Next), Ok(1));
    assert_eq!(all.free(u64::MAX, 1), Ok(()));
    vm.check_invariants();
}

#[test]
fn numbers_come_again_as_late_as_possible() {
    let vm = manager(60);
    let ids = Arena::new(&vm, "id", 1);
    ids.add_span(1, 5).unwrap();
    let mut seen = Vec::new();
    for _ in 0..12 {
        let id = ids.alloc(1, Fit::Next).unwrap();
        seen.push(id);
        ids.free(id, 1).unwrap();
    }
    assert_eq!(seen, [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]);
}

/// Hands out ranges of a row, and knows which are out.
struct Row {
    next: Mutex<u64>,
    out: Mutex<Vec<(u64, u64)>>,
    most: u64,
}

impl Row {
    fn new(most: u64) -> Row {
        Row {
            next: Mutex::new(1 << 20),
            out: Mutex::default(),
            most,
        }
    }

    fn out(&self) -> Vec<(u64, u64)> {
        self.out.lock().unwrap().clone()
    }
}

impl Source for Row {
    fn take(&self, size: u64) -> Result<u64, ArenaError> {
        let mut out = self.out.lock().unwrap();
        if out.iter().map(|(_, size)| size).sum::<u64>() + size > self.most {
            return Err(ArenaError::Full);
        }
        let mut next = self.next.lock().unwrap();
        let start = *next;
        *next += size;
        out.push((start, size));
        Ok(start)
    }

    fn give(&self, start: u64, size: u64) {
        let mut out = self.out.lock().unwrap();
        let at = out.iter().position(|range| *range == (start, size));
        out.remove(at.expect("given back as it was taken"));
    }
}

#[test]
fn spans_are_imported_and_go_back_whole() {
    let vm = manager(200);
    let row = Row::new(4096);
    let arena = Arena::new(&vm, "importer", 16).importing(&row, 64);
    let mut model = Model::new(16);
    let mut random = Random(5);
    for step in 0..3000 {
        if random.below(100) < if step / 300 % 2 == 0 { 40 } else { 60 } {
            model.free_any(&mut random, &arena);
        } else {
            let size = 1 + random.below(150) as u64;
            let within = match random.below(2) {
                0 => Constraints::NONE,
                _ => Constraints::aligned(16 << random.below(3)),
            };
            let answer = arena.alloc_within(size, &within, Fit::Best);
            model.spans = row.out();
            match answer {
                // More may be asked of the source than it has, and then there is a place only by luck.
                Err(ArenaError::Full) => {}
                answer => model.took(answer, size, &within, Fit::Instant),
            }
        }
        model.spans = row.out();
        let total: u64 = row.out().iter().map(|(_, size)| size).sum();
        let stats = arena.stats();
        assert_eq!(stats.total, total);
        assert_eq!(stats.spans, row.out().len() as u64);
        assert_eq!(stats.in_use, model.taken.values().sum::<u64>());
        let unused = |span: &&(u64, u64)| {
            let last = span.0 + (span.1 - 1);
            model.taken.range(span.0..=last).next().is_none()
        };
        assert!(row.out().iter().filter(unused).count() <= 1, "one is kept");
        if step % 16 == 0 {
            vm.check_arenas();
        }
    }
    for (at, size) in model.taken {
        arena.free(at, size).unwrap();
    }
    assert_eq!(row.out().len(), 1, "the last span stays");
    let stats = arena.stats();
    assert!(stats.imports > 20 && stats.imports == stats.releases + 1);
    let before = stats.imports;
    for _ in 0..10 {
        let at = arena.alloc(16, Fit::Instant).unwrap();
        arena.free(at, 16).unwrap();
    }
    assert_eq!(arena.stats().imports, before, "and is used again");
    arena.reclaim();
    assert_eq!(row.out(), []);
    let at = arena.alloc(16, Fit::Instant).unwrap();
    assert_eq!(arena.size_at(at), Some(16));
    drop(arena);
    assert_eq!(row.out(), [], "what was imported goes back at the end");
    nothing_is_left(&vm);
}

#[test]
fn arenas_import_from_arenas() {
    let vm = manager(200);
    let parent = Arena::new(&vm, "parent", 4096);
    parent.add_span(0, 10 * 4096).unwrap();
    let child = Arena::new(&vm, "child", 64)
        .importing(&parent, 8192)
        .caching(4);
    let mut taken = Vec::new();
    while let Ok(at) = child.alloc(64 * (1 + taken.len() as u64 % 6), Fit::Instant) {
        taken.push(at);
    }
    assert_eq!(parent.stats().in_use, 10 * 4096);
    vm.check_invariants();
    let mut names = Vec::new();
    vm.each_arena(&mut |stats| names.push((stats.name, stats.total)));
    names.sort_unstable();
    assert_eq!(names, [("child", 40960), ("parent", 40960)]);
    for (n, at) in taken.into_iter().enumerate() {
        child.free(at, 64 * (1 + n as u64 % 6)).unwrap();
    }
    child.reclaim();
    assert_eq!((child.stats().total, parent.stats().in_use), (0, 0));
    assert!(child.stats().cache_hits > 0 || child.stats().allocs > 0);
    vm.check_invariants();
}

/// A source whose ranges are no good.
struct Wrong(Mutex<i64>);

impl Source for Wrong {
    fn take(&self, _size: u64) -> Result<u64, ArenaError> {
        *self.0.lock().unwrap() += 1;
        Ok(8)
    }
    fn give(&self, start: u64, _size: u64) {
        assert_eq!(start, 8);
        *self.0.lock().unwrap() -= 1;
    }
}

#[test]
fn a_source_that_gives_nonsense_gets_it_back() {
    let vm = manager(60);
    let wrong = Wrong(Mutex::new(0));
    let arena = Arena::new(&vm, "test", 16).importing(&wrong, 0);
    assert_eq!(arena.alloc(16, Fit::Best), Err(ArenaError::Full));
    assert_eq!(*wrong.0.lock().unwrap(), 0);
    assert_eq!(arena.stats().fails, 1);
    vm.check_invariants();
}

#[test]
fn a_failed_allocation_anywhere_changes_nothing() {
    let vm = manager(300);
    let row = Row::new(1 << 20);
    let arena = Arena::new(&vm, "test", 16).importing(&row, 256).caching(2);
    let mut model = Model::new(16);
    let mut random = Random(11);
    let mut failed = 0;
    for step in 0..600 {
        let size = 16 * (1 + random.below(6) as u64);
        let fit = FITS[random.below(3)];
        let before = arena.stats();
        for allowed in 0.. {
            let spans = row.out();
            vm.machine().allow(allowed);
            let answer = arena.alloc(size, fit);
            vm.machine().allow_all();
            vm.check_arenas();
            if answer != Err(ArenaError::OutOfMemory) {
                model.spans = row.out();
                model.took(answer, size, &Constraints::NONE, Fit::Instant);
                break;
            }
            failed += 1;
            assert_eq!(row.out(), spans, "nothing was imported");
            assert_eq!(arena.stats().in_use, before.in_use);
        }
        if step % 3 != 0 {
            // Freeing needs no memory.
            vm.machine().allow(0);
            model.free_any(&mut random, &arena);
            vm.machine().allow_all();
            vm.check_arenas();
            model.spans = row.out();
        }
    }
    assert!(failed > 100, "allocations did fail: {failed}");
    assert!(arena.stats().spans > 3);
    vm.machine().allow(0);
    let other = Arena::new(&vm, "other", 1);
    assert_eq!(other.add_span(0, 1), Err(ArenaError::OutOfMemory));
    vm.machine().allow(2);
    assert_eq!(other.add_span(0, 1), Err(ArenaError::OutOfMemory));
    vm.machine().allow_all();
    assert_eq!(other.stats().total, 0);
    assert_eq!(other.add_span(0, 1), Ok(()));
    drop((arena, other));
    nothing_is_left(&vm);
}

#[test]
fn many_segments_are_found_when_the_table_cannot_grow() {
    let vm = manager(400);
    for grows in [true, false] {
        let arena = Arena::new(&vm, "test", 1);
        arena.add_span(0, 1 << 40).unwrap();
        let mut count = 0u64;
        for n in 0..6000 {
            // No more than the tags that are lacking.
            let allowed = if grows { 1000.. } else { 0.. };
            let at = allowed.into_iter().find_map(|allowed| {
                vm.machine().allow(allowed);
                arena.alloc(3, Fit::Instant).ok()
            });
            let at = at.unwrap();
            vm.machine().allow_all();
            assert_eq!(arena.size_at(at), Some(3));
            count += 1;
            if n % 3 == 0 {
                arena.free(at, 3).unwrap();
                count -= 1;
            }
        }
        assert_eq!(arena.stats().in_use, 3 * count);
        assert_eq!(vm.frames.count(State::Kernel) > 0, grows);
        vm.check_arenas();
        drop(arena);
        nothing_is_left(&vm);
    }
}
