//! Entering mappings: the quick way, where the tables are there and grant what is needed, and the
//! slow way that makes it so.
//!
//! Locks: frames for tables are allocated and given back without the space's lock.

use core::sync::atomic::Ordering::Relaxed;

use scalvm::{
    Cache, Debt, Enter, Frame, Machine, Mapping, OutOfMemory, PAGE_SHIFT, Prot, Scope, TableFrames,
};

use crate::format::Format;
use crate::radix::RadixPmap;
use crate::space::{Space, Way};
use crate::table::{ENTRIES, LINE, Table, leaves, line_of};

/// The most levels that a format may have.
pub(crate) const MAX_LEVELS: usize = 5;

/// What [`Pmap::enter`](scalvm::Pmap::enter) returns.
type Entered = Result<(Option<Mapping>, Debt), OutOfMemory>;

/// Frames allocated for tables before it is known whether they will be needed.
pub(crate) struct Spare {
    frames: [Frame; MAX_LEVELS - 1],
    count: usize,
}

impl Spare {
    pub const fn none() -> Spare {
        Spare {
            frames: [Frame::NONE; MAX_LEVELS - 1],
            count: 0,
        }
    }

    /// Allocates until there are so many.
    pub fn alloc(&mut self, tables: &impl TableFrames, count: usize) -> Result<(), OutOfMemory> {
        while self.count < count {
            self.frames[self.count] = tables.alloc().ok_or(OutOfMemory)?;
            self.count += 1;
        }
        Ok(())
    }

    /// Takes one out.
    pub fn pop(&mut self) -> Option<Frame> {
        self.count = self.count.checked_sub(1)?;
        Some(self.frames[self.count])
    }

    /// Puts one back that was taken out and not used.
    pub fn push(&mut self, frame: Frame) {
        self.frames[self.count] = frame;
        self.count += 1;
    }

    /// Gives back what is left, which no link has ever led to.
    pub fn free(&mut self, tables: &impl TableFrames) {
        while let Some(frame) = self.pop() {
            tables.free(frame);
        }
    }
}

impl<F: Format> RadixPmap<F> {
    /// Enters where a table is lacking, or where the right to write is withheld above the leaf.
    /// `lacking` says how many tables are likely to be needed: it saves a look.
    #[cold]
    #[inline(never)]
    pub(crate) fn enter_slowly<M: Machine>(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
        lacking: usize,
    ) -> Entered {
        let mut spare = Spare::none();
        let mut lacking = lacking;
        let result = loop {
            if let Err(error) = spare.alloc(tables, lacking) {
                break Err(error);
            }
            let guard = self.lock(machine);
            let space = Space::new(self, machine, tables, &guard);
            if let Some(done) = space.enter_in_large(va, how) {
                break Ok((Some(done), Debt::none()));
            }
            match space.reach(va, 0, how.prot.contains(Prot::WRITE), &mut spare) {
                Ok(way) => break space.put(way, va, how),
                Err(more) => lacking = more,
            }
        };
        spare.free(tables);
        result
    }
}

