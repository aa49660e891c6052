//! What an arena must do: spans, the ranges that are in use, and where there is room.

use std::collections::BTreeMap;

use scalvm::{Constraints, Fit};

/// A range: its first number and its size, which is not zero.
pub type Run = (u64, u64);

/// An arena as it must be, without what it imports.
#[derive(Default)]
pub struct Model {
    /// What sizes are multiples of.
    pub quantum: u64,
    /// The spans that were added, in that order.
    pub spans: Vec<Run>,
    /// The ranges in use: their sizes by their first numbers.
    pub used: BTreeMap<u64, u64>,
    /// Where the last next fit ended, if there was one: its last number.
    pub last: Option<u64>,
}

/// The last number of a range.
pub fn last((start, size): Run) -> u64 {
    start + (size - 1)
}

/// Whether two ranges have a number in common.
pub fn meet(a: Run, b: Run) -> bool {
    a.0 <= last(b) && b.0 <= last(a)
}

/// Whether one range lies within another.
pub fn within(inner: Run, outer: Run) -> bool {
    outer.0 <= inner.0 && last(inner) <= last(outer)
}

impl Model {
    /// A size in whole quanta; none if there is no such.
    pub fn round(&self, size: u64) -> Option<u64> {
        size.checked_next_multiple_of(self.quantum)
            .filter(|size| *size != 0)
    }

    /// Whether a range may be a span.
    pub fn takes_span(&self, (start, size): Run) -> bool {
        let whole = start.is_multiple_of(self.quantum) && size.is_multiple_of(self.quantum);
        whole
            && size != 0
            && start.checked_add(size - 1).is_some()
            && !self.spans.iter().any(|span| meet(*span, (start, size)))
    }

    /// What is in use of a range: the last such range.
    pub fn meets(&self, run: Run) -> Option<Run> {
        let before = self.used.range(..=last(run)).next_back();
        before
            .map(|(&start, &size)| (start, size))
            .filter(|used| meet(*used, run))
    }

    /// Takes a range into use; false if it is in use.
    pub fn take(&mut self, run: Run) -> bool {
        if self.meets(run).is_some() {
            return false;
        }
        self.used.insert(run.0, run.1);
        true
    }

    /// The free ranges of some spans, each as long as may be, in order.
    pub fn gaps(&self, spans: &[Run]) -> Vec<Run> {
        let mut gaps = Vec::new();
        for &span in spans {
            let (mut at, end) = (u128::from(span.0), u128::from(last(span)) + 1);
            for (&start, &size) in self.used.range(span.0..=last(span)) {
                push(&mut gaps, at, start.into());
                at = u128::from(start) + u128::from(size);
            }
            push(&mut gaps, at, end);
        }
        gaps
    }

    /// The numbers in use.
    pub fn in_use(&self) -> u64 {
        self.used.values().sum()
    }

    /// Whether constraints make sense for a size in whole quanta.
    pub fn accepts(&self, c: &Constraints, size: u64) -> bool {
        let divides = |a: u64, b: u64| a.is_multiple_of(b) || b.is_multiple_of(a);
        c.align.is_power_of_two()
            && divides(c.align, self.quantum)
            && c.phase < c.align
            && c.phase.is_multiple_of(self.quantum)
            && c.min <= c.max
            && (c.nocross == 0
                || c.nocross.is_power_of_two()
                    && c.nocross >= size
                    && divides(c.nocross, c.align)
                    && divides(c.nocross, self.quantum))
    }

    /// Whether a range is as constraints want it.
    pub fn obeys(&self, run: Run, c: &Constraints) -> bool {
        let across = c.nocross != 0 && run.0 / c.nocross != last(run) / c.nocross;
        run.0 % c.align == c.phase && c.min <= run.0 && last(run) <= c.max && !across
    }

