//! Steps that advise, and those that look at memory without touching it.

use std::ops::Range;

use scalvm::{
    Access, FaultError, Map, MapError, PAGE_SIZE, PageInfo, PagePlace, Share, Unfinished, Which,
};

use super::decode;
use super::runner::{Check, Pair, Runner, wrong};
use crate::kit::Hw;
use crate::model::Space;

/// Drops what the objects hold that a range maps shared, as `madvise(MADV_REMOVE)` does. Private memory is passed over;
/// what has no holes ends it with `Protection`. Holes are skipped, and then reported as `NotMapped`.
fn punch(map: &Map<'_, Hw>, range: Range<usize>) -> Result<(), MapError> {
    let (mut at, mut hole) = (range.start, false);
    while at < range.end
        && let Some(region) = map.query(at).filter(|region| region.start < range.end)
    {
        hole |= region.start > at;
        let (from, to) = (region.start.max(at), region.end.min(range.end));
        at = to;
        if region.share == Share::Private {
            continue;
        }
        let (object, offset) = map.object_at(from).ok_or(MapError::NotMapped)?;
        let punched = object.punch(offset, (to - from) as u64);
        punched.map_err(|error| match error {
            FaultError::OutOfMemory => MapError::OutOfMemory,
            _ => MapError::Protection,
        })?;
    }
    if hole || at < range.end {
        Err(MapError::NotMapped)
    } else {
        Ok(())
    }
}

impl Runner<'_> {
    pub(super) fn free(&mut self, args: [u32; 6]) -> Check {
        self.on_range("free", args, |p, at, len| p.real.free(at, len), Space::free)
    }

    /// Pages that are held would be the objects' no more, as after truncation: then there is nothing to do.
    pub(super) fn punch(&mut self, [which, at, len, ..]: [u32; 6]) -> Check {
        if self.holds.iter().any(|held| held.attached) {
            return Ok(());
        }
        let which = self.pick(which);
        let range = (self.rough_address(which, at), decode::length(len));
        let Ok(whole) = self.spaces[which].model.range(range.0, range.1) else {
            return Ok(());
        };
        let punch = |pair: &Pair<'_>, _, _| punch(&pair.real, whole.clone());
        self.at_range("punch", which, range, punch, Space::punch)
    }

    pub(super) fn cool(&mut self, args: [u32; 6]) -> Check {
        if args[3] % 5 == 4 {
            let which = [Which::All, Which::Anonymous, Which::Objects][args[2] as usize % 3];
            self.spaces[self.pick(args[0])].real.forget_uses(which);
            return Ok(());
        }
        self.on_range(
            "cool",
            args,
            |p, at, len| p.real.cool(at, len),
            Space::only_mapped,
        )
    }

    pub(super) fn page_out(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "page-out",
            args,
            |p, at, len| p.real.page_out(at, len).map(|_| ()),
            Space::only_mapped,
        )
    }

    pub(super) fn dump(&mut self, args: [u32; 6]) -> Check {
        let dump = args[3].is_multiple_of(2);
        self.on_range(
            "dump",
            args,
            |p, at, len| p.real.set_dump(at, len, dump),
            |s, at, len| s.set_dump(at, len, dump),
        )
    }

    /// What may be written early is known to the model only where memory can be short.
    pub(super) fn start_sync(&mut self, args: [u32; 6]) -> Check {
        if self.setup.paging.is_none() {
            return Ok(());
        }
        self.on_range(
            "start-sync",
            args,
            |p, at, len| p.real.start_sync(at, len),
            Space::only_mapped,
        )
    }

    pub(super) fn invalidate(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "invalidate",
            args,
            |p, at, len| p.real.invalidate(at, len),
            Space::only_mapped,
        )
    }

    /// Faults a range in for an access, as far as that goes.
    pub(super) fn populate_for(
        &mut self,
        which: usize,
        start: usize,
        pages: usize,
        access: Access,
    ) -> Check {
        let space = &self.spaces[which].model;
        let addresses = (0..pages).map(|page| start + page * PAGE_SIZE);
        // An MMU may allow to read what the map does not.
        let unclear = |addr| {
            let area = space.area(addr);
            area.is_some_and(|(_, area)| !area.attributes.prot.is_empty())
                && space.load(addr, access, 1) == Err(FaultError::Protection)
        };
        if access == Access::Read && addresses.clone().any(unclear) {
            return Ok(());
        }
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: populate {pages} pages at {start:#x} for {access:?}")
        });
        let (mut at, end) = (start, start + pages * PAGE_SIZE);
        let got = self.retry(false, |r| {
            let done = r.spaces[which].real.populate_for(at, end - at, access);
            done.inspect_err(|stop| at = stop.at)
        })?;
        let space = &mut self.spaces[which].model;
        let stop = |at, error| Unfinished { at, error };
        let must = match space.range(start, pages * PAGE_SIZE) {
            Err(_) => Err(stop(start, FaultError::NoMapping)),
            Ok(_) => addresses.clone().try_for_each(|at| {
                _ = space.grow_down(at);
                let fault = space.fault(at, access);
                fault.map_err(|error| stop(at, error))
            }),
        };
        self.same("populate for an access", got, must)
    }

    /// What is told of pages that are in memory is what the model has, and what the page tables map.
    pub(super) fn inspect(&mut self, [which, at, count, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let start = self.address(which, at);
        let mut pages = vec![PageInfo::default(); 1 + count as usize % 80];
        let told = self.spaces[which].real.inspect(start, &mut pages);
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: inspect {start:#x}: {told} pages")
        });
        let pair = &self.spaces[which];
        if pair.model.area(start).is_none() {
            return self.same("pages told of where there are none", told, 0);
        }
        let end = start + told * PAGE_SIZE;
        if told == 0 || !pair.model.is_full(&(start..end)) {
            return wrong(format!("{told} pages told of at {start:#x}"));
        }
        for (i, info) in pages[..told].iter().enumerate() {
            let at = start + i * PAGE_SIZE;
            let mapping = self.kit.mapping(pair.real.pmap(), at);
            self.same("mapped", info.mapped, mapping.is_some())?;
            let (begin, area) = pair.model.area(at).expect("it is full");
            self.same("a guard", info.guarded, area.attributes.guarded)?;
            let protected = area.attributes.write_protected;
            self.same("protection", info.write_protected, protected)?;
            let page = crate::model::pages(at - begin);
            if info.own && area.layer.is_none() {
                return wrong(format!("{at:#x} has a page of its own: {info:?}"));
            }
            let PagePlace::Memory(frame) = info.place else {
                continue;
            };
            if let Some(mapping) = mapping {
                self.same("the frame that is mapped", mapping.frame, frame)?;
            }
            if self.forbid_device(which, at).is_err() {
                continue;
            }
            let bytes = self.kit.bytes(frame);
            area.found(page, 0, bytes.as_slice());
            match area.page(page) {
                Some(must) if must == bytes => {}
                // Beyond the end of an object, or as it is: a page that could not be cut off yet.
                None => {}
                Some(_) => return wrong(format!("{at:#x} holds other bytes: {info:?}")),
            }
        }
        Ok(())
    }

    /// How a step faults a range in.
    pub(super) fn access_to_populate(how: u32) -> Option<Access> {
        match how % 3 {
            0 => None,
            _ => Some(decode::access(how - 1)),
        }
    }
}
