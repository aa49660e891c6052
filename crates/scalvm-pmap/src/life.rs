//! The beginning and the end of a space.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use scalvm::{CpuSet, Frame, Machine, OutOfMemory, TableFrames};

use crate::format::Format;
use crate::machine::TableMachine;
use crate::radix::RadixPmap;
use crate::table::{ENTRIES, Table, line_of, shift};

impl<F: Format> RadixPmap<F> {
    /// A space that has the machine's kernel half and nothing else.
    pub(crate) fn make<M: TableMachine>(
        machine: &M,
        tables: &impl TableFrames,
    ) -> Result<Self, OutOfMemory> {
        let root = tables.alloc().ok_or(OutOfMemory)?;
        if let Some(kernel) = machine.kernel_root() {
            let (from, to) = (machine.frame_ptr(kernel), machine.frame_ptr(root));
            // SAFETY: both are root tables, the new one nobody else knows yet. The kernel half does
            // not change (duty 1 of TableMachine), but for bits about its use, set by the MMU.
            unsafe {
                let from = from.cast::<u64>().add(F::USER_ENTRIES);
                let to = to.cast::<u64>().add(F::USER_ENTRIES);
                core::ptr::copy_nonoverlapping(from, to, ENTRIES - F::USER_ENTRIES);
            }
        }
        Ok(RadixPmap::with_root(root))
    }

    /// The kernel's own space, for these addresses. The tables that the root's entries for them
    /// lead to are made now, or were when this was called before.
    pub(crate) fn make_kernel<M: TableMachine>(
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
    ) -> Result<Self, OutOfMemory> {
        const { assert!(2 * F::USER_ENTRIES == ENTRIES, "both halves are alike") }
        let root = machine.kernel_root().ok_or(OutOfMemory)?;
        // In the upper half all bits are set above those that tables look at, and the highest of those.
        let is_kernel = |va: usize| va.cast_signed() >> (shift::<F>(F::LEVELS) - 1) == -1;
        if range.is_empty() || !is_kernel(range.start) || !is_kernel(range.end - 1) {
            return Err(OutOfMemory);
        }
        let mut pmap = RadixPmap::with_root(root);
        pmap.half = F::USER_ENTRIES;
        pmap.kernel = range;
        // SAFETY: a root table, of which all entries but those for the range stay as they are.
        let table = unsafe { Table::at(machine, root).from(F::USER_ENTRIES) };
        let mut lines = 0;
        for index in pmap.window() {
            if table.load(index) == 0 {
                let below = tables.alloc().ok_or(OutOfMemory)?;
                table.fill(index, F::kernel_link(below));
            }
            lines |= line_of(index);
        }
        *pmap.lines.get_mut() = lines;
        *pmap.cpus.get_mut() = CpuSet::MAX;
        *pmap.tables.get_mut() = pmap.window().len();
        Ok(pmap)
    }

    /// Frees all tables. Nothing is left of the space after that.
    pub(crate) fn free_all<M: Machine>(&mut self, machine: &M, tables: &impl TableFrames) {
        if self.root.is_some() {
            // SAFETY: the root is a table until it is freed below, and there is nobody else.
            let root = unsafe { Table::at(machine, self.root) };
            tables.word(self.root).store(*self.lines.get_mut(), Relaxed);
            Self::free_table(machine, tables, root, F::LEVELS - 1);
            self.root = Frame::NONE;
            while let Some(frame) = self.take_aside(tables) {
                tables.free(frame);
            }
            *self.mapped.get_mut() = 0;
            *self.large.get_mut() = 0;
            *self.tables.get_mut() = 0;
        }
    }

    /// Frees a table that no processor can reach, after those below it. Recursion is as deep as
    /// there are levels.
    fn free_table<M: Machine>(machine: &M, tables: &impl TableFrames, table: Table, level: usize) {
        let word = tables.word(table.frame).swap(0, Relaxed);
        if level > 0 {
            table.for_each(word, 0..ENTRIES, |_, link| {
                if level == 1 && F::is_large(link) {
                    return;
                }
                // SAFETY: a link of a space that is all ours leads to a table.
                let below = unsafe { Table::at(machine, F::frame(link)) };
                Self::free_table(machine, tables, below, level - 1);
            });
        }
        tables.free(table.frame);
    }
}
