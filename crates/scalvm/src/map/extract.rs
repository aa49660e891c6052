//! Extraction: entries of a range shared with, copied for, or moved to another address space.
//!
//! | | private | shared |
//! |---|---|---|
//! | share | both map the same private object, made first if there is none | both map the object |
//! | copy | an object with the same pages, to be copied when written | anonymous: the same; else a private mapping; a device is shared |
//! | move | the entry goes, with an object that has its pages alone | the entry goes |
//!
//! These are fork's rules (`fork.rs`), for a range and by word instead of by inheritance.

use crate::addr::Prot;
use crate::error::MapError;
use crate::fork::Copies;
use crate::machine::Machine;
use crate::map::{Extract, Map, MapWrite, Passing};
use crate::pmap::Pmap;
use crate::request::Inherit;
use crate::stats::Event;
use crate::vm::Vm;

impl<'v, M: Machine> Map<'v, M> {
    /// Takes the entries of a range, which has no holes, as `how` says, to be [`put`](Map::put) elsewhere.
    /// Rights, advice and inheritance go with them; wiring and watchers do not, and what moves loses them. What
    /// they promise is promised at once. On failure nothing has changed: `NotMapped` for a hole, `NotPromised`,
    /// `Sealed` for what cannot move, `OutOfMemory`.
    ///
    /// With [`Extract::Copy`] this is also how pages are lent to another address space: nothing is copied
    /// before one side writes.
    pub fn extract(
        &self,
        start: usize,
        len: usize,
        how: Extract,
    ) -> Result<Passing<'v, M>, MapError> {
        let vm = self.vm;
        let end = self.range(start, len)?;
        let passing = Passing::new(vm, start..end)?;
        let map = self.body.write(vm);
        map.for_each(start, end, |_| Ok(()))?;
        if how == Extract::Move {
            map.map.unsealed(start, end)?;
        }
        let spares = map.reserve_clips(vm, start, end)?;
        map.clip(vm, start, end, spares);
        let give = |entry, inherit| {
            let to = passing.map.body;
            vm.give_entry(&map, entry, to, inherit, None, Copies::Apart)
        };
        let result = map.for_each(start, end, |entry| match how {
            Extract::Share => {
                vm.separate(entry)?;
                give(entry, Inherit::Share)
            }
            Extract::Copy => give(entry, Inherit::Copy),
            Extract::Move => Ok(vm.separate(entry)?),
        });
        match how {
            Extract::Copy => vm.protect_range(&map, start, end),
            Extract::Move if result.is_ok() => map.move_out(vm, start, end, &passing),
            _ => {}
        }
        map.join_range(vm, start, end);
        drop(map);
        result.map(|()| passing)
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Moves the entries of a range, whose ends none crosses, into a list.
    fn move_out(&self, vm: &Vm<M>, start: usize, end: usize, to: &Passing<'_, M>) {
        self.unmap_pages(vm, start..end);
        let mut unwired = 0;
        while let Some(entry) = self
            .map
            .tree
            .at_or_above(start)
            .filter(|e| e.start.get() < end)
        {
            let old = entry.attributes();
            if old.wired {
                unwired += entry.pages();
            }
            self.set_attributes(entry, old.unwired().unwatched());
            self.map.tree.remove(entry);
            to.map
                .body
                .take_over(vm, self.map, entry, entry.start.get());
            vm.count(Event::Extract);
        }
        vm.unwired(unwired);
    }
}

impl<M: Machine> Vm<M> {
    /// Takes the right to write from a range, of which copies were made.
    fn protect_range(&self, map: &MapWrite<'_, M>, start: usize, end: usize) {
        let pmap = &map.map.pmap;
        let debt = pmap.protect(&self.machine, self, start..end, Prot::RX);
        self.pay(debt, &map.map.target().pmap);
    }
}
