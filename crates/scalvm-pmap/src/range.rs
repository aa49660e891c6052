//! Verbs on ranges of addresses: remove, protect, harvest.
//!
//! They go from one table of leaves, or large leaf, to the next that exists, so their cost is that of
//! what is mapped.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use scalvm::{Clear, Debt, Machine, Mapping, PAGE_SHIFT, PAGE_SIZE, Prot, Scope, TableFrames};

use crate::enter::MAX_LEVELS;
use crate::format::Format;
use crate::large::Large;
use crate::space::Space;
use crate::table::{ENTRIES, Table, leaves, shift};

/// The part of a range that one table of leaves stands for.
struct Part {
    leaves: Table,
    /// The address that the table's first entry stands for.
    base: usize,
    /// The table's entries in the range, at least one.
    entries: Range<usize>,
    /// Whether the links above grant the right to write.
    writable: bool,
}

impl Part {
    /// The address that an entry stands for.
    #[inline(always)]
    fn va(&self, index: usize) -> usize {
        self.base + (index << PAGE_SHIFT)
    }
}

/// What there is next of a range.
enum Next {
    Leaves(Part),
    Large(Large),
}

/// The addresses of translations that became stale.
struct Stale {
    start: usize,
    /// Zero if there are none.
    end: usize,
}

impl Stale {
    const fn none() -> Stale {
        Stale {
            start: usize::MAX,
            end: 0,
        }
    }

    #[inline(always)]
    fn add(&mut self, va: usize) {
        self.start = self.start.min(va);
        self.end = va + PAGE_SIZE;
    }

    fn add_large(&mut self, large: &Large) {
        self.start = self.start.min(large.base);
        self.end = large.end;
    }

    fn scope(self) -> Scope {
        if self.end == 0 {
            Scope::Nothing
        } else {
            Scope::Range {
                start: self.start,
                end: self.end,
            }
        }
    }
}

