//! One page table: its entries, and the word that tells which lines of it are in use.
//!
//! A *line* is one of the 64 equal parts of a frame. The word has a bit for each (invariant 2), so
//! an empty table is known at once, and a scan looks at lines in use only.
//!
//! Locks: whoever calls holds the space's lock, except on a table that no link leads to yet.

use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

use scalvm::{Frame, Machine, PAGE_SHIFT, PAGE_SIZE};

use crate::format::Format;

/// log2 of [`ENTRIES`].
const INDEX_BITS: u32 = PAGE_SHIFT - 3;
/// Entries in a table.
pub(crate) const ENTRIES: usize = PAGE_SIZE / 8;
/// Entries in a line.
pub(crate) const LINE: usize = ENTRIES / 64;

/// log2 of the bytes that an entry of a table of this level stands for.
#[inline(always)]
pub(crate) fn shift<F: Format>(level: usize) -> u32 {
    match level {
        0 => PAGE_SHIFT,
        _ => PAGE_SHIFT + F::LEAF_BITS + (level as u32 - 1) * INDEX_BITS,
    }
}

/// Entries in use of a table of leaves; pages that a large leaf maps.
#[inline(always)]
pub(crate) const fn leaves<F: Format>() -> usize {
    const { assert!(1 << F::LEAF_BITS >= LINE && 1 << F::LEAF_BITS <= ENTRIES) }
    1 << F::LEAF_BITS
}

/// Entries in use of a table of this level.
#[inline(always)]
pub(crate) fn entries<F: Format>(level: usize) -> usize {
    match level {
        0 => leaves::<F>(),
        _ => ENTRIES,
    }
}

/// Which entry of a table of this level stands for the address.
#[inline(always)]
pub(crate) fn index<F: Format>(va: usize, level: usize) -> usize {
    (va >> shift::<F>(level)) % entries::<F>(level)
}

/// The entries of a page table.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    /// Where it lies.
    pub frame: Frame,
    entries: *const AtomicU64,
}

impl Table {
    /// The table in a frame.
    ///
    /// # Safety
    ///
    /// The frame lies in a segment of this machine, holds a page table, and does so for as long as
    /// the result is used.
    #[inline(always)]
    pub unsafe fn at<M: Machine>(machine: &M, frame: Frame) -> Table {
        Table {
            frame,
            entries: machine.frame_ptr(frame).cast::<AtomicU64>().cast_const(),
        }
    }

    /// The entries from this one on, as a table.
    ///
    /// # Safety
    ///
    /// They are used up to the table's end only.
    #[inline(always)]
    pub unsafe fn from(self, first: usize) -> Table {
        Table {
            // SAFETY: within the table.
            entries: unsafe { self.entries.add(first) },
            ..self
        }
    }

    #[inline(always)]
    fn entry(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < ENTRIES);
        // SAFETY: `at` was promised a table: ENTRIES entries, aligned, which the kernel and the MMU
        // access atomically and programs not at all. All indices come from `index`, or lie in one
        // of the 64 lines.
        unsafe { &*self.entries.add(index) }
    }

    /// What an entry says now.
    #[inline(always)]
    pub fn load(&self, index: usize) -> u64 {
        self.entry(index).load(Relaxed)
    }

    /// Fills an empty entry, which the MMU does not write.
    #[inline(always)]
    pub fn fill(&self, index: usize, new: u64) {
        self.entry(index).store(new, Release);
    }

    /// Empties an entry and tells what it said last.
    #[inline(always)]
    pub fn take(&self, index: usize) -> u64 {
        self.entry(index).swap(0, SeqCst)
    }

    /// Changes an entry and tells what it said before, and what now. Bits that the MMU sets
    /// meanwhile are seen by `change`.
    #[inline(always)]
    pub fn update(&self, index: usize, change: impl Fn(u64) -> u64) -> (u64, u64) {
        let entry = self.entry(index);
        let mut old = entry.load(Relaxed);
        loop {
            let new = change(old);
            if new == old {
                return (old, new);
            }
            match entry.compare_exchange_weak(old, new, SeqCst, Relaxed) {
                Ok(_) => return (old, new),
                Err(now) => old = now,
            }
        }
    }

    /// Calls `visit` with the index and the value of each entry of the range that is not empty.
    /// `word` is the table's.
    #[inline(always)]
    pub fn for_each(&self, word: u64, range: Range<usize>, mut visit: impl FnMut(usize, u64)) {
        if range.is_empty() {
            return;
        }
        let mut lines = word & lines(&range);
        while lines != 0 {
            let start = lines.trailing_zeros() as usize * LINE;
            lines &= lines - 1;
            for index in start.max(range.start)..(start + LINE).min(range.end) {
                let entry = self.load(index);
                if entry != 0 {
                    visit(index, entry);
                }
            }
        }
    }

    /// The first entry from `from` on that is not empty.
    pub fn first(&self, word: u64, from: usize) -> Option<usize> {
        if from >= ENTRIES {
            return None;
        }
        let mut lines = word & lines(&(from..ENTRIES));
        while lines != 0 {
            let start = lines.trailing_zeros() as usize * LINE;
            lines &= lines - 1;
            let mut line = start.max(from)..start + LINE;
            if let Some(index) = line.find(|&index| self.load(index) != 0) {
                return Some(index);
            }
        }
        None
    }

    /// The table's word after the entries of the range, which is not empty, have been emptied.
    #[inline(always)]
    pub fn settled(&self, word: u64, range: Range<usize>) -> u64 {
        let mut rest = word & !lines(&range);
        // The lines at both ends may have entries outside of the range.
        let start = range.start - range.start % LINE;
        if (start..range.start).any(|index| self.load(index) != 0) {
            rest |= line_of(start);
        }
        let end = range.end.next_multiple_of(LINE);
        if (range.end..end).any(|index| self.load(index) != 0) {
            rest |= line_of(range.end);
        }
        rest
    }
}

