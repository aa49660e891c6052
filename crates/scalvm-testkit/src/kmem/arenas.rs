//! Ranges of arenas: allocated, freed, and compared with the model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use scalvm::{Arena, ArenaError, ArenaSource, Constraints, Fit, Vm};

use super::arena::{Model, Run, last, within};
use super::worker::Worker;
use super::world::{World, lock};
use crate::kit::Hw;
use crate::run::{Check, wrong};

/// A range that is in use.
pub struct Interval {
    arena: usize,
    run: Run,
}

/// A source that knows what it has given, and that nothing of it is in use when it comes back.
pub struct Ledger<'k> {
    inner: Arena<'k, Hw>,
    given: Mutex<BTreeMap<u64, u64>>,
    model: Arc<Mutex<Model>>,
    wrong: Mutex<Option<String>>,
}

impl<'k> Ledger<'k> {
    /// A source with so many quanta of an arena that is new.
    pub fn new(vm: &'k Vm<Hw>, quantum: u64, start: u64, quanta: u64) -> Ledger<'k> {
        let ledger = Ledger {
            inner: Arena::new(vm, "testkit source", quantum),
            given: Mutex::default(),
            model: Arc::new(Mutex::new(Model {
                quantum,
                ..Model::default()
            })),
            wrong: Mutex::default(),
        };
        ledger
            .inner
            .add_span(start, quantum * quanta)
            .expect("memory, in the beginning");
        ledger
    }

    fn given(&self) -> Vec<Run> {
        lock(&self.given).iter().map(|(a, b)| (*a, *b)).collect()
    }
}

impl ArenaSource for Ledger<'_> {
    fn take(&self, size: u64) -> Result<u64, ArenaError> {
        let start = self.inner.alloc(size, Fit::Instant)?;
        lock(&self.given).insert(start, size);
        Ok(start)
    }

    fn give(&self, start: u64, size: u64) {
        let known = lock(&self.given).remove(&start);
        let used = lock(&self.model).meets((start, size));
        if known != Some(size) || used.is_some() {
            let text = format!(
                "{start:#x}, {size:#x} came back to the source: it had given {known:?}, in use is {used:?}"
            );
            *lock(&self.wrong) = Some(text);
            return;
        }
        if let Err(error) = self.inner.free(start, size) {
            *lock(&self.wrong) = Some(format!("the source refused {start:#x}: {error:?}"));
        }
    }
}

/// An arena, twice.
pub struct Pair<'k> {
    real: Arena<'k, Hw>,
    model: Arc<Mutex<Model>>,
    ledger: Option<&'k Ledger<'k>>,
    /// Whether some ranges are kept at hand.
    cached: bool,
    /// Spans begin at multiples of this.
    base: u64,
}

/// All arenas of a program.
pub struct Arenas<'k>(Vec<Pair<'k>>);

/// Quanta of the ledgers' arenas.
pub const LEDGERS: [u64; 2] = [16, 4096];

