//! What operations on ranges do to a space, and when they are refused. A refused one changes nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use scalvm::{Advice, Extract, Inherit, Large, MapError, Prot, Share, Watch, Wire};

use super::area::{Area, Attributes};
use super::object::{Kind, Object, ObjectRef};
use super::rules::Rules;
use super::space::{Space, pages};

/// A mapping to be made, with its address chosen.
pub struct Mapped {
    /// Where.
    pub start: usize,
    /// Bytes, whole pages.
    pub len: usize,
    /// The rights.
    pub prot: Prot,
    /// The rights that it may be given later.
    pub max_prot: Prot,
    /// What, from which page on; none for anonymous memory.
    pub source: Option<(ObjectRef, u64)>,
    /// Whether writes reach the object.
    pub share: Share,
    /// What a child gets.
    pub inherit: Inherit,
    /// Whether it grows downwards.
    pub grows: bool,
}

impl Space {
    /// Makes a mapping, in the place of what is there.
    pub fn map(&mut self, new: Mapped) {
        let source = match (new.source, new.share) {
            (None, Share::Shared) => Some((Object::new(Kind::Anonymous, 0, new.len as u64), 0)),
            (source, _) => source,
        };
        let is_device = |object: &ObjectRef| matches!(object.borrow().kind, Kind::Device);
        let share = match &source {
            Some((object, _)) if is_device(object) => Share::Shared,
            _ => new.share,
        };
        let end = new.start + new.len;
        self.take(&(new.start..end));
        let area = Area {
            end,
            attributes: Attributes {
                prot: new.prot,
                max_prot: new.max_prot,
                share,
                inherit: new.inherit,
                advice: Advice::Normal,
                large: Large::Unsaid,
                no_dump: false,
                wired: self.rules.future.is_some(),
                on_fault: self.rules.future == Some(Wire::OnFault),
                grows: new.grows,
                sealed: false,
                watch: None,
                write_protected: false,
                poisoned: false,
                guarded: false,
                tag: 0,
            },
            layer: match share {
                Share::Private => Area::empty_layer(),
                Share::Shared => None,
            },
            source,
        };
        self.areas.insert(new.start, area);
    }

    /// Takes mappings away.
    pub fn unmap(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        self.unsealed(&range)?;
        self.take(&range);
        Ok(())
    }

