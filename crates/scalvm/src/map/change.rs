//! Changing the attributes of a range: rights, inheritance, advice, wiring.

use crate::addr::{PAGE_SHIFT, Prot};
use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map, MapEntry, MapWrite};
use crate::pmap::Pmap;
use crate::request::{Advice, Inherit};
use crate::vm::Vm;

impl<'v, M: Machine> Map<'v, M> {
    /// Sets the rights of a range, all of which must be mapped and allow them. What is wired and
    /// becomes accessible is brought in by [`bring_wired`](Map::bring_wired).
    pub fn protect(&self, start: usize, len: usize, prot: Prot) -> Result<(), MapError> {
        self.change(
            start,
            len,
            |old| {
                if old.sealed {
                    return Err(MapError::Sealed);
                }
                if !old.max_prot.contains(prot) {
                    return Err(MapError::Protection);
                }
                self.body.rules.may_have(old.prot, prot)
            },
            |old| Attributes { prot, ..old }.promise(),
        )
    }

    /// Sets what a child gets of a range, as minherit(2) does.
    pub fn inherit(&self, start: usize, len: usize, inherit: Inherit) -> Result<(), MapError> {
        self.change(start, len, |_| Ok(()), |old| Attributes { inherit, ..old })
    }

    /// Says how a range will be used.
    pub fn advise(&self, start: usize, len: usize, advice: Advice) -> Result<(), MapError> {
        self.change(start, len, |_| Ok(()), |old| Attributes { advice, ..old })
    }

    /// Says whether a range is to be written where the memory of a program is dumped.
    pub fn set_dump(&self, start: usize, len: usize, dump: bool) -> Result<(), MapError> {
        let no_dump = !dump;
        self.change(start, len, |_| Ok(()), |old| Attributes { no_dump, ..old })
    }

    /// Changes the attributes of all entries of a range, which has no holes. All is checked and set
    /// aside before anything is changed.
    pub(super) fn change(
        &self,
        start: usize,
        len: usize,
        check: impl Fn(Attributes) -> Result<(), MapError>,
        new: impl Fn(Attributes) -> Attributes,
    ) -> Result<(), MapError> {
        self.change_if(start, len, |_, _, _| Ok(()), check, new)
    }

    /// The same, where the range as a whole is checked too, once it is known to have no holes.
    pub(super) fn change_if(
        &self,
        start: usize,
        len: usize,
        check_all: impl Fn(&MapWrite<'_, M>, usize, usize) -> Result<(), MapError>,
        check: impl Fn(Attributes) -> Result<(), MapError>,
        new: impl Fn(Attributes) -> Attributes,
    ) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let map = self.body.write(self.vm);
        let (mut promised, mut data) = (0, 0);
        map.for_each(start, end, |entry| {
            let old = entry.attributes();
            check(old)?;
            let (new, pages) = (new(old), entry.pages_within(start, end));
            if new.promised && !old.promised {
                promised += pages;
            }
            if new.is_data() && !old.is_data() {
                data += (pages as usize) << PAGE_SHIFT;
            }
            Ok(())
        })?;
        check_all(&map, start, end)?;
        map.map.may_add_data(data)?;
        self.vm.promise(promised, 0)?;
        let spares = map.reserve_clips(self.vm, start, end);
        let spares = spares.inspect_err(|_| self.vm.take_back(promised))?;
        map.clip(self.vm, start, end, spares);
        map.for_each(start, end, |entry| {
            let old = entry.attributes();
            let new = new(old);
            map.set_attributes(entry, new);
            self.vm.lower(&map, entry, old.allowed(), new.allowed());
            Ok(())
        })?;
        map.join_range(self.vm, start, end);
        Ok(())
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Calls `f` for the entries of a range until one fails; a hole is `NotMapped`.
    pub(super) fn for_each(
        &self,
        start: usize,
        end: usize,
        mut f: impl FnMut(Ptr<MapEntry<M>>) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        let mut at = start;
        let mut next = self.map.tree.find(start);
        while at < end {
            let entry = next.ok_or(MapError::NotMapped)?;
            if entry.start.get() > at {
                return Err(MapError::NotMapped);
            }
            f(entry)?;
            at = entry.end.get();
            next = Tree::next(entry);
        }
        Ok(())
    }
}

impl<M: Machine> Vm<M> {
    /// Takes from the page tables of an entry the rights that it has lost.
    pub(super) fn lower(
        &self,
        map: &MapWrite<'_, M>,
        entry: Ptr<MapEntry<M>>,
        old: Prot,
        prot: Prot,
    ) {
        if prot.contains(old) {
            return;
        }
        let range = entry.start.get()..entry.end.get();
        if prot.is_empty() {
            map.unmap_pages(self, range);
        } else {
            let debt = map.map.pmap.protect(&self.machine, self, range, prot);
            self.pay(debt, &map.map.target().pmap);
        }
    }
}
