//! Keeping a range in memory.
//!
//! Wired is an attribute of entries, not of pages: what such an entry maps is not trimmed, and the page
//! daemon lets it stay. So a write that replaces a page by a copy keeps the copy, a child that is
//! forked has nothing wired, and a page that was truncated away is simply not there.

use core::cell::Cell;

use crate::addr::{PAGE_SHIFT, PAGE_SIZE};
use crate::error::{FaultError, MapError};
use crate::fault::WatchedFault;
use crate::machine::Machine;
use crate::map::populate::touch;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map};
use crate::request::Wire;

impl<'v, M: Machine> Map<'v, M> {
    /// Brings in what the wired entries of a range lack, but for those that are wired on fault: after a
    /// mapping was made, grew, moved or got more rights. Goes on where a page cannot be brought, and tells
    /// the first error; but ends where memory has run out. Blocks for I/O.
    pub fn bring_wired(&self, start: usize, len: usize) -> Result<(), FaultError> {
        let end = self.range(start, len).map_err(|_| FaultError::NoMapping)?;
        if self.body.wired.get() == 0 {
            return Ok(());
        }
        self.meet_holders(start, end);
        let (mut at, mut result) = (start, Ok(()));
        while let Some(region) = self.query(at).filter(|region| region.start < end) {
            at = region.end;
            if !region.wired || region.on_fault {
                continue;
            }
            if let Some(access) = touch(&region) {
                let (from, to) = (region.start.max(start), region.end.min(end));
                for page in (from..to).step_by(PAGE_SIZE) {
                    match self.touch_page(page, access).map(drop) {
                        // Each of those behind it would search for room as well, in vain.
                        Err(FaultError::OutOfMemory) => return Err(FaultError::OutOfMemory),
                        brought => result = result.and(brought),
                    }
                }
            }
        }
        result
    }

    /// Brings a range in and marks it wired, as mlock(2) does; a range without access waits for its
    /// pages until [`bring_wired`](Map::bring_wired). If a page cannot be brought, what was wired before
    /// is, and what was not is not. (Only where calls meet on one range may what one of them began stay
    /// wired though both fail.) Blocks for I/O.
    pub fn wire(&self, start: usize, len: usize) -> Result<(), MapError> {
        self.wire_served(start, len, |_| false)
    }

