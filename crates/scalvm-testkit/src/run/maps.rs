//! Steps that are about address spaces.

use std::rc::Rc;

use scalvm::{
    Advice, Large, MapError, MapRequest, PAGE_MASK, PAGE_SIZE, Place, Prot, Remap, Share, Source,
    page_ceil,
};

use super::decode::{self, draw};
use super::runner::{Check, Pair, Runner, wrong};
use crate::kit::Hw;
use crate::model::{Attributes, Kind, Mapped, Space};

/// More spaces than this are not made.
const SPACES: usize = 5;

/// No mapping is as large as this.
const MOST_BYTES: usize = 1 << 44;

impl<'v> Runner<'v> {
    pub(super) fn new_map(&mut self) -> Check {
        if self.spaces.len() == SPACES {
            return Ok(());
        }
        let (low, high) = decode::bounds(self.setup.space);
        let real = self.retry(true, |r| r.kit.vm().new_map(low, high))?;
        let Ok(real) = real else {
            return wrong("no new map");
        };
        let serial = self.fresh();
        self.say(|| format!("map {serial} is new: {low:#x}..{high:#x}"));
        self.spaces.push(Pair {
            real: Rc::new(real),
            model: Space::new(low, high),
            serial,
        });
        Ok(())
    }

    pub(super) fn drop_map(&mut self, [which, ..]: [u32; 6]) -> Check {
        let pair = self.spaces.swap_remove(self.pick(which));
        self.say(|| format!("map {} is dropped", pair.serial));
        for cpu in 0..self.running.len() {
            if self.running[cpu] == Some(pair.serial) {
                self.running[cpu] = None;
                self.kit.park(cpu);
                self.kit.on(cpu, || pair.real.deactivate());
            }
        }
        Ok(())
    }

    pub(super) fn fork(&mut self, [which, watched, ..]: [u32; 6]) -> Check {
        if self.spaces.len() == SPACES {
            return Ok(());
        }
        let which = self.pick(which);
        let serial = self.fresh();
        // Now and then the child's watchers watch what the parent's do.
        let watcher = |server: u32| (watched % 3 == 2).then_some(serial * 2 + server % 2);
        let real = self.retry(true, |r| r.spaces[which].real.fork_watched(watcher))?;
        let Ok(real) = real else {
            return wrong("no fork");
        };
        self.forked = true;
        let mut areas = self.spaces[which].model.areas.values();
        self.shared |= areas.any(|area| area.may_hide_zeros(area.attributes.inherit));
        self.say(|| {
            format!(
                "map {serial} is forked from map {}",
                self.spaces[which].serial
            )
        });
        let model = self.spaces[which].model.fork(watcher);
        self.spaces.push(Pair {
            real: Rc::new(real),
            model,
            serial,
        });
        Ok(())
    }

