//! Telling that a range will not be used soon, or asking which of it is used from now on.

use crate::error::MapError;
use crate::machine::Machine;
use crate::map::Map;
use crate::map::tree::Tree;
use crate::page::TOUCHED;
use crate::pmap::{Clear, Mapping, Pmap};
use crate::request::Share;
use crate::stats::Event;
use crate::vm::Vm;

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
            let clear = Clear {
                accessed: true,
                dirty: false,
            };
            let _object = object.lock(vm);
            let pmap = &self.body.target().pmap;
            let debt = pmap.harvest(&vm.machine, vm, part, clear, |seen| vm.cool_mapped(seen));
            vm.pay(debt, pmap);
            Ok(())
        })
    }
}

/// Which memory is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// All of it.
    All,
    /// What maps no object but private anonymous memory.
    Anonymous,
    /// What maps an object, shared anonymous memory among them.
    Objects,
}

impl<M: Machine> Map<'_, M> {
    /// Forgets which pages were used, so that those show that are used from now on ([`PageInfo::accessed`]): what
    /// Linux's `clear_refs` asks for. The replacement policies take them for unused as well. Does not block.
    ///
    /// [`PageInfo::accessed`]: crate::PageInfo::accessed
    pub fn forget_uses(&self, which: Which) {
        let vm = self.vm;
        let map = self.body.read(vm);
        let mut next = map.map.tree.first();
        while let Some(entry) = next {
            next = Tree::next(entry);
            let object = entry.object.get();
            let anonymous = object.is_none_or(|object| object.private && object.under.is_none())
                && entry.attributes().share == Share::Private;
            let meant = match which {
                Which::All => true,
                Which::Anonymous => anonymous,
                Which::Objects => !anonymous,
            };
            let Some(object) = object.filter(|_| meant) else {
                continue;
            };
            let clear = Clear {
                accessed: true,
                dirty: false,
            };
            let _object = object.lock(vm);
            let (pmap, range) = (&self.body.target().pmap, entry.start.get()..entry.end.get());
            let debt = pmap.harvest(&vm.machine, vm, range, clear, |seen| {
                if let Some(page) = vm.page_of(&seen) {
                    page.clear_flags(TOUCHED);
                }
            });
            vm.pay(debt, pmap);
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Cools a page that was found mapped, whose object is locked. (The lock of the page tables is held,
    /// under which the policies' may be taken.)
    fn cool_mapped(&self, seen: Mapping) {
        use core::sync::atomic::Ordering::Relaxed;
        let Some(page) = self.page_of(&seen) else {
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
