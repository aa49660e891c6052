//! [`RadixPmap`]: the page tables of one space, and its face as a [`Pmap`].
//!
//! The work is done by the verbs of [`Space`], which is this with its lock held.

use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU64, AtomicUsize};

use scalvm::{
    Clear, CpuSet, Debt, Enter, Frame, Machine, Mapping, OutOfMemory, Pmap, PmapCounts, Prot, Rank,
    SpinGuard, SpinLock, TableFrames,
};

use crate::format::Format;
use crate::machine::TableMachine;
use crate::space::Space;
use crate::table::{index, leaves};

/// One address space in the page tables of a [`Format`].
pub struct RadixPmap<F: Format> {
    /// Covers the tables, the counts and the frames set aside.
    lock: SpinLock,
    /// The root table; [`Frame::NONE`] once destroyed.
    pub(crate) root: Frame,
    /// The first entry of the half of the root that this space is.
    pub(crate) half: usize,
    /// Of the kernel's space the addresses that it is for; empty for programs'.
    pub(crate) kernel: Range<usize>,
    /// The root's word (invariant 2): the kernel's root is no frame of the manager's.
    pub(crate) lines: AtomicU64,
    /// The processors that may have cached translations.
    pub(crate) cpus: AtomicU64,
    /// Pages mapped.
    pub(crate) mapped: AtomicUsize,
    /// Large leaves that map ordinary memory.
    pub(crate) large: AtomicUsize,
    /// Frames that hold tables, the root with them, or are set aside for it.
    pub(crate) tables: AtomicUsize,
    /// The first of the frames set aside (invariant 7), its number plus one; 0: there is none. The word
    /// of each tells of the next in the same way.
    pub(crate) aside: AtomicU64,
    format: PhantomData<F>,
}

impl<F: Format> RadixPmap<F> {
    /// A space of just this root table.
    pub(crate) fn with_root(root: Frame) -> RadixPmap<F> {
        RadixPmap {
            lock: SpinLock::new(),
            root,
            half: 0,
            kernel: 0..0,
            lines: AtomicU64::new(0),
            cpus: AtomicU64::new(0),
            mapped: AtomicUsize::new(0),
            large: AtomicUsize::new(0),
            tables: AtomicUsize::new(1),
            aside: AtomicU64::new(0),
            format: PhantomData,
        }
    }

    /// Whether this is the kernel's space.
    pub(crate) fn is_kernel(&self) -> bool {
        self.half != 0
    }

    /// The entries of the root that are this space's own, counted from `half` on.
    pub(crate) fn window(&self) -> Range<usize> {
        if self.is_kernel() {
            let level = F::LEVELS - 1;
            let entry = |va| index::<F>(va, level) - self.half;
            entry(self.kernel.start)..entry(self.kernel.end - 1) + 1
        } else {
            0..F::USER_ENTRIES
        }
    }

    /// Takes the lock.
    #[inline(always)]
    pub(crate) fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::Pmap)
    }
}

// SAFETY: by the invariants at the head of the crate. (1) A leaf is made by `Format::leaf` of the
// rights asked for, and all links above it are made to grant them; (2) each verb that changes a
// leaf which may be cached adds its page, and write_protect_all adds all, while splitting flushes by
// itself; (3) tables are unlinked
// into a debt only; (4) leaves are changed by atomic exchange, and what was exchanged is reported
// or kept.
unsafe impl<F: Format, M: TableMachine> Pmap<M> for RadixPmap<F> {
    fn new(machine: &M, tables: &impl TableFrames) -> Result<Self, OutOfMemory> {
        RadixPmap::make(machine, tables)
    }

    fn new_kernel(
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
    ) -> Result<Self, OutOfMemory> {
        RadixPmap::make_kernel(machine, tables, range)
    }

    fn destroy(&mut self, machine: &M, tables: &impl TableFrames) {
        if self.is_kernel() {
            // The tables that the root leads to stay: all spaces share them.
            let range = self.kernel.clone();
            let debt = Pmap::<M>::remove(self, machine, tables, range, |_| ());
            debt.pay(machine, self, tables);
        } else {
            self.free_all(machine, tables);
        }
    }

    #[inline]
    fn root(&self) -> Frame {
        self.root
    }

    #[inline]
    fn cpus(&self) -> CpuSet {
        self.cpus.load(SeqCst)
    }

    fn activate(&self, machine: &M) {
        // First the bit, then the root: a change of the tables that misses the bit has come before
        // the first walk.
        self.cpus.fetch_or(1 << machine.cpu(), SeqCst);
        machine.set_root(self.root);
    }

    fn deactivate(&self, machine: &M) {
        if self.is_kernel() {
            // Every processor may use the kernel's half, whatever space it has.
            return;
        }
        self.cpus.fetch_and(!(1 << machine.cpu()), SeqCst);
    }

    #[inline]
    fn enter(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<(Option<Mapping>, Debt), OutOfMemory> {
        let guard = self.lock(machine);
        let space = Space::new(self, machine, tables, &guard);
        let lacking = match space.way(va) {
            Some(way) if way.writable || !how.prot.contains(Prot::WRITE) => {
                return space.put(way, va, how);
            }
            Some(_) => 0,
            None => usize::from(space.large_at(va).is_none()),
        };
        drop(guard);
        self.enter_slowly(machine, tables, va, how, lacking)
    }

    #[inline]
    fn fill(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        frames: &[Frame],
        prot: Prot,
    ) -> u64 {
        let guard = self.lock(machine);
        Space::new(self, machine, tables, &guard).fill(va, frames, prot)
    }

    #[inline]
    fn large_pages(&self) -> usize {
        leaves::<F>()
    }

    fn enter_large(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<bool, OutOfMemory> {
        self.enter_large_slowly(machine, tables, va, how)
    }

    #[inline]
    fn remove(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
        gone: impl FnMut(Mapping),
    ) -> Debt {
        let guard = self.lock(machine);
        Space::new(self, machine, tables, &guard).remove(range, gone)
    }

    fn protect(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
        prot: Prot,
    ) -> Debt {
        let guard = self.lock(machine);
        Space::new(self, machine, tables, &guard).protect(range, prot)
    }

    fn write_protect_all(&self, machine: &M, tables: &impl TableFrames) -> Debt {
        let guard = self.lock(machine);
        Space::new(self, machine, tables, &guard).write_protect_all()
    }

    #[inline]
    fn query(&self, machine: &M, va: usize) -> Option<Mapping> {
        let guard = self.lock(machine);
        Space::new(self, machine, &(), &guard).query(va)
    }

    #[inline]
    fn harvest(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
        clear: Clear,
        seen: impl FnMut(Mapping),
    ) -> Debt {
        let guard = self.lock(machine);
        Space::new(self, machine, tables, &guard).harvest(range, clear, seen)
    }

    fn counts(&self) -> PmapCounts {
        PmapCounts {
            mapped: self.mapped.load(Relaxed),
            large: self.large.load(Relaxed),
            tables: self.tables.load(Relaxed),
        }
    }

    fn check_invariants(&self, machine: &M, tables: &impl TableFrames) {
        let guard = self.lock(machine);
        Space::new(self, machine, tables, &guard).check();
    }
}