    /// What is trimmed is not used: nothing can be seen of it, but that no more than was wanted is gone.
    pub(super) fn trim(&mut self, [which, want, soft, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let want = u64::from(want % 40);
        let real = &self.spaces[which].real;
        match soft % 4 {
            0 => real.set_resident_limits(Some(u64::from(soft % 20)), None),
            1 => real.set_resident_limits(None, Some(u64::from(soft % 30))),
            2 => real.set_resident_limits(None, None),
            _ => {}
        }
        let before = real.usage().resident_pages;
        let trimmed = if soft % 4 == 0 {
            self.kit.vm().trim_most_over(want);
            before - real.usage().resident_pages
        } else {
            real.trim(want)
        };
        self.say(|| format!("map {}: {trimmed} trimmed", self.spaces[which].serial));
        let now = self.spaces[which].real.usage().resident_pages;
        self.same("what trimming left", now + trimmed, before)?;
        self.same("no more than was wanted", trimmed.max(want), want)
    }

    pub(super) fn clear(&mut self, [which, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        self.say(|| format!("map {} is cleared", self.spaces[which].serial));
        self.spaces[which].real.clear();
        self.spaces[which].model.areas.clear();
        Ok(())
    }

    pub(super) fn place(&self, which: usize, mut arg: u32) -> Place {
        match draw(&mut arg, 6) {
            0 | 1 => Place::Fixed(self.rough_address(which, arg)),
            2 => Place::Anywhere,
            3 => Place::Lowest,
            4 => Place::Hint(self.rough_address(which, arg)),
            _ => Place::Free(self.rough_address(which, arg)),
        }
    }

    pub(super) fn map_anonymous(&mut self, [which, place, len, prot, more, _]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let share = if more % 4 == 3 {
            Share::Shared
        } else {
            Share::Private
        };
        let prot = decode::prot(prot);
        let mut request =
            MapRequest::anonymous(decode::length(len), prot).at(self.place(which, place));
        request.share = share;
        if share == Share::Shared {
            request.inherit = scalvm::Inherit::Share;
        }
        request.max_prot = decode::max_prot(more / 4);
        request.no_reserve = more % 5 == 4;
        self.map(which, request, None)
    }

    pub(super) fn map_huge(&mut self, [which, place, size, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let request = MapRequest::anonymous((1 << 38) << (size % 4), Prot::RW);
        let base = (1 << 40) + ((place as usize % 64) << 38);
        let place = [Place::Anywhere, Place::Free(base), Place::Fixed(base)][place as usize % 3];
        self.map(which, request.at(place), None)
    }

    pub(super) fn map_object(
        &mut self,
        [which, place, object, len, prot, more]: [u32; 6],
    ) -> Check {
        if self.objects.is_empty() {
            return Ok(());
        }
        let which = self.pick(which);
        let object = object as usize % self.objects.len();
        let mut more = more;
        let share = [Share::Private, Share::Shared][draw(&mut more, 2) as usize];
        let offset = u64::from(draw(&mut more, 5)) * PAGE_SIZE as u64;
        let (real, model) = (
            self.objects[object].real.clone(),
            self.objects[object].model.clone(),
        );
        let prot = decode::prot(prot);
        let mut request = MapRequest::object(&real, offset, decode::length(len), prot, share)
            .at(self.place(which, place));
        request.max_prot = decode::max_prot(more);
        self.map(which, request, Some((model, offset / PAGE_SIZE as u64)))
    }

    /// Whether the model refuses a mapping.
    fn refuse(
        &self,
        which: usize,
        request: &MapRequest<'_, 'v, Hw>,
        is_device: bool,
    ) -> Result<(), MapError> {
        let space = &self.spaces[which].model;
        let len = page_ceil(request.len)
            .filter(|&len| len != 0)
            .ok_or(MapError::BadRange)?;
        if len >= MOST_BYTES {
            return Err(MapError::NoSpace);
        }
        if !request.max_prot.contains(request.prot) {
            return Err(MapError::Protection);
        }
        space.rules.may_have(request.prot, request.prot)?;
        let replaced = self.replaced_at(which, request.place, len)?;
        let attributes = Attributes {
            prot: request.prot,
            max_prot: request.max_prot,
            share: if is_device {
                Share::Shared
            } else {
                request.share
            },
            inherit: request.inherit,
            advice: Advice::Normal,
            large: Large::Unsaid,
            wired: space.rules.future.is_some(),
            no_dump: false,
            on_fault: false,
            grows: request.grows,
            sealed: false,
            watch: None,
            write_protected: false,
            poisoned: false,
            guarded: false,
            tag: 0,
        };
        space.may_add(&attributes, len, replaced)?;
        self.refuse_place(which, request.place, len)
    }

    /// The bytes that a mapping at a place replaces, if it may.
    pub(super) fn replaced_at(
        &self,
        which: usize,
        place: Place,
        len: usize,
    ) -> Result<usize, MapError> {
        let space = &self.spaces[which].model;
        match place {
            Place::Fixed(at) => {
                let range = space.range(at, len)?;
                space.unsealed(&range)?;
                Ok(space.bytes(&range, |_| true))
            }
            Place::Free(at) => space.range(at, len).map(|_| 0),
            _ => Ok(0),
        }
    }

    /// Whether the model has no such place for so many bytes.
    pub(super) fn refuse_place(
        &self,
        which: usize,
        place: Place,
        len: usize,
    ) -> Result<(), MapError> {
        let space = &self.spaces[which].model;
        match place {
            Place::Fixed(_) => {}
            Place::Free(at) => {
                if !space.is_free(&space.range(at, len)?) {
                    return Err(MapError::Occupied);
                }
            }
            Place::Anywhere | Place::Lowest | Place::Hint(_) => {
                if !space.has_gap(len) {
                    return Err(MapError::NoSpace);
                }
            }
        }
        Ok(())
    }

    pub(super) fn map(
        &mut self,
        which: usize,
        request: MapRequest<'_, 'v, Hw>,
        source: Option<(crate::model::ObjectRef, u64)>,
    ) -> Check {
        let MapRequest {
            place,
            len,
            prot,
            max_prot,
            share,
            inherit,
            no_reserve,
            wire,
            grows,
            ..
        } = request;
        let is_device = source
            .as_ref()
            .is_some_and(|(object, _)| matches!(object.borrow().kind, Kind::Device));
        let refused = self.refuse(which, &request, is_device);
        self.say(|| {
            let serial = self.spaces[which].serial;
            let what = source.as_ref().map(|(object, page)| (object.borrow().id.get(), page));
            format!("map {serial}: map {place:x?} {len:#x} {prot:?} of {max_prot:?} {share:?} {what:?}: {refused:?}")
        });
        let object = match request.source {
            Source::Anonymous => None,
            Source::Object(object, offset) => Some((object, offset)),
        };
        let got = self.retry(true, |r| {
            let source = match object {
                None => Source::Anonymous,
                Some((object, offset)) => Source::Object(object, offset),
            };
            let again = MapRequest {
                place,
                len,
                prot,
                max_prot,
                share,
                inherit,
                no_reserve,
                wire,
                grows,
                source,
            };
            r.spaces[which].real.map(again)
        })?;
        let start = match (got, refused) {
            (Ok(start), Ok(())) => start,
            (got, refused) => return self.same("map", got.map(|_| ()), refused),
        };
        let len = page_ceil(len).expect("the model allowed it");
        self.check_place(which, place, start, len)?;
        self.spaces[which].model.map(Mapped {
            start,
            len,
            prot,
            max_prot,
            source,
            share,
            inherit,
            grows,
        });
        Ok(())
    }

    /// Whether the manager may have chosen this address.
    pub(super) fn check_place(
        &self,
        which: usize,
        place: Place,
        start: usize,
        len: usize,
    ) -> Check {
        let space = &self.spaces[which].model;
        let Ok(range) = space.range(start, len) else {
            return wrong(format!("mapped at {start:#x}, outside of the space"));
        };
        let free = space.is_clear(&range);
        match place {
            Place::Fixed(at) | Place::Free(at) if at != start => {
                return wrong(format!("mapped at {start:#x}, not where it was told"));
            }
            Place::Hint(at)
                if at & PAGE_MASK == 0
                    && at != start
                    && space
                        .range(at, len)
                        .is_ok_and(|range| space.is_clear(&range)) =>
            {
                return wrong(format!("mapped at {start:#x}, though the hint is free"));
            }
            Place::Anywhere | Place::Lowest | Place::Hint(_) if !free => {
                return wrong(format!(
                    "mapped at {start:#x}, in the place of something else"
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// An operation on a range that is wholly done or refused.
    pub(super) fn on_range(
        &mut self,
        what: &str,
        [which, at, len, ..]: [u32; 6],
        real: impl Fn(&Pair<'v>, usize, usize) -> Result<(), MapError>,
        model: impl Fn(&mut Space, usize, usize) -> Result<(), MapError>,
    ) -> Check {
        let which = self.pick(which);
        let range = (self.rough_address(which, at), decode::length(len));
        self.at_range(what, which, range, real, model)
    }

    /// The same on this range.
    pub(super) fn at_range(
        &mut self,
        what: &str,
        which: usize,
        (start, len): (usize, usize),
        real: impl Fn(&Pair<'v>, usize, usize) -> Result<(), MapError>,
        model: impl Fn(&mut Space, usize, usize) -> Result<(), MapError>,
    ) -> Check {
        self.say(|| {
            format!(
                "map {}: {what} {start:#x} {len:#x}",
                self.spaces[which].serial
            )
        });
        let got = self.retry(true, |r| real(&r.spaces[which], start, len))?;
        let must = model(&mut self.spaces[which].model, start, len);
        self.same(what, got, must)
    }

    pub(super) fn unmap(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "unmap",
            args,
            |p, at, len| p.real.unmap(at, len),
            Space::unmap,
        )
    }

    pub(super) fn protect(&mut self, args: [u32; 6]) -> Check {
        let prot = decode::prot(args[3]);
        let what = format!("protect {prot:?}");
        self.on_range(
            &what,
            args,
            |p, at, len| p.real.protect(at, len, prot),
            |s, at, len| s.protect(at, len, prot),
        )
    }

    pub(super) fn inherit(&mut self, args: [u32; 6]) -> Check {
        let inherit = decode::inherit(args[3]);
        let what = format!("inherit {inherit:?}");
        self.on_range(
            &what,
            args,
            |p, at, len| p.real.inherit(at, len, inherit),
            |s, at, len| s.inherit(at, len, inherit),
        )
    }

    pub(super) fn advise(&mut self, args: [u32; 6]) -> Check {
        let advice = decode::advice(args[3]);
        let what = format!("advise {advice:?}");
        self.on_range(
            &what,
            args,
            |p, at, len| p.real.advise(at, len, advice),
            |s, at, len| s.advise(at, len, advice),
        )
    }

    pub(super) fn discard(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "discard",
            args,
            |p, at, len| p.real.discard(at, len),
            Space::discard,
        )
    }

    pub(super) fn unwire(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "unwire",
            args,
            |p, at, len| p.real.unwire(at, len),
            |s, at, len| s.set_wired(at, len, None),
        )
    }

    pub(super) fn remap(&mut self, [which, at, len, new_len, how, to]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (old, old_len) = (self.rough_address(which, at), decode::length(len));
        let new_len = decode::length(new_len);
        let how = match how % 4 {
            0 => Remap::InPlace,
            1 | 2 => Remap::MayMove,
            _ => Remap::Fixed(self.rough_address(which, to)),
        };
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: remap {old:#x} {old_len:#x} to {new_len:#x} {how:x?}")
        });
        let must = self.spaces[which]
            .model
            .may_remap(old, old_len, new_len, how);
        let (mut left, mut shrunk) = (old_len, false);
        let got = self.retry(false, |r| {
            let result = r.spaces[which].real.remap(old, left, new_len, how);
            let moves = matches!(how, Remap::Fixed(_));
            if moves && new_len < old_len && result == Err(MapError::OutOfMemory) && !shrunk {
                // It shrinks first, and stays so where memory is too short to move it then.
                let tail = old + page_ceil(new_len).expect("it was tried");
                let end = old + page_ceil(old_len).expect("it was tried");
                let above = r.spaces[which].real.query(tail);
                shrunk = above.is_none_or(|region| region.start >= end);
                left = if shrunk { new_len } else { old_len };
            }
            result
        })?;
        let space = &mut self.spaces[which].model;
        let start = match (got, must) {
            (Ok(start), Ok(())) => start,
            (Err(MapError::NotMapped), Err(MapError::NotMapped)) => {
                if space.range(old, old_len).is_ok() && space.area(old).is_some() {
                    space.shrink(old, old_len, new_len);
                }
                return Ok(());
            }
            (got, must) => return self.same("remap", got.map(|_| ()), must),
        };
        self.spaces[which]
            .model
            .remap(old, old_len, new_len, how, start)
            .or_else(wrong)
    }

    pub(super) fn remap_keeping(&mut self, [which, at, len, how, to, _]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (old, len) = (self.rough_address(which, at), decode::length(len));
        let to = (how % 2 == 1).then(|| self.rough_address(which, to));
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: remap {old:#x} {len:#x} to {to:x?}, and keep it")
        });
        let must = self.spaces[which].model.may_remap_keeping(old, len, to);
        let got = self.retry(true, |r| r.spaces[which].real.remap_keeping(old, len, to))?;
        match (got, must) {
            (Ok(start), Ok(())) => self.spaces[which]
                .model
                .remap_keeping(old, len, to, start)
                .or_else(wrong),
            (got, must) => self.same("remap, keeping", got.map(|_| ()), must),
        }
    }

    pub(super) fn switch(&mut self, [cpu, which, ..]: [u32; 6]) -> Check {
        let cpu = cpu as usize % self.running.len();
        let which = which as usize % (self.spaces.len() + 1);
        let next = self.spaces.get(which);
        let before = self.running[cpu];
        self.running[cpu] = next.map(|pair| pair.serial);
        self.say(|| format!("processor {cpu} runs map {:?}", self.running[cpu]));
        match next {
            Some(next) => self.kit.on(cpu, || next.real.activate()),
            None => self.kit.park(cpu),
        }
        let before = before.filter(|&before| Some(before) != self.running[cpu]);
        if let Some(before) = self.spaces.iter().find(|pair| Some(pair.serial) == before) {
            self.kit.on(cpu, || before.real.deactivate());
        }
        Ok(())
    }
}