    /// Sets rights. The lowest address that is in the way tells the error.
    pub fn protect(&mut self, start: usize, len: usize, prot: Prot) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        let mut at = range.start;
        while at < range.end {
            let (_, area) = self.area(at).ok_or(MapError::NotMapped)?;
            if area.attributes.sealed {
                return Err(MapError::Sealed);
            }
            if !area.attributes.max_prot.contains(prot) {
                return Err(MapError::Protection);
            }
            self.rules.may_have(area.attributes.prot, prot)?;
            at = area.end;
        }
        let becomes_data =
            |old: &Attributes| Attributes { prot, ..*old }.is_data() && !old.is_data();
        self.may_add_data(self.bytes(&range, becomes_data))?;
        self.within(&range)
            .for_each(|(_, area)| area.attributes.prot = prot);
        Ok(())
    }

    /// Sets what a child gets.
    pub fn inherit(&mut self, start: usize, len: usize, inherit: Inherit) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.inherit = inherit)
    }

    /// Sets how a range is used.
    pub fn advise(&mut self, start: usize, len: usize, advice: Advice) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.advice = advice)
    }

    /// Sets whether large leaves are wanted for a range.
    pub fn advise_large(&mut self, start: usize, len: usize, large: Large) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.large = large)
    }

    /// Sets whether a range is left out of dumps.
    pub fn set_dump(&mut self, start: usize, len: usize, dump: bool) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.no_dump = !dump)
    }

    /// Sets whether a range is wired. (That its pages are there is the runner's to check.)
    pub fn set_wired(
        &mut self,
        start: usize,
        len: usize,
        how: Option<Wire>,
    ) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        if how.is_some() && self.is_full(&range) {
            self.may_wire(self.bytes(&range, |attributes| !attributes.wired))?;
        }
        self.set(start, len, |attributes| {
            attributes.wired = how.is_some();
            attributes.on_fault = how == Some(Wire::OnFault);
        })
    }

    pub(super) fn set(
        &mut self,
        start: usize,
        len: usize,
        change: impl Fn(&mut Attributes),
    ) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        if !self.is_full(&range) {
            return Err(MapError::NotMapped);
        }
        self.within(&range)
            .for_each(|(_, area)| change(&mut area.attributes));
        Ok(())
    }

    /// Forgets what private mappings wrote. Objects keep what they have.
    pub fn discard(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        self.may_discard(&range)?;
        for (start, area) in self.within(&range) {
            area.attributes.poisoned = false;
            area.drop_own(0..pages(area.end - start));
        }
        if self.is_full(&range) {
            Ok(())
        } else {
            Err(MapError::NotMapped)
        }
    }

    /// Forgets what private mappings wrote in a range without holes, and has accesses to it fail.
    pub fn guard(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        self.may_discard(&range)?;
        self.only_mapped(start, len)?;
        self.discard(start, len)?;
        self.set(start, len, |attributes| {
            attributes.guarded = true;
            attributes.poisoned = false;
        })
    }

    /// Has them fail no more.
    pub fn unguard(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.guarded = false)
    }

    /// Notes a number with a range.
    pub fn set_tag(&mut self, start: usize, len: usize, tag: u32) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.tag = tag)
    }

    /// Lets what private memory holds, with nothing underneath, become zeros some day.
    pub fn free(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        self.may_discard(&range)?;
        for (start, area) in self.within(&range) {
            area.attributes.poisoned = false;
            area.give_up(0..pages(area.end - start));
        }
        self.only_mapped(start, len)
    }

    /// Zeroes the anonymous objects that a range maps shared, there.
    pub fn punch(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        for (start, area) in self.within(&range) {
            if let (Share::Shared, Some((object, first))) = (area.attributes.share, &area.source) {
                if !matches!(object.borrow().kind, Kind::Anonymous) || object.borrow().kept {
                    return Err(MapError::Protection);
                }
                object
                    .borrow_mut()
                    .zero(*first..first + pages(area.end - start));
            }
        }
        self.only_mapped(start, len)
    }

    /// What cannot be seen: that a range is mapped is all that matters.
    pub fn only_mapped(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        if self.is_full(&range) {
            Ok(())
        } else {
            Err(MapError::NotMapped)
        }
    }

    /// Writes what is dirty in the files that are mapped shared, up to the first hole.
    pub fn sync(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        let range = self.range(start, len)?;
        let mut at = range.start;
        for (start, area) in self.within(&range) {
            if start != at {
                return Err(MapError::NotMapped);
            }
            at = area.end;
            if let (Share::Shared, Some((object, first))) = (area.attributes.share, &area.source) {
                object
                    .borrow_mut()
                    .sync(*first, first + pages(area.end - start));
            }
        }
        if at == range.end {
            Ok(())
        } else {
            Err(MapError::NotMapped)
        }
    }

    /// Moves the areas of a range, which keep their pages, to another place.
    pub fn shift(&mut self, start: usize, len: usize, to: usize) {
        let moved = self.take(&(start..start + len));
        self.take(&(to..to + len));
        for (at, mut area) in moved {
            area.end = area.end - start + to;
            area.attributes.moves();
            self.areas.insert(at - start + to, area);
        }
    }

    /// Continues the area that ends at `at` by `len` bytes of untouched memory.
    pub fn grow(&mut self, at: usize, len: usize) {
        let (start, area) = self.area(at - 1).expect("an area ends there");
        let mut more = area.tail(pages(at - start));
        more.end = at + len;
        more.attributes.renew();
        if more.layer.is_some() {
            more.layer = Area::empty_layer();
        }
        self.areas.insert(at, more);
    }

    /// The areas of a range without holes, shared with, copied for or moved to whoever gets them. None is wired.
    pub fn extract(
        &mut self,
        start: usize,
        len: usize,
        how: Extract,
    ) -> Result<Vec<(usize, Area)>, MapError> {
        let range = self.range(start, len)?;
        if !self.is_full(&range) {
            return Err(MapError::NotMapped);
        }
        if how == Extract::Move {
            self.unsealed(&range)?;
        }
        let mut areas: Vec<(usize, Area)> = match how {
            Extract::Move => self.take(&range),
            Extract::Share | Extract::Copy => self
                .within(&range)
                .map(|(start, area)| (start, area.clone()))
                .collect(),
        };
        for (start, area) in &mut areas {
            if how != Extract::Move {
                area.attributes.poisoned &= area.attributes.share == Share::Private;
            }
            if how == Extract::Copy {
                copy_area(*start, &area.clone(), area);
            }
            area.attributes.wired = false;
            area.attributes.on_fault = false;
            area.attributes.unwatch();
        }
        Ok(areas)
    }

    /// What a child gets of this space, and who watches there in whose place.
    pub fn fork(&self, watcher: impl Fn(u32) -> Option<u32>) -> Space {
        let mut child = Space::new(self.low, self.high);
        child.rules = Rules {
            future: None,
            ..self.rules.clone()
        };
        for (&start, area) in &self.areas {
            let mut copy = area.clone();
            copy.attributes.wired = false;
            copy.attributes.on_fault = false;
            copy.attributes.unwatch();
            if let Some(watch) = area.attributes.watch
                && let Some(server) = watcher(watch.server)
            {
                copy.attributes.watch = Some(Watch { server, ..watch });
                copy.attributes.write_protected = area.attributes.write_protected;
            }
            copy.attributes.poisoned &= copy.attributes.share == Share::Private;
            match area.attributes.inherit {
                Inherit::Share => {}
                Inherit::Copy => copy_area(start, area, &mut copy),
                Inherit::None => continue,
                Inherit::Zero => {
                    copy.attributes.renew();
                    copy.attributes.share = Share::Private;
                    copy.layer = Area::empty_layer();
                    copy.source = None;
                }
            }
            child.areas.insert(start, copy);
        }
        child
    }
}

/// Makes `copy` what a child gets of an area that it is to have a copy of: all that is private, and all of
/// shared anonymous memory. A file that was mapped shared it maps privately; a device cannot be copied.
fn copy_area(start: usize, area: &Area, copy: &mut Area) {
    let count = pages(area.end - start);
    let mut own = BTreeMap::new();
    if let Some((layer, first)) = &area.layer {
        let layer = layer.borrow();
        own.extend(
            layer
                .range(*first..first + count)
                .map(|(&n, page)| (n - first, page.clone())),
        );
    } else if let Some((object, first)) = &area.source {
        match object.borrow().kind {
            Kind::Device => return,
            Kind::File(_) => {}
            Kind::Anonymous => {
                object.borrow().copied.set(true);
                let pages = object.borrow().written(*first..first + count);
                own.extend(pages.into_iter().map(|(n, page)| (n - first, page)));
                copy.source = None;
            }
        }
    }
    copy.attributes.share = Share::Private;
    copy.layer = Some((Rc::new(RefCell::new(own)), 0));
}
