//! Telling that a range will not be used soon, or asking which of it is used from now on.

use crate::addr::PAGE_SIZE;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;
use crate::pmap::{Clear, Mapping, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

/// So much of a range is gone through with its object locked (arbitrary: what one page table maps).
const SLICE: usize = 512 * PAGE_SIZE;

impl<'v, M: Machine> Map<'v, M> {
    /// Makes the pages that the range has in the page tables the next ones to be replaced, as
    /// `madvise(MADV_COLD)` does, unless they are used again before. Pages that others map too, and wired ones,
    /// stay what they are. Holes are skipped, and then reported as `NotMapped`. Does not block.
    pub fn cool(&self, start: usize, len: usize) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let vm = self.vm;
        let map = self.body.read(vm);
        map.each_part(start..end, |entry, part| {
            let object = entry.object.get().filter(|_| !entry.attributes().wired);
            let Some(object) = object else { return Ok(()) };
            for at in part.clone().step_by(SLICE) {
                let slice = at..part.end.min(at + SLICE);
                let clear = Clear {
                    accessed: true,
                    dirty: false,
                };
                let guard = object.lock(vm);
                let debt = self
                    .body
                    .pmap
                    .harvest(&vm.machine, vm, slice, clear, |seen| vm.cool_mapped(seen));
                vm.pay(debt, &self.body.target().pmap);
                drop(guard);
            }
            Ok(())
        })
    }
}

impl<M: Machine> Vm<M> {
    /// Cools a page that was found mapped, whose object is locked. (The lock of the page tables is held,
    /// under which the policies' may be taken.)
    fn cool_mapped(&self, seen: Mapping) {
        use core::sync::atomic::Ordering::Relaxed;
        if !seen.managed || self.is_zero_frame(seen.frame) {
            return;
        }
        let Some(page) = self.page(seen.frame) else {
            return;
        };
        if page.mapped.load(Relaxed) == 1 {
            self.leaves_next(page);
            self.count(Event::Cool);
        } else if seen.accessed {
            page.touch();
        }
    }
}