impl<'k> Arenas<'k> {
    /// Empty ones of all kinds; two import from these.
    pub fn new(vm: &'k Vm<Hw>, ledgers: &'k [Ledger<'k>; 2]) -> Arenas<'k> {
        let pair = |real, quantum, ledger: Option<&'k Ledger<'k>>, cached, base| Pair {
            real,
            model: match ledger {
                Some(ledger) => ledger.model.clone(),
                None => Arc::new(Mutex::new(Model {
                    quantum,
                    ..Model::default()
                })),
            },
            ledger,
            cached,
            base,
        };
        let importing = |n: usize, batch| {
            Arena::new(vm, "testkit importing", LEDGERS[n]).importing(&ledgers[n], batch)
        };
        let far = 0u64.wrapping_sub(1 << 22);
        Arenas(vec![
            pair(Arena::new(vm, "testkit numbers", 1), 1, None, false, 0),
            pair(
                Arena::new(vm, "testkit cached", 8).caching(6),
                8,
                None,
                true,
                1 << 32,
            ),
            pair(
                Arena::new(vm, "testkit pages", 4096),
                4096,
                None,
                false,
                far,
            ),
            pair(importing(0, 256), 16, Some(&ledgers[0]), false, 0),
            pair(
                importing(1, 1 << 16).caching(4),
                4096,
                Some(&ledgers[1]),
                true,
                0,
            ),
        ])
    }

    fn get(&self, arg: u32) -> (usize, &Pair<'k>) {
        let n = arg as usize % self.0.len();
        (n, &self.0[n])
    }

    /// Compares what arenas tell with the model. Nothing else runs.
    pub fn compare(&self, world: &World<'_>) -> Check {
        for pair in &self.0 {
            let stats = pair.real.stats();
            let model = lock(&pair.model);
            let spans = pair.spans(&model);
            let total: u64 = spans.iter().map(|span| span.1).sum();
            if (stats.in_use, stats.total) != (model.in_use(), total) {
                return wrong(format!(
                    "arena {}: {} of {} in use, must be {} of {total}",
                    stats.name,
                    stats.in_use,
                    stats.total,
                    model.in_use()
                ));
            }
            for (&start, &size) in &model.used {
                if !spans.iter().any(|span| within((start, size), *span)) {
                    return wrong(format!("{start:#x} of {} is in no span", stats.name));
                }
            }
            if !pair.cached && stats.cached != 0 {
                return wrong(format!("arena {} caches {}", stats.name, stats.cached));
            }
            let gaps = model.gaps(&spans);
            let largest = gaps.iter().map(|gap| gap.1).max().unwrap_or(0);
            if stats.cached == 0 && stats.largest_free != largest {
                return wrong(format!(
                    "arena {}: the largest free range is {}, must be {largest}",
                    stats.name, stats.largest_free
                ));
            }
            let text = pair.ledger.and_then(|ledger| lock(&ledger.wrong).take());
            if let Some(text) = text {
                return wrong(text);
            }
            let _ = world;
        }
        Ok(())
    }

    /// Gives back what is cached and not in use. Then nothing of a source may be left.
    pub fn finish(&self) -> Check {
        for pair in &self.0 {
            pair.real.reclaim();
            let left = pair.ledger.map_or(0, |ledger| lock(&ledger.given).len());
            if left != 0 || pair.real.stats().cached != 0 {
                return wrong(format!(
                    "{left} spans are left imported, {:?}",
                    pair.real.stats()
                ));
            }
        }
        Ok(())
    }
}

impl Pair<'_> {
    /// All spans at present.
    fn spans(&self, model: &Model) -> Vec<Run> {
        let given = self.ledger.map(Ledger::given).unwrap_or_default();
        model.spans.iter().copied().chain(given).collect()
    }
}

/// The fit that a number means.
fn fit_of(arg: u32) -> Fit {
    [Fit::Instant, Fit::Best, Fit::Next][arg as usize % 3]
}

/// The size that a number means, in quanta and parts of one.
fn size_of(arg: u32, quantum: u64) -> u64 {
    let n = u64::from(arg);
    let quanta = match arg % 8 {
        0..5 => n / 8 % 9,
        5 => n / 8 % 40,
        6 => 1 << (n / 8 % 9),
        _ => return if n % 64 == 63 { 0 } else { u64::MAX - n },
    };
    (1 + quanta) * quantum - n % 3 % quantum
}

/// The constraints that some numbers mean.
fn constraints_of(kind: u32, a: u32, b: u32, pair: &Pair<'_>) -> Constraints {
    let quantum = pair.model.lock().map_or(1, |model| model.quantum);
    let unit = |n: u32| quantum << (n % 7);
    let mut c = Constraints::NONE;
    if kind & 1 == 0 {
        c.align = unit(a);
        c.phase = quantum * u64::from(b % 5) % c.align;
    }
    if (kind / 2).is_multiple_of(3) {
        c.nocross = unit(a / 7).max(unit(b));
    }
    if (kind / 6).is_multiple_of(3) {
        c.min = pair.base + quantum * u64::from(b % 90);
        c.max = c.min.saturating_add(quantum * u64::from(a % 120));
    }
    if kind.is_multiple_of(29) {
        // Some that make no sense.
        match a % 4 {
            0 => c.align = 3 * quantum,
            1 => c.phase = c.align,
            2 => c.nocross = quantum / 2,
            _ => (c.min, c.max) = (9, 8),
        }
    }
    c
}

impl Worker<'_, '_> {
    /// Arena, size, fit.
    pub fn range(&mut self, [_, arena, size, fit, _, _]: [u32; 6]) -> Check {
        self.take_range(arena, size, fit, None)
    }

