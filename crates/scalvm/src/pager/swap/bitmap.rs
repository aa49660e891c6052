//! Sets of numbers, as bits, with a summary over them: a bit of each level above tells whether the
//! word beneath it has any. So the next member is found in a few steps, however far it is, and an
//! empty stretch costs nothing.
//!
//! The lock of the slots protects it.
//!
//! 1. A bit of a level is set if and only if its word of the level beneath is not zero.
//! 2. `count` bits of the lowest level are set, none of them at `bits` or above.

use crate::error::OutOfMemory;
use crate::kmem::Table;
use crate::machine::Machine;
use crate::page::{Frames, State};
use crate::sync::Field;

const WORD: u64 = u64::BITS as u64;
/// Levels for 2^32 bits: each word stands for 64 of those beneath.
const LEVELS: usize = 6;
/// How many runs are looked at for one that is long enough (arbitrary).
const TRIES: usize = 32;

/// A set of numbers below a limit.
pub(super) struct Bitmap {
    words: Table<Field<u64>>,
    bits: u64,
    /// Where each level begins; the highest has one word.
    level: [u32; LEVELS],
    levels: usize,
    count: Field<u64>,
}

impl Bitmap {
    /// The set of no number, or of all numbers, below `bits`, which is at least 1 and at most 2^32.
    pub fn new<M: Machine>(
        machine: &M,
        frames: &Frames,
        bits: u64,
        full: bool,
    ) -> Result<Bitmap, OutOfMemory> {
        debug_assert!(0 < bits && bits <= 1 << 32);
        let mut level = [0; LEVELS];
        // How many bits each level has, the lowest first.
        let mut sizes = [0; LEVELS];
        let (mut at, mut size, mut levels) = (0, bits, 0);
        while levels < LEVELS {
            (level[levels], sizes[levels]) = (at as u32, size);
            levels += 1;
            size = size.div_ceil(WORD);
            at += size;
            if size == 1 {
                break;
            }
        }
        let words = Table::new();
        let word = |n: u64| {
            if !full || n >= at {
                return 0;
            }
            let of = (0..levels).rfind(|of| u64::from(level[*of]) <= n);
            let of = of.unwrap_or(0);
            let before = (n - u64::from(level[of])) * WORD;
            ones(sizes[of].saturating_sub(before).min(WORD))
        };
        while (words.len() as u64) < at {
            let frame = || frames.alloc_page(machine, State::Kernel);
            let grown = words.grow(machine, frame, |n| Field::new(word(n as u64)));
            if grown.is_err() {
                words.clear(machine, frames);
                return Err(OutOfMemory);
            }
        }
        Ok(Bitmap {
            words,
            bits,
            level,
            levels,
            count: Field::new(if full { bits } else { 0 }),
        })
    }

    /// Gives the memory back.
    pub fn clear<M: Machine>(&self, machine: &M, frames: &Frames) {
        self.words.clear(machine, frames);
    }

    /// How many numbers are in the set.
    pub fn count(&self) -> u64 {
        self.count.get()
    }

    /// Whether a number is in the set.
    pub fn has(&self, bit: u64) -> bool {
        bit < self.bits && self.word(0, bit / WORD) >> (bit % WORD) & 1 != 0
    }

    /// Adds a number; tells whether it was not there before.
    pub fn add(&self, bit: u64) -> bool {
        if bit >= self.bits || self.has(bit) {
            return false;
        }
        self.count.set(self.count() + 1);
        let mut at = bit;
        for level in 0..self.levels {
            let word = self.word(level, at / WORD);
            self.set_word(level, at / WORD, word | 1 << (at % WORD));
            if word != 0 {
                break;
            }
            at /= WORD;
        }
        true
    }

    /// Takes a number out; tells whether it was there.
    pub fn remove(&self, bit: u64) -> bool {
        if !self.has(bit) {
            return false;
        }
        self.count.set(self.count() - 1);
        let mut at = bit;
        for level in 0..self.levels {
            let word = self.word(level, at / WORD) & !(1 << (at % WORD));
            self.set_word(level, at / WORD, word);
            if word != 0 {
                break;
            }
            at /= WORD;
        }
        true
    }

    /// The first number from `from` on that is in the set.
    pub fn next(&self, from: u64) -> Option<u64> {
        let (mut level, mut at) = (0, from);
        // Up, as long as nothing is left in a word; then down to the lowest bit.
        loop {
            if level == self.levels || at >= self.size(level) {
                return None;
            }
            let rest = self.word(level, at / WORD) >> (at % WORD);
            if rest != 0 {
                at += u64::from(rest.trailing_zeros());
                break;
            }
            at = at / WORD + 1;
            level += 1;
        }
        while level > 0 {
            level -= 1;
            at = at * WORD + u64::from(self.word(level, at).trailing_zeros());
        }
        Some(at)
    }

    /// How many numbers from `from` on follow each other, up to `most`.
    pub fn run(&self, from: u64, most: u64) -> u64 {
        let mut len = 0;
        while len < most && from + len < self.bits {
            let at = from + len;
            let ones = u64::from((!(self.word(0, at / WORD) >> (at % WORD))).trailing_zeros());
            len += ones;
            if ones < WORD - at % WORD {
                break;
            }
        }
        len.min(most)
    }

    /// The start and the length of a run of `want` numbers, the first from `hand` on and then from
    /// the beginning; or of the longest of a few.
    pub fn find(&self, want: u64, hand: u64) -> Option<(u64, u64)> {
        let mut best = None;
        let (mut at, mut wrapped) = (hand, false);
        for _ in 0..TRIES {
            let found = match self.next(at) {
                Some(found) => found,
                None if wrapped || hand == 0 => break,
                None => {
                    (at, wrapped) = (0, true);
                    continue;
                }
            };
            if wrapped && found >= hand {
                break;
            }
            let len = self.run(found, want);
            if best.is_none_or(|(_, longest)| len > longest) {
                best = Some((found, len));
            }
            if len == want {
                break;
            }
            at = found + len;
        }
        best
    }

    /// How many bits a level has.
    fn size(&self, level: usize) -> u64 {
        (0..level).fold(self.bits, |bits, _| bits.div_ceil(WORD))
    }

    fn word(&self, level: usize, at: u64) -> u64 {
        let word = self.words.get(self.level[level] as usize + at as usize);
        word.map_or(0, |word| word.get())
    }

    fn set_word(&self, level: usize, at: u64, value: u64) {
        if let Some(word) = self.words.get(self.level[level] as usize + at as usize) {
            word.set(value);
        }
    }

    /// Panics where the levels contradict each other.
    pub fn check_invariants(&self) {
        let mut count = 0;
        for at in 0..self.bits.div_ceil(WORD) {
            let word = self.word(0, at);
            assert_eq!(
                word & !ones((self.bits - at * WORD).min(WORD)),
                0,
                "2: beyond the end"
            );
            count += u64::from(word.count_ones());
        }
        assert_eq!(count, self.count(), "2: numbers in a set");
        for level in 1..self.levels {
            for at in 0..self.size(level) {
                let bit = self.word(level, at / WORD) >> (at % WORD) & 1;
                let any = self.word(level - 1, at) != 0;
                assert_eq!(bit != 0, any, "1: bit {at} of level {level}");
            }
        }
    }
}

/// The lowest `count` bits.
const fn ones(count: u64) -> u64 {
    if count >= WORD {
        u64::MAX
    } else {
        (1 << count) - 1
    }
}