    /// The lowest place for so many numbers in a gap, at or above a number.
    pub fn place(&self, gap: Run, size: u64, c: &Constraints, from: u64) -> Option<u64> {
        let unit = u128::from(c.align.max(self.quantum));
        let up = |n: u128| {
            let phase = u128::from(c.phase);
            (n.max(phase) - phase).div_ceil(unit) * unit + phase
        };
        let mut at = up(u128::from(gap.0.max(c.min).max(from)));
        let most = u128::from(last(gap).min(c.max));
        // A multiple of `nocross` may have to be passed; behind it all is as before it.
        for _ in 0..3 {
            let end = at + u128::from(size) - 1;
            if end > most {
                return None;
            }
            let nocross = u128::from(c.nocross);
            if nocross == 0 || at / nocross == end / nocross {
                return Some(at as u64);
            }
            at = up(end / nocross * nocross);
        }
        None
    }

    /// The places that a fit may choose of these gaps, which are in the order of spans; none if there is
    /// no room.
    pub fn choices(&self, gaps: &[Run], size: u64, c: &Constraints, fit: Fit) -> Vec<u64> {
        let all = || {
            let place = |gap: &Run| Some((*gap, self.place(*gap, size, c, 0)?));
            gaps.iter().filter_map(place)
        };
        match fit {
            Fit::Instant => all().map(|(_, at)| at).collect(),
            Fit::Best => {
                let least = all().map(|(gap, _)| gap.1).min();
                let best = all().filter(|(gap, _)| Some(gap.1) == least);
                best.map(|(_, at)| at).collect()
            }
            Fit::Next => self.next(gaps, size, c).into_iter().collect(),
        }
    }

    /// The first place behind the last one, and around.
    fn next(&self, gaps: &[Run], size: u64, c: &Constraints) -> Option<u64> {
        let Some(last_one) = self.last else {
            return gaps.iter().find_map(|gap| self.place(*gap, size, c, 0));
        };
        // Which gaps lie behind it: those of later spans, and those further up in its own.
        let span = |n: u64| self.spans.iter().position(|span| within((n, 1), *span));
        let behind = |gap: &Run| (span(gap.0), last(*gap)) > (span(last_one), last_one);
        let first = gaps.iter().filter(|gap| behind(gap)).find_map(|gap| {
            let from = match span(gap.0) == span(last_one) {
                true => last_one.checked_add(1)?,
                false => 0,
            };
            self.place(*gap, size, c, from)
        });
        first.or_else(|| gaps.iter().find_map(|gap| self.place(*gap, size, c, 0)))
    }
}

fn push(gaps: &mut Vec<Run>, start: u128, end: u128) {
    if start < end {
        gaps.push((start as u64, (end - start) as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let mut model = Model {
            quantum: 1,
            spans: vec![(100, 50), (0, 30)],
            ..Model::default()
        };
        assert!(model.take((110, 10)) && model.take((5, 1)) && !model.take((119, 4)));
        model
    }

    #[test]
    fn gaps_are_what_is_not_used() {
        let model = model();
        let gaps = model.gaps(&model.spans);
        assert_eq!(gaps, [(100, 10), (120, 30), (0, 5), (6, 24)]);
        assert_eq!(model.choices(&gaps, 4, &Constraints::NONE, Fit::Best), [0]);
    }

    #[test]
    fn the_next_one_goes_around() {
        let mut model = model();
        model.last = Some(119);
        let gaps = model.gaps(&model.spans);
        let next = |model: &Model, size| model.choices(&gaps, size, &Constraints::NONE, Fit::Next);
        assert_eq!(next(&model, 10), [120]);
        model.last = Some(145);
        assert_eq!((next(&model, 4), next(&model, 5)), (vec![146], vec![0]));
        model.last = Some(7);
        assert_eq!((next(&model, 22), next(&model, 24)), (vec![8], vec![120]));
    }

    #[test]
    fn places_keep_to_constraints() {
        let model = model();
        let c = Constraints {
            align: 8,
            phase: 3,
            nocross: 16,
            min: 0,
            max: 200,
        };
        for from in 0..120 {
            let gap = (from, 60);
            let brute = (from..from + 60).find(|at| {
                let run = (*at, 7);
                within(run, gap) && model.obeys(run, &c)
            });
            assert_eq!(model.place(gap, 7, &c, 0), brute, "from {from}");
        }
    }
}
