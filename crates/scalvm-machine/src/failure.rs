//! Failures on demand: which of a row of events fails.

use std::ops::Range;

use crate::rng::Rng;

/// Decides for each event of a kind whether it fails, and counts them.
#[derive(Debug)]
pub(crate) struct Failures {
    count: u64,
    /// Events of these numbers fail.
    fail: Range<u64>,
    /// And one in so many of all, in the long run; zero: none.
    one_in: u64,
    rng: Rng,
}

impl Failures {
    /// None fails.
    pub const fn never() -> Failures {
        Failures {
            count: 0,
            fail: 0..0,
            one_in: 0,
            rng: Rng::new(0),
        }
    }

    /// The n-th event from now on fails, counted from zero, and with `rest` all after it.
    pub fn nth(&mut self, n: u64, rest: bool) {
        let first = self.count + n;
        self.fail = first..if rest { u64::MAX } else { first + 1 };
        self.one_in = 0;
    }

    /// From now on one in so many fails.
    pub fn random(&mut self, seed: u64, one_in: u64) {
        self.fail = 0..0;
        self.one_in = one_in;
        self.rng = Rng::new(seed);
    }

    /// From now on none fails.
    pub fn stop(&mut self) {
        self.fail = 0..0;
        self.one_in = 0;
    }

    /// Events so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Counts an event; true if it fails.
    pub fn event(&mut self) -> bool {
        let number = self.count;
        self.count += 1;
        self.fail.contains(&number) || self.rng.one_in(self.one_in)
    }
}