    /// The same, where `serve` waits, with no lock held, until whoever watches a page has served it, and tells
    /// whether that was done. The range stays marked meanwhile: where memory is short, what has been served would leave
    /// again and again if [`wire`](Map::wire) were called anew for each page.
    pub fn wire_served(
        &self,
        start: usize,
        len: usize,
        mut serve: impl FnMut(WatchedFault) -> bool,
    ) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let mut at = start;
        while at < end {
            let region = self.query(at).filter(|region| region.start <= at);
            at = region.ok_or(MapError::NotMapped)?.end;
        }
        self.may_wire(start, end)?;
        self.bring(start, end, &mut serve)?;
        self.mark_wired(start, len, |old| Attributes {
            wired: true,
            // What another call has begun is this one's too.
            unsettled: !old.wired || old.on_fault && !old.unsettled,
            on_fault: old.on_fault && !old.unsettled,
            ..old
        })?;
        // What has left between the two stays out no longer: it is wired now.
        self.meet_holders(start, end);
        let result = self.bring(start, end, &mut serve);
        self.settle(start, end, result.is_ok());
        result
    }

    /// Populates a range, and has served what is watched.
    fn bring(
        &self,
        start: usize,
        end: usize,
        serve: &mut impl FnMut(WatchedFault) -> bool,
    ) -> Result<(), MapError> {
        let mut at = start;
        while let Err(stop) = self.populate(at, end - at) {
            at = stop.at;
            match stop.error {
                FaultError::Watched(watched) if serve(watched) => {}
                FaultError::Watched(watched) => return Err(MapError::Watched(watched)),
                FaultError::BeyondEnd => return Err(MapError::BeyondEnd),
                FaultError::Pager(error) => return Err(MapError::Pager(error)),
                FaultError::NoMapping | FaultError::Protection => return Err(MapError::NotMapped),
                FaultError::OutOfMemory => return Err(MapError::OutOfMemory),
                FaultError::Poisoned => return Err(MapError::Poisoned),
            }
        }
        Ok(())
    }

    /// Marks a range wired, of which pages are brought in when they are touched first, and stay. What
    /// is wired already and brought in stays so too, but new pages of it come on a fault.
    pub fn wire_on_fault(&self, start: usize, len: usize) -> Result<(), MapError> {
        self.mark_wired(start, len, |old| Attributes {
            wired: true,
            on_fault: true,
            unsettled: false,
            ..old
        })
    }

    /// Marks all that is mapped wired. Brings nothing in: with [`Wire::Now`],
    /// [`bring_wired`](Map::bring_wired) has to follow. Fails where that exceeds the limit, and then has
    /// changed nothing.
    pub fn wire_all(&self, how: Wire) -> Result<(), MapError> {
        let map = self.body.write(self.vm);
        map.map
            .may_wire(map.map.bytes.get() - map.map.wired.get())?;
        map.set_all(self.vm, |old| Attributes {
            wired: true,
            on_fault: how == Wire::OnFault,
            unsettled: false,
            ..old
        });
        Ok(())
    }

    /// Takes the marks back, however often the range was wired.
    pub fn unwire(&self, start: usize, len: usize) -> Result<(), MapError> {
        let some = Cell::new(false);
        let unwire = |old: Attributes| {
            some.set(some.get() || old.wired);
            old.unwired()
        };
        self.change(start, len, |_| Ok(()), unwire)?;
        if some.get() {
            self.vm.unwired(len >> PAGE_SHIFT);
        }
        Ok(())
    }

    /// Takes all marks back.
    pub fn unwire_all(&self) {
        let map = self.body.write(self.vm);
        let pages = map.map.wired.get() >> PAGE_SHIFT;
        map.set_all(self.vm, Attributes::unwired);
        drop(map);
        self.vm.unwired(pages);
    }

    /// Whether what a range has that is not wired yet may be.
    fn may_wire(&self, start: usize, end: usize) -> Result<(), MapError> {
        let map = self.body.write(self.vm);
        map.map.may_wire(map.bytes_to_wire(start, end))
    }

    fn mark_wired(
        &self,
        start: usize,
        len: usize,
        new: impl Fn(Attributes) -> Attributes,
    ) -> Result<(), MapError> {
        self.change_if(
            start,
            len,
            |map, start, end| map.map.may_wire(map.bytes_to_wire(start, end)),
            |_| Ok(()),
            new,
        )
    }

    /// Locks each object of a range for a moment: the page daemon, which found an entry not wired just
    /// before, has by then unmapped what it was about to.
    fn meet_holders(&self, start: usize, end: usize) {
        let map = self.body.read(self.vm);
        let mut next = map.map.tree.at_or_above(start);
        while let Some(entry) = next.filter(|entry| entry.start.get() < end) {
            next = Tree::next(entry);
            if let Some(object) = entry.object.get() {
                drop(object.lock(self.vm));
                if let Some(under) = object.under {
                    drop(under.lock(self.vm));
                }
            }
        }
    }

    /// Ends a call that has marked a range: what it marked is wired now, or is as it was before.
    fn settle(&self, start: usize, end: usize, wired: bool) {
        let map = self.body.write(self.vm);
        let mut next = map.map.tree.at_or_above(start);
        while let Some(entry) = next.filter(|entry| entry.start.get() < end) {
            next = Tree::next(entry);
            let old = entry.attributes();
            if old.unsettled {
                map.set_attributes(
                    entry,
                    Attributes {
                        // What was wired on fault before is so again.
                        wired: wired || old.on_fault,
                        on_fault: old.on_fault && !wired,
                        unsettled: false,
                        ..old
                    },
                );
            }
        }
        map.join_range(self.vm, start, end);
        drop(map);
        if !wired {
            self.vm.unwired((end - start) >> PAGE_SHIFT);
        }
    }
}

impl Attributes {
    /// The same, not wired.
    pub fn unwired(self) -> Attributes {
        Attributes {
            wired: false,
            on_fault: false,
            unsettled: false,
            ..self
        }
    }
}

impl<M: Machine> crate::map::MapWrite<'_, M> {
    /// Bytes of a range that are mapped and not wired.
    fn bytes_to_wire(&self, start: usize, end: usize) -> usize {
        self.bytes_like(start, end, |attributes| !attributes.wired)
    }

    /// Changes the attributes of all entries in a way that needs no memory.
    fn set_all(&self, vm: &crate::vm::Vm<M>, new: impl Fn(Attributes) -> Attributes) {
        let mut next = self.map.tree.first();
        while let Some(entry) = next {
            next = Tree::next(entry);
            self.set_attributes(entry, new(entry.attributes()));
        }
        self.join_range(vm, self.map.low, self.map.high);
    }
}
