//! What an arena must do, in plain collections: the numbers that are taken, and the spans.

use std::collections::BTreeMap;
use std::vec::Vec;

use crate::testing::{Random, TestMachine};
use crate::{Arena, ArenaError, Constraints, Fit};

/// Spans and taken ranges, by their first number.
#[derive(Clone, Default)]
pub struct Model {
    pub quantum: u64,
    /// In the order in which they came.
    pub spans: Vec<(u64, u64)>,
    pub taken: BTreeMap<u64, u64>,
    /// Where the last next fit ended.
    rotor: Option<u64>,
}

/// Whether a range meets constraints, told one by one.
fn meets(at: u64, size: u64, within: &Constraints) -> bool {
    let last = at + (size - 1);
    at % within.align == within.phase
        && at >= within.min
        && last <= within.max
        && (within.nocross == 0 || at / within.nocross == last / within.nocross)
}

impl Model {
    pub fn new(quantum: u64) -> Model {
        Model {
            quantum,
            ..Model::default()
        }
    }

    /// Free ranges, first and last number, in the order of spans.
    pub fn gaps(&self) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        for &(start, size) in &self.spans {
            let end = start + (size - 1);
            let mut at = Some(start);
            for (&first, &size) in self.taken.range(start..=end) {
                let from = at.expect("within the span");
                if from < first {
                    gaps.push((from, first - 1));
                }
                at = (first + (size - 1)).checked_add(1);
            }
            if let Some(at) = at.filter(|&at| at <= end) {
                gaps.push((at, end));
            }
        }
        gaps
    }

    /// All places for a range, one by one: for small arenas.
    fn places(&self, first: u64, last: u64, size: u64, within: &Constraints) -> Option<u64> {
        let mut at = Some(first.next_multiple_of(self.quantum));
        while let Some(here) = at.filter(|&at| at <= last && last - at >= size - 1) {
            if meets(here, size, within) {
                return Some(here);
            }
            at = here.checked_add(self.quantum);
        }
        None
    }

    /// Where the next fit must be.
    pub fn next(&self, size: u64, within: &Constraints) -> Option<u64> {
        let gaps = self.gaps();
        let behind =
            |(first, last): (u64, u64), from: u64| self.places(first.max(from), last, size, within);
        let Some(rotor) = self.rotor else {
            return gaps.into_iter().find_map(|gap| behind(gap, 0));
        };
        // Spans stand in the order in which they came, not in that of numbers.
        let span_of = |number: u64| {
            let holds = |&(start, size): &(u64, u64)| number >= start && number - start < size;
            self.spans.iter().position(holds)
        };
        let here = span_of(rotor);
        let is_behind = |&(first, last): &(u64, u64)| match span_of(first).cmp(&here) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => last > rotor,
            std::cmp::Ordering::Greater => true,
        };
        let later = gaps.iter().filter(|gap| is_behind(gap));
        let from = |gap: &(u64, u64)| if span_of(gap.0) == here { rotor + 1 } else { 0 };
        later
            .map(|gap| behind(*gap, from(gap)))
            .chain(gaps.iter().map(|gap| behind(*gap, 0)))
            .find_map(|found| found)
    }

    /// Checks what an arena answered, and does the same.
    pub fn took(
        &mut self,
        answer: Result<u64, ArenaError>,
        size: u64,
        within: &Constraints,
        fit: Fit,
    ) {
        let size = size.next_multiple_of(self.quantum);
        let room = |&(first, last): &(u64, u64)| {
            self.places(first, last, size, within)
                .map(|at| (last - first, at))
        };
        let smallest = self.gaps().iter().filter_map(room).min();
        let at = match answer {
            Ok(at) => at,
            Err(error) => {
                assert_eq!(error, ArenaError::Full);
                assert_eq!(smallest, None, "there is a place for {size}: {within:?}");
                return;
            }
        };
        assert!(meets(at, size, within), "{at} {size} {within:?}");
        assert_eq!(at % self.quantum, 0);
        let gaps = self.gaps();
        let gap = gaps
            .iter()
            .find(|(first, last)| at >= *first && at <= *last && last - at >= size - 1);
        let (first, last) = gap.expect("free until now");
        match fit {
            Fit::Instant => {}
            Fit::Best => assert_eq!(Some(last - first), smallest.map(|(size, _)| size)),
            Fit::Next => {
                assert_eq!(Some(at), self.next(size, within));
                self.rotor = Some(at + (size - 1));
            }
        }
        self.taken.insert(at, size);
    }

    /// Frees one at random.
    pub fn free_any(&mut self, random: &mut Random, arena: &Arena<'_, TestMachine>) {
        let nth = random.below(self.taken.len().max(1));
        let Some((&at, &size)) = self.taken.iter().nth(nth) else {
            return;
        };
        let wrong = [
            arena.free(at, size + self.quantum),
            arena.free(at.wrapping_add(self.quantum), size),
            arena.free(at, 0),
            arena.free(at, u64::MAX),
        ];
        if !self.taken.contains_key(&at.wrapping_add(self.quantum)) {
            assert_eq!(wrong[1], Err(ArenaError::BadRange));
        } else if wrong[1].is_ok() {
            self.taken.remove(&at.wrapping_add(self.quantum));
        }
        for wrong in [wrong[0], wrong[2], wrong[3]] {
            assert_eq!(wrong, Err(ArenaError::BadRange));
        }
        assert_eq!(arena.size_at(at), Some(size));
        assert_eq!(arena.free(at, size), Ok(()));
        assert_eq!(arena.free(at, size), Err(ArenaError::BadRange), "twice");
        assert_eq!(arena.size_at(at), None);
        self.taken.remove(&at);
    }
}

/// Some constraints, mostly good ones.
pub fn constraints(random: &mut Random, quantum: u64, size: u64, low: u64) -> Constraints {
    if random.below(3) == 0 {
        return Constraints::NONE;
    }
    let align = quantum.next_power_of_two() << random.below(4);
    let mut within = Constraints::aligned(align);
    if random.below(2) == 0 {
        within.phase = random.below((align / quantum) as usize) as u64 * quantum;
    }
    if random.below(3) == 0 {
        within.nocross = size.next_power_of_two().max(align) << random.below(3);
    }
    if random.below(3) == 0 {
        within.min = low.saturating_add(random.below(100) as u64 * quantum);
        within.max = within
            .min
            .saturating_add(random.below(200) as u64 * quantum);
    }
    within
}