impl<F: Format, M: Machine, T: TableFrames> Space<'_, F, M, T> {
    /// Enters a leaf in its table, the way to which grants what the leaf is to grant.
    #[inline(always)]
    pub fn put(self, way: Way, va: usize, how: Enter) -> Entered {
        let index = Self::index(va, 0);
        let new = F::touched(
            F::leaf(how.frame, how.prot, how.cache, how.managed),
            how.access,
        );
        if way.leaves.load(index) != 0 {
            return Self::replace(way.leaves, way.writable, va, new);
        }
        way.leaves.fill(index, new);
        self.mark(way.leaves, 0, line_of(index));
        Self::count(&self.pmap.mapped, 1);
        Ok((None, Debt::none()))
    }

    /// Replaces the leaf that is there. What is known of its use is kept if the frame stays the
    /// same. (It takes what it needs of the way, so that the way stays in registers.)
    #[inline(never)]
    fn replace(leaves: Table, writable: bool, va: usize, new: u64) -> Entered {
        let (old, new) = leaves.update(Self::index(va, 0), |old| {
            if F::frame(old) == F::frame(new) {
                F::inherit(new, old)
            } else {
                new
            }
        });
        let lost = Self::effective(old, writable).difference(F::prot(new));
        let differs =
            F::frame(old) != F::frame(new) || !F::same_cache(old, new) || !lost.is_empty();
        let stale = F::may_be_cached(old) && differs;
        let debt = if stale { Debt::page(va) } else { Debt::none() };
        Ok((Some(Self::mapping(va, old, writable)), debt))
    }

    /// See [`Pmap::fill`](scalvm::Pmap::fill).
    #[inline(always)]
    pub fn fill(self, va: usize, frames: &[Frame], prot: Prot) -> u64 {
        let write = prot.contains(Prot::WRITE);
        let frames = &frames[..frames.len().min(64)];
        let mut entered = 0;
        let mut from = 0;
        while from < frames.len() {
            let va = va + (from << PAGE_SHIFT);
            let first = Self::index(va, 0);
            let count = (leaves::<F>() - first).min(frames.len() - from);
            let way = match self.way(va) {
                Some(way) if !write || way.writable => Some(way),
                Some(_) => self.reach(va, 0, write, &mut Spare::none()).ok(),
                None => None,
            };
            if let Some(way) = way {
                let part = &frames[from..from + count];
                entered |= self.fill_table(way.leaves, first, part, prot) << from;
            }
            from += count;
        }
        entered
    }

    /// Fills empty entries of one table.
    #[inline(always)]
    fn fill_table(self, leaves: Table, first: usize, frames: &[Frame], prot: Prot) -> u64 {
        let mut entered = 0;
        let mut count = 0;
        let mut lines = 0;
        let mut i = 0;
        while i < frames.len() {
            let before = count;
            let line = line_of(first + i);
            let end = frames.len().min(i + LINE - (first + i) % LINE);
            for (i, &frame) in frames.iter().enumerate().take(end).skip(i) {
                if frame.is_some() && leaves.load(first + i) == 0 {
                    leaves.fill(first + i, F::leaf(frame, prot, Cache::WriteBack, true));
                    entered |= 1 << i;
                    count += 1;
                }
            }
            if count != before {
                lines |= line;
            }
            i = end;
        }
        self.mark(leaves, 0, lines);
        Self::count(&self.pmap.mapped, count);
        entered
    }

    /// Notes that lines of a table are in use.
    #[inline(always)]
    pub fn mark(self, table: Table, level: usize, lines: u64) {
        let word = self.word(table, level);
        let old = word.load(Relaxed);
        if lines & !old != 0 {
            word.store(old | lines, Relaxed);
        }
    }

    /// The way to the leaf for the address, made of spare frames where it is lacking, and such that
    /// it grants the right to write if that is asked for; `to` is 0, or 1 for the way to a large leaf.
    /// No large leaf lies on it. If there are too few spares, the number that would do; then no table
    /// was made.
    #[cold]
    #[inline(never)]
    pub fn reach(self, va: usize, to: usize, write: bool, spare: &mut Spare) -> Result<Way, usize> {
        const { assert!(F::LEVELS > 1 && F::LEVELS <= MAX_LEVELS) }
        let mut way = Way {
            leaves: self.root(),
            writable: true,
        };
        for level in (to + 1..F::LEVELS).rev() {
            let (table, index) = (way.leaves, Self::index(va, level));
            let mut link = table.load(index);
            debug_assert!(level > 1 || !F::is_large(link));
            if link == 0 {
                // What is lacking here is lacking at all levels below, too.
                let lacking = level - to;
                if spare.count < lacking {
                    return Err(lacking);
                }
                link = F::link(spare.pop().ok_or(lacking)?);
                table.fill(index, link);
                self.mark(table, level, line_of(index));
                Self::count(&self.pmap.tables, 1);
            } else if write && !F::grants_write(link) {
                // Invariant 5. The order matters to an MMU that walks the tables meanwhile.
                self.withhold_write(self.below(link), level - 1);
                link = table.update(index, |link| F::with_write(link, true)).1;
            }
            way.writable &= F::grants_write(link);
            way.leaves = self.below(link);
        }
        Ok(way)
    }

    /// Takes the right to write from all entries of a table. The link to it withholds that already,
    /// so nothing becomes stale.
    fn withhold_write(self, table: Table, level: usize) {
        let word = self.tables.word(table.frame).load(Relaxed);
        let reader = Prot::all().difference(Prot::WRITE);
        table.for_each(word, 0..ENTRIES, |index, entry| {
            if level == 0 {
                table.update(index, |leaf| F::restrict(leaf, reader));
            } else if level == 1 && F::is_large(entry) {
                table.update(index, |large| {
                    Self::as_large(large, |leaf| F::restrict(leaf, reader))
                });
            } else {
                table.update(index, |link| F::with_write(link, false));
            }
        });
    }

    /// Takes the right to write from the root's links.
    pub fn write_protect_all(self) -> Debt {
        let root = self.root();
        let word = self.pmap.lines.load(Relaxed);
        let mut debt = Debt::none();
        root.for_each(word, self.pmap.window(), |index, link| {
            if F::grants_write(link) {
                root.update(index, |link| F::with_write(link, false));
                debt.add(Scope::All);
            }
        });
        debt
    }
}
