//! The invariants at the head of the crate, checked. For tests.

use core::sync::atomic::Ordering::Relaxed;

use scalvm::{PmapCounts, TableFrames};

use crate::format::Format;
use crate::machine::TableMachine;
use crate::space::Space;
use crate::table::{ENTRIES, Table, entries, leaves, line_of};

impl<F: Format, M: TableMachine, T: TableFrames> Space<'_, F, M, T> {
    /// Panics where an invariant does not hold.
    pub fn check(self) {
        let mut found = PmapCounts::default();
        let root = self.root();
        let mut all_large = 0;
        self.check_table(root, F::LEVELS - 1, &mut found, &mut all_large);
        let aside = self.aside();
        assert_eq!(aside, all_large, "tables set aside for large leaves");
        found.tables += aside;
        assert_eq!(
            found.large,
            self.pmap.large.load(Relaxed),
            "count of large leaves"
        );
        assert_eq!(
            found.mapped,
            self.pmap.mapped.load(Relaxed),
            "count of pages mapped"
        );
        assert_eq!(
            found.tables,
            self.pmap.tables.load(Relaxed),
            "count of tables"
        );
        if let Some(kernel) = self.machine.kernel_root()
            && !self.pmap.is_kernel()
        {
            // SAFETY: duty 1 of TableMachine: a root table.
            let kernel = unsafe { Table::at(self.machine, kernel) };
            for index in F::USER_ENTRIES..ENTRIES {
                let (ours, theirs) = (root.load(index), kernel.load(index));
                assert_eq!(
                    F::frame(ours),
                    F::frame(theirs),
                    "kernel entry {index} of the root"
                );
            }
        }
    }

    /// Counts what there is below a table, and large leaves of whatever memory.
    fn check_table(
        self,
        table: Table,
        level: usize,
        found: &mut PmapCounts,
        all_large: &mut usize,
    ) {
        let is_root = level == F::LEVELS - 1;
        let kernel = self.pmap.is_kernel();
        // The kernel's root is not the manager's.
        found.tables += usize::from(!is_root || !kernel);
        let entries = if is_root {
            self.pmap.window()
        } else {
            0..entries::<F>(level)
        };
        let mut lines = 0;
        for index in entries {
            let entry = table.load(index);
            if entry == 0 {
                continue;
            }
            lines |= line_of(index);
            let shared = is_root && kernel;
            assert!(
                F::is_valid(entry, level) || shared && entry == F::kernel_link(F::frame(entry)),
                "entry {index} of the table in {:?}, level {level}: {entry:#x}",
                table.frame
            );
            if level == 0 {
                found.mapped += 1;
            } else if level == 1 && F::is_large(entry) {
                found.mapped += leaves::<F>();
                found.large += usize::from(F::managed(F::small(entry, 0)));
                *all_large += 1;
            } else {
                self.check_table(self.below(entry), level - 1, found, all_large);
            }
        }
        let word = self.word(table, level).load(Relaxed);
        assert_eq!(
            word, lines,
            "lines in use of the table in {:?}, level {level}",
            table.frame
        );
        assert!(
            is_root || lines != 0 || kernel && level == F::LEVELS - 2,
            "the table in {:?}, level {level}, is empty",
            table.frame
        );
    }
}