impl<F: Format, M: Machine, T: TableFrames> Space<'_, F, M, T> {
    /// See [`Pmap::remove`](scalvm::Pmap::remove).
    #[inline]
    pub fn remove(self, range: Range<usize>, mut gone: impl FnMut(Mapping)) -> Debt {
        let mut debt = Debt::none();
        let mut stale = Stale::none();
        let mut from = range.start;
        while let Some(next) = self.next(from..range.end) {
            let part = match next {
                Next::Leaves(part) => part,
                Next::Large(large) if large.is_whole(&range) => {
                    from = large.end;
                    let entry = self.remove_large(&large, &mut debt);
                    stale.add_large(&large);
                    for va in large.within(&range).step_by(PAGE_SIZE) {
                        gone(Self::mapping_of(&large, entry, va));
                    }
                    continue;
                }
                Next::Large(large) => {
                    self.split(&large);
                    continue;
                }
            };
            let word = self.tables.word(part.leaves.frame);
            let lines = word.load(Relaxed);
            let mut count = 0;
            part.leaves
                .for_each(lines, part.entries.clone(), |index, _| {
                    let leaf = part.leaves.take(index);
                    if F::may_be_cached(leaf) {
                        stale.add(part.va(index));
                    }
                    count += 1;
                    gone(Self::mapping(part.va(index), leaf, part.writable));
                });
            Self::count(&self.pmap.mapped, 0usize.wrapping_sub(count));
            let rest = part.leaves.settled(lines, part.entries.clone());
            word.store(rest, Relaxed);
            if rest == 0 {
                // What processors have cached of links is tied to no page: any page will do.
                if stale.end == 0 {
                    stale.add(part.base);
                }
                self.unlink(part.base, 0, &mut debt);
            }
            from = part.va(leaves::<F>());
        }
        if debt.is_owed() {
            debt.add(stale.scope());
            return debt;
        }
        Debt::scope(stale.scope())
    }

    /// Unlinks the table of this level for the address, which is empty, and those above that become so.
    #[inline(never)]
    pub fn unlink(self, va: usize, from: usize, debt: &mut Debt) {
        let mut path = [self.root(); MAX_LEVELS];
        for level in (from + 1..F::LEVELS).rev() {
            path[level - 1] = self.below(path[level].load(Self::index(va, level)));
        }
        for level in from + 1..F::LEVELS {
            let parent = path[level];
            if level == F::LEVELS - 1 && self.pmap.is_kernel() {
                // All spaces share this link.
                break;
            }
            let index = Self::index(va, level);
            parent.take(index);
            debt.own(path[level - 1].frame, self.tables);
            Self::count(&self.pmap.tables, usize::MAX);
            let word = self.word(parent, level);
            let rest = parent.settled(word.load(Relaxed), index..index + 1);
            word.store(rest, Relaxed);
            if rest != 0 {
                break;
            }
        }
    }

    /// See [`Pmap::protect`](scalvm::Pmap::protect).
    pub fn protect(self, range: Range<usize>, prot: Prot) -> Debt {
        self.change(range, |leaf| F::restrict(leaf, prot), |_| ())
    }

    /// See [`Pmap::harvest`](scalvm::Pmap::harvest).
    #[inline]
    pub fn harvest(self, range: Range<usize>, what: Clear, seen: impl FnMut(Mapping)) -> Debt {
        self.change(range, |leaf| F::clear(leaf, what), seen)
    }

    /// Changes all leaves of the range, and calls `seen` with what each was before.
    #[inline(always)]
    fn change(
        self,
        range: Range<usize>,
        change: impl Fn(u64) -> u64,
        mut seen: impl FnMut(Mapping),
    ) -> Debt {
        let mut stale = Stale::none();
        let mut from = range.start;
        while let Some(next) = self.next(from..range.end) {
            let part = match next {
                Next::Leaves(part) => part,
                Next::Large(large) => {
                    let change = |entry| Self::as_large(entry, &change);
                    let mut entry = large.table.load(large.index);
                    if large.is_whole(&range) {
                        let (old, new) = large.table.update(large.index, change);
                        if old != new && F::may_be_cached(F::small(old, 0)) {
                            stale.add_large(&large);
                        }
                        entry = old;
                    } else if change(entry) != entry {
                        self.split(&large);
                        continue;
                    }
                    for va in large.within(&range).step_by(PAGE_SIZE) {
                        seen(Self::mapping_of(&large, entry, va));
                    }
                    from = large.end;
                    continue;
                }
            };
            let lines = self.tables.word(part.leaves.frame).load(Relaxed);
            part.leaves
                .for_each(lines, part.entries.clone(), |index, _| {
                    let (old, new) = part.leaves.update(index, &change);
                    if old != new && F::may_be_cached(old) {
                        stale.add(part.va(index));
                    }
                    seen(Self::mapping(part.va(index), old, part.writable));
                });
            from = part.va(leaves::<F>());
        }
        Debt::scope(stale.scope())
    }

    /// The first table of leaves or large leaf that stands for a part of the range.
    #[inline]
    fn next(self, mut range: Range<usize>) -> Option<Next> {
        'root: while range.start < range.end {
            let va = range.start;
            let mut table = self.root();
            let mut writable = true;
            for level in (1..F::LEVELS).rev() {
                let link = table.load(Self::index(va, level));
                if link == 0 {
                    range.start = self.skip(table, level, va);
                    continue 'root;
                }
                if level == 1 && F::is_large(link) {
                    return Some(Next::Large(Self::large_in(table, va, writable)));
                }
                writable &= F::grants_write(link);
                table = self.below(link);
            }
            let first = Self::index(va, 0);
            let count = (leaves::<F>() - first).min((range.end - va).div_ceil(PAGE_SIZE));
            return Some(Next::Leaves(Part {
                leaves: table,
                base: va - (first << PAGE_SHIFT),
                entries: first..first + count,
                writable,
            }));
        }
        None
    }

    /// The address of the first entry in use after that of `va`, or the end of what the table
    /// stands for.
    #[inline(never)]
    fn skip(self, table: Table, level: usize, va: usize) -> usize {
        let word = self.word(table, level).load(Relaxed);
        let index = Self::index(va, level);
        let next = table.first(word, index + 1).unwrap_or(ENTRIES);
        let shift = shift::<F>(level);
        (va >> shift << shift).saturating_add((next - index) << shift)
    }
}
