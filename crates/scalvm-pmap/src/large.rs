//! Large leaves: entering one, finding it, and splitting it.
//!
//! A space keeps a frame aside for each of its large leaves (invariant 7). They are all alike, so
//! splitting takes any of them, and needs no memory. Between the large leaf and the table that takes its
//! place there is nothing, and a flush (invariant 8); a processor that comes meanwhile faults, and its
//! fault waits for the space's lock.
//!
//! Locks: the space's. It is held during the flush.

use core::ops::Range;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use scalvm::{
    Debt, Enter, Frame, Machine, Mapping, OutOfMemory, PAGE_SHIFT, Prot, Scope, TableFrames,
};

use crate::enter::Spare;
use crate::format::Format;
use crate::machine::TableMachine;
use crate::radix::RadixPmap;
use crate::space::Space;
use crate::table::{Table, leaves, line_of, shift};

/// Where a large leaf is.
pub(crate) struct Large {
    /// The table that it is in, of level 1.
    pub table: Table,
    /// Its entry there.
    pub index: usize,
    /// The first address that it maps.
    pub base: usize,
    /// The address after the last.
    pub end: usize,
    /// Whether the links above grant the right to write.
    pub writable: bool,
}

impl Large {
    /// The part of a range that it maps.
    pub fn within(&self, range: &Range<usize>) -> Range<usize> {
        self.base.max(range.start)..self.end.min(range.end)
    }

    /// Whether that is all that it maps.
    pub fn is_whole(&self, range: &Range<usize>) -> bool {
        range.start <= self.base && self.end <= range.end
    }
}

impl<F: Format> RadixPmap<F> {
    /// See [`Pmap::enter_large`](scalvm::Pmap::enter_large).
    pub(crate) fn enter_large_slowly<M: TableMachine>(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<bool, OutOfMemory> {
        let pages = leaves::<F>();
        if !(va >> PAGE_SHIFT).is_multiple_of(pages) || !how.frame.0.is_multiple_of(pages as u64) {
            return Ok(false);
        }
        let mut spare = Spare::none();
        // The table to be set aside.
        let mut lacking = 1;
        let result = loop {
            if let Err(error) = spare.alloc(tables, lacking) {
                break Err(error);
            }
            let guard = self.lock(machine);
            let space = Space::new(self, machine, tables, &guard);
            match space.put_large(va, how, &mut spare) {
                Ok(entered) => break Ok(entered),
                Err(more) => lacking = more,
            }
        };
        spare.free(tables);
        result
    }

    /// Sets a frame aside. The lock is held.
    fn put_aside(&self, tables: &impl TableFrames, frame: Frame) {
        tables.word(frame).store(self.aside.load(Relaxed), Relaxed);
        self.aside.store(frame.0 + 1, Relaxed);
    }

    /// Takes one back. The lock is held, or there is nobody else.
    pub(crate) fn take_aside(&self, tables: &impl TableFrames) -> Option<Frame> {
        let frame = Frame(self.aside.load(Relaxed).checked_sub(1)?);
        let next = tables.word(frame).swap(0, Relaxed);
        self.aside.store(next, Relaxed);
        Some(frame)
    }
}

impl<F: Format, M: Machine, T> Space<'_, F, M, T> {
    /// The large leaf that maps the address, if one does.
    #[cold]
    pub fn large_at(self, va: usize) -> Option<Large> {
        // Invariant 7: without a frame set aside there is none.
        if self.pmap.aside.load(Relaxed) == 0 {
            return None;
        }
        let mut table = self.root();
        let mut writable = true;
        for level in (2..F::LEVELS).rev() {
            let link = table.load(Self::index(va, level));
            if link == 0 {
                return None;
            }
            writable &= F::grants_write(link);
            table = self.below(link);
        }
        let entry = table.load(Self::index(va, 1));
        (entry != 0 && F::is_large(entry)).then(|| Self::large_in(table, va, writable))
    }

    /// What maps the address if a large leaf does.
    #[cold]
    pub fn query_large(self, va: usize) -> Option<Mapping> {
        let large = self.large_at(va)?;
        Some(Self::mapping_of(&large, large.table.load(large.index), va))
    }

    /// The large leaf for the address in a table of level 1, the links to which grant the right to
    /// write, or not.
    pub fn large_in(table: Table, va: usize, writable: bool) -> Large {
        let base = va >> shift::<F>(1) << shift::<F>(1);
        Large {
            table,
            index: Self::index(va, 1),
            base,
            end: base.saturating_add(1 << shift::<F>(1)),
            writable,
        }
    }

    /// What a large leaf says of one of its pages.
    pub fn mapping_of(large: &Large, entry: u64, va: usize) -> Mapping {
        let leaf = F::small(entry, (va - large.base) >> PAGE_SHIFT);
        Mapping {
            large: true,
            ..Self::mapping(va, leaf, large.writable)
        }
    }

