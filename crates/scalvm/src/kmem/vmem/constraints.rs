//! What an allocation may ask for beside its size: [`Fit`] and [`Constraints`].

use super::ArenaError;

/// Which of the free segments that are large enough is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// One that is found at once, as a rule: from the first list whose segments are all large enough.
    Instant,
    /// The smallest.
    Best,
    /// The one behind the last allocation of this kind, and so on around: a number comes again as
    /// late as possible. For process ids.
    Next,
}

/// What the numbers of an allocation must be like. The default constrains nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Constraints {
    /// The first number is `phase` modulo this: a power of two that is a multiple of the arena's
    /// quantum, or divides it.
    pub align: u64,
    /// Less than `align`, a multiple of the quantum.
    pub phase: u64,
    /// The range does not lie across a multiple of this: a power of two not smaller than the size, of
    /// which `align` and the quantum are divisors or multiples. Zero: it may lie anywhere.
    pub nocross: u64,
    /// The lowest number that it may contain.
    pub min: u64,
    /// The highest number that it may contain.
    pub max: u64,
}

impl Default for Constraints {
    fn default() -> Constraints {
        Constraints::NONE
    }
}

impl Constraints {
    /// No constraint.
    pub const NONE: Constraints = Constraints {
        align: 1,
        phase: 0,
        nocross: 0,
        min: 0,
        max: u64::MAX,
    };

    /// The first number is a multiple of this power of two.
    pub const fn aligned(align: u64) -> Constraints {
        Constraints {
            align,
            ..Constraints::NONE
        }
    }

    /// All numbers are between these two, which may be among them.
    pub const fn between(min: u64, max: u64) -> Constraints {
        Constraints {
            min,
            max,
            ..Constraints::NONE
        }
    }
}

/// Constraints that were found good, for one size and one quantum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Within {
    /// The first number is `phase` modulo this.
    unit: u64,
    phase: u64,
    nocross: u64,
    pub min: u64,
    pub max: u64,
}

impl Within {
    /// Checks constraints.
    pub fn new(given: &Constraints, size: u64, quantum: u64) -> Result<Within, ArenaError> {
        let &Constraints {
            align,
            phase,
            nocross,
            min,
            max,
        } = given;
        let multiples = |a: u64, b: u64| a.is_multiple_of(b) || b.is_multiple_of(a);
        let unit = align.max(quantum);
        let good = align.is_power_of_two()
            && multiples(align, quantum)
            && phase < align
            && phase.is_multiple_of(quantum)
            && min <= max
            && (nocross == 0
                || nocross.is_power_of_two() && nocross >= size && multiples(nocross, unit));
        if !good {
            return Err(ArenaError::BadConstraints);
        }
        Ok(Within {
            unit,
            phase,
            nocross,
            min,
            max,
        })
    }

    /// Whether any segment of a size that is [`generous`](Within::generous) will do.
    pub fn is_alignment(&self) -> bool {
        self.nocross == 0 && self.min == 0 && self.max == u64::MAX
    }

    /// Whether a range that is imported may meet them, whatever it is.
    pub fn may_import(&self) -> bool {
        self.min == 0 && self.max == u64::MAX
    }

    /// A size of which every segment has room for `size` numbers, wherever it lies, unless `min` or
    /// `max` forbid it.
    pub fn generous(&self, size: u64, quantum: u64) -> Option<u64> {
        let slack = self.unit - quantum;
        let across = if self.nocross == 0 {
            0
        } else {
            size.checked_add(slack)?
        };
        size.checked_add(slack)?.checked_add(across)
    }

    /// The lowest place for `size` numbers in the segment from `start` to `last`, inclusive, at or
    /// above `from`.
    pub fn place(&self, size: u64, start: u64, last: u64, from: u64) -> Option<u64> {
        let last = last.min(self.max);
        let mut at = self.round_up(start.max(self.min).max(from))?;
        // Two numbers are in the same block between multiples of `nocross` if they differ in no bit of
        // this.
        let block = if self.nocross == 0 {
            0
        } else {
            !(self.nocross - 1)
        };
        let end = at.checked_add(size - 1)?;
        if (at ^ end) & block != 0 {
            // Blocks are alike: what crosses at the start of this one crosses everywhere.
            at = self.round_up(end & block)?;
            if (at ^ at.checked_add(size - 1)?) & block != 0 {
                return None;
            }
        }
        (at <= last && last - at >= size - 1).then_some(at)
    }

    /// The first number from `from` on that is `phase` modulo the unit.
    fn round_up(&self, from: u64) -> Option<u64> {
        let rest = from % self.unit;
        if rest <= self.phase {
            from.checked_add(self.phase - rest)
        } else {
            from.checked_add(self.unit - rest)?.checked_add(self.phase)
        }
    }
}