    /// Arena, size, kind of constraints and how much they constrain.
    pub fn range_within(&mut self, [_, arena, size, kind, a, b]: [u32; 6]) -> Check {
        let c = constraints_of(kind, a, b, self.world.arenas.get(arena).1);
        self.take_range(arena, size, kind, Some(c))
    }

    fn take_range(&mut self, arena: u32, size: u32, fit: u32, c: Option<Constraints>) -> Check {
        let world = self.world;
        let (number, pair) = world.arenas.get(arena);
        let fit = fit_of(fit);
        let (asked, rounded) = {
            let model = lock(&pair.model);
            let asked = size_of(size, model.quantum);
            (asked, model.round(asked))
        };
        let constraints = c.unwrap_or(Constraints::NONE);
        loop {
            // Where there is room, as far as that can be told.
            let (choices, sense) = {
                let model = lock(&pair.model);
                let gaps = model.gaps(&pair.spans(&model));
                let sense = rounded.is_some_and(|size| model.accepts(&constraints, size));
                let choices = match rounded {
                    Some(size) if sense => model.choices(&gaps, size, &constraints, fit),
                    _ => Vec::new(),
                };
                (choices, sense)
            };
            let before = world.kit.failures()[0];
            let got = match &c {
                Some(c) => pair.real.alloc_within(asked, c, fit),
                None => pair.real.alloc(asked, fit),
            };
            world.say(|| format!("arena {number}, {asked:#x} {constraints:?} {fit:?}: {got:x?}"));
            if got == Err(ArenaError::OutOfMemory) {
                let again = world.kit.failures()[0] != before;
                world.excuse(before, 0)?;
                if again && world.is_alone() {
                    continue;
                }
                return Ok(());
            }
            let Some(size) = rounded else {
                return self.refusal(got, ArenaError::BadSize);
            };
            if !sense {
                return self.refusal(got, ArenaError::BadConstraints);
            }
            match got {
                Ok(start) => {
                    let run = (start, size);
                    let mut model = lock(&pair.model);
                    let spans = pair.spans(&model);
                    let inside = spans.iter().any(|span| within(run, *span));
                    if !inside || !model.obeys(run, &constraints) {
                        return wrong(format!("{run:x?} of {spans:x?}, with {constraints:x?}"));
                    }
                    let exact = world.is_alone() && pair.ledger.is_none() && !pair.cached;
                    if exact && !choices.contains(&start) {
                        return wrong(format!("{fit:?} chose {run:x?}, must be of {choices:x?}"));
                    }
                    if !model.take(run) {
                        return wrong(format!("{run:x?} is in use"));
                    }
                    if fit == Fit::Next {
                        model.last = Some(last(run));
                    }
                    drop(model);
                    if pair.real.size_at(start) != Some(size) {
                        return wrong(format!("the size at {start:#x} is not {size}"));
                    }
                    let arena = number;
                    self.goods.ranges.push(Interval { arena, run });
                    return Ok(());
                }
                Err(ArenaError::Full) if !world.is_alone() => return Ok(()),
                Err(ArenaError::Full) => {
                    let room = pair.ledger.is_some_and(|ledger| {
                        // What is imported has room wherever it lies.
                        let slack = constraints.align - 1;
                        let across = if constraints.nocross == 0 {
                            0
                        } else {
                            size + slack
                        };
                        let anywhere = (constraints.min, constraints.max) == (0, u64::MAX);
                        let most = size.checked_add(slack + across);
                        let exists = lock(&pair.model)
                            .place((0, 1 << 62), size, &constraints, 0)
                            .is_some();
                        anywhere
                            && exists
                            && most.is_some_and(|most| ledger.inner.stats().largest_free > most * 2)
                    });
                    return match choices.is_empty() && !room {
                        true => Ok(()),
                        false => wrong(format!(
                            "full, but {size:#x} {constraints:x?} may be at {choices:x?}"
                        )),
                    };
                }
                Err(error) => return wrong(format!("{asked:#x} of arena {number}: {error:?}")),
            }
        }
    }

    fn refusal<T: std::fmt::Debug>(&self, is: Result<T, ArenaError>, must: ArenaError) -> Check {
        match is {
            Err(error) if error == must => Ok(()),
            is => wrong(format!("is {is:?}, must be {must:?}")),
        }
    }