/// The bit of the line that an entry lies in.
#[inline(always)]
pub(crate) const fn line_of(index: usize) -> u64 {
    1 << (index / LINE)
}

/// The bits of all lines that have entries of the range, which is not empty.
#[inline(always)]
fn lines(range: &Range<usize>) -> u64 {
    let first = range.start / LINE;
    let last = (range.end - 1) / LINE;
    u64::MAX << first & u64::MAX >> (63 - last)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries in memory of their own, and the table of them.
    fn with_table(test: impl FnOnce(&[AtomicU64; ENTRIES], Table)) {
        let entries = [const { AtomicU64::new(0) }; ENTRIES];
        let table = Table {
            frame: Frame(0),
            entries: entries.as_ptr(),
        };
        test(&entries, table);
    }

    #[test]
    fn a_bit_that_the_mmu_sets_during_an_update_is_seen() {
        with_table(|entries, table| {
            entries[7].store(0x21, Relaxed);
            let result = table.update(7, |entry| {
                // The MMU is quicker, once.
                entries[7].fetch_or(0x40, Relaxed);
                entry & !0x20
            });
            assert_eq!(result, (0x61, 0x41));
            assert_eq!(entries[7].load(Relaxed), 0x41);
        });
    }

    #[test]
    fn scans_look_at_lines_in_use_only() {
        with_table(|entries, table| {
            for index in [3, 9, 10, 400] {
                entries[index].store(1, Relaxed);
            }
            // The line of entry 400 is not in the word, so that is not found.
            let word = line_of(3) | line_of(9) | line_of(80);
            let found = |range| {
                let mut sum = 0;
                table.for_each(word, range, |index, _| sum += index);
                sum
            };
            assert_eq!(found(0..ENTRIES), 22);
            assert_eq!(found(4..10), 9);
            assert_eq!(found(10..10), 0);
            assert_eq!(table.first(word, 4), Some(9));
            assert_eq!(table.first(word, 11), None);
            assert_eq!(table.first(word, ENTRIES), None);
        });
    }

    #[test]
    fn a_line_stays_in_use_while_it_has_entries_outside_of_the_range() {
        with_table(|entries, table| {
            let word = line_of(0) | line_of(8) | line_of(16);
            assert_eq!(table.settled(word, 0..24), 0);
            assert_eq!(table.settled(word, 8..16), line_of(0) | line_of(16));
            entries[2].store(1, Relaxed);
            entries[20].store(1, Relaxed);
            assert_eq!(table.settled(word, 3..20), line_of(0) | line_of(16));
            assert_eq!(table.settled(word, 3..19), line_of(0) | line_of(16));
            entries[2].store(0, Relaxed);
            assert_eq!(table.settled(word, 3..20), line_of(16));
            assert_eq!(table.settled(word, 0..ENTRIES), 0);
        });
    }
}