    /// A large leaf changed as a leaf would be.
    #[inline(always)]
    pub fn as_large(large: u64, change: impl Fn(u64) -> u64) -> u64 {
        F::large(change(F::small(large, 0)))
    }
}

impl<F: Format, M: Machine, T: TableFrames> Space<'_, F, M, T> {
    /// Enters a large leaf; false where something is mapped. If there are too few spares, the number
    /// that would do; then nothing was done.
    fn put_large(self, va: usize, how: Enter, spare: &mut Spare) -> Result<bool, usize> {
        let aside = spare.pop().ok_or(1usize)?;
        let write = how.prot.contains(Prot::WRITE);
        let way = match self.reach(va, 1, write, spare) {
            Ok(way) => way,
            Err(more) => {
                spare.push(aside);
                return Err(more + 1);
            }
        };
        let (table, index) = (way.leaves, Self::index(va, 1));
        if table.load(index) != 0 {
            spare.push(aside);
            return Ok(false);
        }
        let leaf = F::touched(
            F::leaf(how.frame, how.prot, how.cache, how.managed),
            how.access,
        );
        self.pmap.put_aside(self.tables, aside);
        table.fill(index, F::large(leaf));
        self.mark(table, 1, line_of(index));
        Self::count(&self.pmap.mapped, leaves::<F>());
        Self::count(&self.pmap.large, usize::from(F::managed(leaf)));
        Self::count(&self.pmap.tables, 1);
        Ok(true)
    }

    /// Enters a page that a large leaf maps. If that maps it as it is to be, it stays; what was there is
    /// returned. Else it is split, and nothing is entered yet.
    pub fn enter_in_large(self, va: usize, how: Enter) -> Option<Mapping> {
        let large = self.large_at(va)?;
        let new = F::leaf(how.frame, how.prot, how.cache, how.managed);
        let entry = large.table.load(large.index);
        let here = F::small(entry, (va - large.base) >> PAGE_SHIFT);
        let same = F::frame(here) == how.frame
            && Self::effective(here, large.writable) == F::prot(new)
            && F::same_cache(here, new);
        if !same {
            self.split(&large);
            return None;
        }
        let touch = |large| Self::as_large(large, |leaf| F::touched(leaf, how.access));
        let (old, _) = large.table.update(large.index, touch);
        Some(Self::mapping_of(&large, old, va))
    }

    /// Puts a table of leaves in the place of a large leaf: break before make (invariant 8).
    pub fn split(self, large: &Large) {
        let Some(frame) = self.pmap.take_aside(self.tables) else {
            unreachable!("a large leaf has a table set aside");
        };
        let entry = large.table.take(large.index);
        self.flush_large(large, entry);
        // SAFETY: the frame was allocated for a table, and nobody else has it.
        let table = unsafe { Table::at(self.machine, frame) };
        let mut lines = 0;
        for n in 0..leaves::<F>() {
            table.fill(n, F::small(entry, n));
            lines |= line_of(n);
        }
        self.tables.word(frame).store(lines, Relaxed);
        large.table.fill(large.index, F::link(frame));
        let managed = usize::from(F::managed(F::small(entry, 0)));
        Self::count(&self.pmap.large, 0usize.wrapping_sub(managed));
        self.tables.was_split();
    }

    /// Makes all processors forget a large leaf that was taken out.
    fn flush_large(self, large: &Large, entry: u64) {
        if !F::may_be_cached(F::small(entry, 0)) {
            return;
        }
        let cpus = self.pmap.cpus.load(SeqCst);
        if cpus != 0 {
            let scope = Scope::Range {
                start: large.base,
                end: large.end,
            };
            self.machine.flush(cpus, self.pmap.root, scope);
        }
    }

    /// Removes a large leaf; what it said last. Its table that was set aside goes to the debt, and the
    /// table that it was in, if that is empty now.
    pub fn remove_large(self, large: &Large, debt: &mut Debt) -> u64 {
        let entry = large.table.take(large.index);
        let managed = usize::from(F::managed(F::small(entry, 0)));
        Self::count(&self.pmap.large, 0usize.wrapping_sub(managed));
        Self::count(&self.pmap.mapped, 0usize.wrapping_sub(leaves::<F>()));
        if let Some(frame) = self.pmap.take_aside(self.tables) {
            debt.own(frame, self.tables);
            Self::count(&self.pmap.tables, usize::MAX);
        }
        let word = self.word(large.table, 1);
        let rest = large
            .table
            .settled(word.load(Relaxed), large.index..large.index + 1);
        word.store(rest, Relaxed);
        if rest == 0 {
            self.unlink(large.base, 1, debt);
        }
        entry
    }

    /// How many frames are set aside. For tests.
    pub fn aside(self) -> usize {
        let mut count = 0;
        let mut next = self.pmap.aside.load(Relaxed);
        while next != 0 {
            count += 1;
            next = self.tables.word(Frame(next - 1)).load(Relaxed);
        }
        count
    }
}