    /// Which range.
    pub fn free_range(&mut self, [_, which, _, _, _, _]: [u32; 6]) -> Check {
        let ranges = &mut self.goods.ranges;
        if ranges.is_empty() {
            return Ok(());
        }
        let range = ranges.swap_remove(which as usize % ranges.len());
        self.let_range_go(range)
    }

    /// Frees a range.
    pub fn let_range_go(&mut self, range: Interval) -> Check {
        let pair = &self.world.arenas.0[range.arena];
        let (start, size) = range.run;
        if lock(&pair.model).used.remove(&start) != Some(size) {
            return wrong(format!("the model does not know {start:#x}"));
        }
        let freed = pair.real.free(start, size);
        self.world
            .say(|| format!("arena {}, free {:x?}: {freed:?}", range.arena, range.run));
        freed.or_else(|error| wrong(format!("free {:x?}: {error:?}", range.run)))
    }

    /// Which range, and in which way its freeing is wrong.
    pub fn free_wrongly(&mut self, [_, which, how, arena, at, _]: [u32; 6]) -> Check {
        let ranges = &self.goods.ranges;
        if ranges.is_empty() || how % 5 == 4 && self.world.is_alone() {
            let (_, pair) = self.world.arenas.get(arena);
            let start = pair.base + u64::from(at);
            let known = lock(&pair.model).used.contains_key(&start);
            return match known || !self.world.is_alone() {
                true => Ok(()),
                false => self.refusal(pair.real.free(start, 1), ArenaError::BadRange),
            };
        }
        let Interval { arena, run } = ranges[which as usize % ranges.len()];
        let pair = &self.world.arenas.0[arena];
        let quantum = lock(&pair.model).quantum;
        let (start, size) = match how % 4 {
            0 => (run.0, run.1 + quantum),
            1 if run.1 > quantum => (run.0 + quantum, run.1 - quantum),
            2 if run.1 > quantum => (run.0, run.1 - quantum),
            _ => (run.0, 0),
        };
        let refused = pair.real.free(start, size);
        self.world
            .say(|| format!("arena {arena}, free {start:#x} {size:#x}: {refused:?}"));
        self.refusal(refused, ArenaError::BadRange)?;
        match pair.real.size_at(run.0) == Some(run.1) {
            true => Ok(()),
            false => wrong(format!("{run:x?} went by a wrong free")),
        }
    }

    /// Arena, where, how much. Spans come while nothing else happens.
    pub fn span(&mut self, [_, arena, at, size, _, _]: [u32; 6]) -> Check {
        let world = self.world;
        let (number, pair) = world.arenas.get(arena);
        let quantum = lock(&pair.model).quantum;
        let part = u64::from(at % 17 == 16);
        let start = (pair.base + quantum * u64::from(at % 400)).saturating_add(part);
        let size = quantum * u64::from(size % 160);
        if pair.ledger.is_some() {
            return Ok(());
        }
        let before = world.kit.failures()[0];
        let added = pair.real.add_span(start, size);
        world.say(|| format!("arena {number}, span {start:#x} {size:#x}: {added:?}"));
        let mut model = lock(&pair.model);
        match (added, model.takes_span((start, size))) {
            (Ok(()), true) => {
                model.spans.push((start, size));
                Ok(())
            }
            (Err(ArenaError::BadRange), false) => Ok(()),
            (Err(ArenaError::OutOfMemory), _) => {
                drop(model);
                world.excuse(before, 0)
            }
            (other, good) => wrong(format!(
                "span {start:#x}, {size:#x}: {other:?}, good: {good}"
            )),
        }
    }

    /// Which arena.
    pub fn reclaim_arena(&mut self, [_, arena, _, _, _, _]: [u32; 6]) -> Check {
        let (_, pair) = self.world.arenas.get(arena);
        pair.real.reclaim();
        if !self.world.is_alone() {
            return Ok(());
        }
        let stats = pair.real.stats();
        let idle = pair.ledger.is_some_and(|ledger| {
            let given = ledger.given();
            let model = lock(&pair.model);
            given.iter().any(|span| model.meets(*span).is_none())
        });
        match stats.cached != 0 || idle {
            true => wrong(format!("reclaimed, but {stats:?}; a span is idle: {idle}")),
            false => Ok(()),
        }
    }
}
