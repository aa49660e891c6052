//! After each step: does the manager have what the model has?

use std::collections::HashMap;
use std::rc::Rc;

use scalvm::{Frame, Mapping, PAGE_SIZE, Prot, Region, Share};

use super::runner::{Check, Pair, Runner, wrong};
use crate::kit::FILE_PAGES;
use crate::model::{Area, pages, push_run};

/// Larger areas are not looked through page by page.
const LARGE: u64 = 1024;

/// Whose page a frame is, as the model sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owner {
    /// Nobody's: zeros.
    Zero,
    /// A private mapping's own, by its layer and number.
    Own(usize, u64),
    /// An object's, by its number there.
    Object(usize, u64),
}

/// The frames that are mapped, and the pages they are.
#[derive(Default)]
struct Frames {
    owners: HashMap<Frame, Owner>,
    frames: HashMap<Owner, Frame>,
    /// Where a frame is mapped writable, and a second page that it is.
    writable: HashMap<Frame, usize>,
    several: HashMap<Frame, Owner>,
}

impl Runner<'_> {
    /// Has each structure check itself.
    pub(super) fn check_invariants(&self) {
        self.kit.vm().check_invariants();
        self.spaces
            .iter()
            .for_each(|pair| pair.real.check_invariants());
    }

    /// Compares all that can be seen without touching it.
    pub(super) fn compare(&self) -> Check {
        self.check_invariants();
        let mut frames = Frames::default();
        for pair in &self.spaces {
            self.compare_regions(pair)?;
            self.compare_mappings(pair, &mut frames)?;
            self.kit.check_translations(pair.real.pmap());
        }
        for (frame, owner) in &frames.several {
            if let Some(addr) = frames.writable.get(frame) {
                let other = frames.owners[frame];
                return wrong(format!(
                    "{frame:?} is writable at {addr:#x}, but is {owner:?} and {other:?}"
                ));
            }
        }
        let promised: u64 = self
            .spaces
            .iter()
            .map(|pair| pair.real.usage().promised_pages)
            .sum();
        if promised > self.kit.vm().stats().committed {
            return wrong("more is promised than is counted");
        }
        self.compare_loans()?;
        self.compare_swaps()?;
        for open in &self.objects {
            self.same("size", open.real.size(), open.model.borrow().size())?;
        }
        Ok(())
    }

    /// Compares what is mapped where, and how.
    pub(super) fn compare_regions(&self, pair: &Pair<'_>) -> Check {
        let mut regions: Vec<Region> = Vec::new();
        let (mut at, mut entries, mut bytes, mut wired) = (0, 0, 0, 0);
        while let Some(region) = pair.real.query(at) {
            if region.start >= region.end || region.end <= at || region.start < at {
                return wrong(format!("query({at:#x}) tells of {region:x?}"));
            }
            if let Some(area) = pair.model.areas.get(&region.start)
                && let Some((object, _)) = &area.source
                && object.borrow().id.get().is_none()
            {
                object.borrow().id.set(region.object_id);
            }
            at = region.end;
            entries += 1;
            bytes += (region.end - region.start) as u64;
            wired += if region.wired {
                (region.end - region.start) as u64
            } else {
                0
            };
            push_run(&mut regions, region);
        }
        self.same("regions", regions, pair.model.regions())?;
        let usage = pair.real.usage();
        self.same(
            "usage",
            (usage.entries, usage.mapped_bytes, usage.wired_bytes),
            (entries, bytes, wired),
        )
    }

    fn compare_mappings(&self, pair: &Pair<'_>, frames: &mut Frames) -> Check {
        let mut found = 0;
        let mut all = true;
        for (&start, area) in &pair.model.areas {
            let count = pages(area.end - start);
            all &= count < LARGE;
            for page in 0..count.min(LARGE) {
                let va = start + page as usize * PAGE_SIZE;
                if let Some(mapping) = self.kit.mapping(pair.real.pmap(), va) {
                    found += 1;
                    self.compare_mapping(area, page, mapping, frames)
                        .or_else(|text| {
                            wrong(format!("map {}, {va:#x}: {}", pair.serial, text.0))
                        })?;
                }
            }
        }
        let usage = pair.real.usage();
        if all && usage.resident_pages != found {
            let is = usage.resident_pages;
            return wrong(format!(
                "map {}: {is} pages are mapped, but {found} are found",
                pair.serial
            ));
        }
        Ok(())
    }

    fn compare_mapping(&self, area: &Area, page: u64, is: Mapping, frames: &mut Frames) -> Check {
        let bytes = self.kit.bytes(is.frame);
        area.found(page, 0, bytes.as_slice());
        let Some(must) = area.page(page) else {
            return wrong("mapped beyond the end of its object");
        };
        let prot = area.attributes.allowed();
        let implied = if prot.is_empty() {
            prot
        } else {
            prot | Prot::READ
        };
        if !implied.contains(is.prot) {
            return wrong(format!(
                "mapped with {:?}, but only {prot:?} are granted",
                is.prot
            ));
        }
        if bytes != must {
            return wrong(format!("{:?} is mapped, which has other bytes", is.frame));
        }
        let writable = is.prot.contains(Prot::WRITE);
        if writable && self.has_rows && area.source.is_none() && area.own(page).is_none() {
            // It came with what was stored to beside it; from now on it is as if it had been stored to itself.
            area.make_own(page);
        }
        let owner = match (&area.layer, &area.source) {
            (Some((layer, first)), _) if area.own(page).is_some() => {
                Owner::Own(Rc::as_ptr(layer) as usize, first + page)
            }
            (_, Some((object, first))) => Owner::Object(Rc::as_ptr(object) as usize, first + page),
            _ => Owner::Zero,
        };
        if writable && area.attributes.share == Share::Private && !matches!(owner, Owner::Own(..)) {
            return wrong("writable, though the private mapping has no copy of its own");
        }
        if owner != Owner::Zero && *frames.frames.entry(owner).or_insert(is.frame) != is.frame {
            let other = frames.frames[&owner];
            return wrong(format!(
                "{:?} and {other:?} are mapped for the same page, {owner:?}",
                is.frame
            ));
        }
        if *frames.owners.entry(is.frame).or_insert(owner) != owner {
            frames.several.insert(is.frame, owner);
        }
        if writable {
            frames.writable.insert(is.frame, is.va);
        }
        Ok(())
    }

    /// Compares what the disk holds.
    pub(super) fn compare_disk(&self) -> Check {
        for (number, file) in self.files.iter().enumerate() {
            for index in 0..FILE_PAGES {
                let (mut is, file) = (self.kit.disk_page(number, index), file.borrow());
                let begin = index * PAGE_SIZE as u64;
                if file.size < begin + PAGE_SIZE as u64 {
                    is.clear_from(file.size.saturating_sub(begin) as usize);
                }
                if !file.may_hold(index, &is) {
                    return wrong(format!(
                        "page {index} of file {number} has other bytes on the disk"
                    ));
                }
            }
        }
        Ok(())
    }
}
