//! The beginning and the end of a space.

use core::sync::atomic::Ordering::Relaxed;

use scalvm::{Frame, Machine, OutOfMemory, TableFrames};

use crate::format::Format;
use crate::machine::TableMachine;
use crate::radix::RadixPmap;
use crate::table::{ENTRIES, Table};

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

    /// Frees all tables. Nothing is left of the space after that.
    pub(crate) fn free_all<M: Machine>(&mut self, machine: &M, tables: &impl TableFrames) {
        if self.root.is_some() {
            // SAFETY: the root is a table until it is freed below, and there is nobody else.
            let root = unsafe { Table::at(machine, self.root) };
            Self::free_table(machine, tables, root, F::LEVELS - 1);
            self.root = Frame::NONE;
            *self.mapped.get_mut() = 0;
            *self.tables.get_mut() = 0;
        }
    }

    /// Frees a table that no processor can reach, after those below it. Recursion is as deep as
    /// there are levels.
    fn free_table<M: Machine>(machine: &M, tables: &impl TableFrames, table: Table, level: usize) {
        let word = tables.word(table.frame).swap(0, Relaxed);
        if level > 0 {
            table.for_each(word, 0..ENTRIES, |_, link| {
                // SAFETY: a link of a space that is all ours leads to a table.
                let below = unsafe { Table::at(machine, F::frame(link)) };
                Self::free_table(machine, tables, below, level - 1);
            });
        }
        tables.free(table.frame);
    }
}
