//! Steps about ranges that somebody watches; and the watcher, who serves what he is told of at once.
//!
//! Each space has two watchers, whose numbers tell whose they are.

use scalvm::{Access, PAGE_SIZE, Prot, ServeError, Watch, WatchEvents, WatchedFault, page_floor};

use super::decode;
use super::runner::{Check, Pair, Runner, wrong};
use crate::model::{Bytes, Presence};

/// What is watched for together.
const EVENTS: [WatchEvents; 8] = [
    WatchEvents::MISSING,
    WatchEvents::MISSING,
    WatchEvents::WRITE_PROTECT,
    WatchEvents::MINOR,
    WatchEvents::MISSING.union(WatchEvents::WRITE_PROTECT),
    WatchEvents::MISSING.union(WatchEvents::MINOR),
    WatchEvents::MINOR.union(WatchEvents::WRITE_PROTECT),
    WatchEvents::all(),
];

impl Runner<'_> {
    /// Mostly the first watcher of a space, now and then the second.
    fn watcher(&self, which: usize, arg: u32) -> u32 {
        self.spaces[which].serial * 2 + u32::from(arg % 8 == 7)
    }

    pub(super) fn watch(&mut self, [which, at, len, events, watcher, _]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, len) = (self.rough_address(which, at), decode::length(len));
        let watch = Watch {
            server: self.watcher(which, watcher),
            events: EVENTS[events as usize % 8],
            follows: events / 8 % 2 == 1,
        };
        let serial = self.spaces[which].serial;
        self.say(|| format!("map {serial}: watch {start:#x} {len:#x}: {watch:?}"));
        let got = self.retry(true, |r| r.spaces[which].real.watch(start, len, watch))?;
        let must = self.spaces[which].model.watch(start, len, watch);
        self.same("watch", got, must)
    }

    pub(super) fn unwatch(&mut self, [which, at, len, all, watcher, _]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, len) = (self.rough_address(which, at), decode::length(len));
        let server = self.watcher(which, watcher);
        let serial = self.spaces[which].serial;
        if all % 8 == 7 {
            self.say(|| format!("map {serial}: watcher {server} is gone"));
            self.spaces[which].real.forget_watcher(server);
            self.spaces[which].model.forget_watcher(server);
            return Ok(());
        }
        self.say(|| format!("map {serial}: unwatch {start:#x} {len:#x}"));
        let got = self.retry(true, |r| r.spaces[which].real.unwatch(start, len, server))?;
        let must = self.spaces[which].model.unwatch(start, len, server);
        self.same("unwatch", got, must)
    }

    pub(super) fn write_protect(&mut self, [which, at, len, on, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, len) = (self.rough_address(which, at), decode::length(len));
        let on = on % 3 != 2;
        let serial = self.spaces[which].serial;
        self.say(|| format!("map {serial}: write-protect {start:#x} {len:#x}: {on}"));
        let got = self.retry(true, |r| r.spaces[which].real.write_protect(start, len, on))?;
        let must = self.spaces[which].model.write_protect(start, len, on);
        self.same("write-protect", got, must)
    }

    /// Checks that a watcher has reason to be told of this.
    pub(super) fn may_be_told(&mut self, watched: WatchedFault) -> Check {
        let WatchedFault {
            server,
            event,
            page,
            access,
        } = watched;
        let owner = |serial: u32| serial == server / 2;
        let Some(pair) = self.spaces.iter_mut().find(|pair| owner(pair.serial)) else {
            return wrong(format!("nobody has this watcher: {watched:?}"));
        };
        // What grows has grown before anybody is told.
        _ = pair.model.grow_down(page);
        if !pair.real.is_to_be_told(watched) {
            return wrong(format!("to be told no more of {watched:?}"));
        }
        let Some((area, number)) = pair.model.page_at(page) else {
            return wrong(format!("told of what is not mapped: {watched:?}"));
        };
        let presence = area.presence(number, self.shared);
        let attributes = area.attributes;
        let reason = match event {
            WatchEvents::MISSING => presence != Presence::Certain,
            WatchEvents::MINOR => presence != Presence::Never,
            _ => attributes.write_protected && access == Access::Write,
        };
        let his = attributes.watch.is_some_and(|watch| watch.server == server);
        // A debugger may do more than the program.
        let may = attributes.max_prot.contains(access.needs());
        if his && attributes.watches(event) && reason && may {
            Ok(())
        } else {
            wrong(format!(
                "{watched:?}, though the page is there: {presence:?}, and {attributes:?}"
            ))
        }
    }

    /// The same of an access that a program has made.
    pub(super) fn program_may_be_told(&mut self, watched: WatchedFault) -> Check {
        self.may_be_told(watched)?;
        let WatchedFault { page, access, .. } = watched;
        let may = |pair: &Pair<'_>| {
            let area = pair.model.page_at(page);
            let rights = area.map(|(area, _)| area.attributes.prot);
            rights.is_some_and(|prot| prot.contains(access.needs()))
        };
        let owner = |pair: &&Pair<'_>| pair.serial == watched.server / 2;
        if self.spaces.iter().find(owner).is_some_and(may) {
            Ok(())
        } else {
            wrong(format!("{watched:?}, without the right"))
        }
    }

    /// Checks that an access which has gone well need not have been told to anybody.
    pub(super) fn need_not_be_told(&self, which: usize, addr: usize, access: Access) -> Check {
        let Some((area, number)) = self.spaces[which].model.page_at(page_floor(addr)) else {
            return Ok(());
        };
        let attributes = area.attributes;
        let presence = area.presence(number, self.shared);
        let missing = presence == Presence::Never && attributes.watches(WatchEvents::MISSING);
        let protected = attributes.write_protected && access == Access::Write;
        if missing || protected {
            return wrong(format!("nobody was told of {access:?} at {addr:#x}"));
        }
        Ok(())
    }

    /// The same of all pages that some bytes lie in.
    pub(super) fn none_need_be_told(
        &self,
        which: usize,
        addr: usize,
        len: usize,
        access: Access,
    ) -> Check {
        (page_floor(addr)..addr + len)
            .step_by(PAGE_SIZE)
            .try_for_each(|page| self.need_not_be_told(which, page, access))
    }

    /// Does what a watcher does who is told of an access, so that it may be made again. `whole` says that
    /// nothing has been done yet of what makes the access, as in [`retry`](Runner::retry).
    pub(super) fn serve(&mut self, watched: WatchedFault, whole: bool) -> Check {
        self.may_be_told(watched)?;
        let WatchedFault {
            server,
            event,
            page,
            ..
        } = watched;
        let found = self.spaces.iter().position(|p| p.serial == server / 2);
        let which = found.expect("it was looked for");
        self.say(|| format!("{event:?} at {page:#x} is served"));
        if event == WatchEvents::MINOR {
            let shown = self.retry(false, |r| r.spaces[which].real.show(page, false))?;
            self.spaces[which].model.mark_page(page, false);
            // Whether it stays shown is for the page tables to say.
            return self.same("show", shown, Ok(()));
        }
        if event == WatchEvents::MISSING {
            let area = self.spaces[which].model.page_at(page);
            let may =
                area.is_some_and(|(area, _)| area.attributes.watches(WatchEvents::WRITE_PROTECT));
            let protect = may && self.serial.is_multiple_of(3);
            let placed = self.place_at(which, page, protect, whole)?;
            self.same("place", placed, Ok(()))?;
        } else {
            let done = self.retry(whole, |r| {
                r.spaces[which].real.write_protect(page, PAGE_SIZE, false)
            })?;
            self.spaces[which].model.mark_page(page, false);
            self.same("unprotect", done, Ok(()))?;
        }
        self.same(
            "is to be told",
            self.spaces[which].real.is_to_be_told(watched),
            false,
        )
    }

    /// Places a page of new bytes, or of zeros.
    fn place_at(
        &mut self,
        which: usize,
        addr: usize,
        protect: bool,
        whole: bool,
    ) -> Check<Result<(), ServeError>> {
        let mut bytes = [0; PAGE_SIZE];
        let value = self.fresh();
        if !value.is_multiple_of(4) {
            bytes[..4].copy_from_slice(&value.to_le_bytes());
            bytes[PAGE_SIZE - 4..].copy_from_slice(&value.to_le_bytes());
        }
        let got = self.retry(whole, |r| {
            let mut page = r.kit.vm().fresh_page()?;
            page.fill(&bytes);
            r.spaces[which].real.place(addr, page, protect)
        })?;
        if got.is_ok() {
            let model = &mut self.spaces[which].model;
            let Some((area, number)) = model.page_at(addr) else {
                return wrong("placed where nothing is mapped");
            };
            area.place(number, Bytes::new(&bytes));
            model.mark_page(addr, protect);
        }
        Ok(got)
    }

    pub(super) fn place_page(&mut self, [which, at, protect, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let addr = self.address(which, at);
        let protect = protect % 4 == 3;
        let serial = self.spaces[which].serial;
        self.say(|| format!("map {serial}: place a page at {addr:#x}, protected: {protect}"));
        let pair = &self.spaces[which];
        let mapped = self.kit.mapping(pair.real.pmap(), addr).is_some();
        let (must, perhaps) = match pair.model.page_at(addr) {
            Some((area, number)) if area.attributes.watch.is_some() => {
                let presence = area.presence(number, self.shared);
                let own = area.own(number).is_some() || area.layer.is_none();
                let known = presence == Presence::Certain && own;
                let must = if area.attributes.guarded {
                    Err(ServeError::Present)
                } else if protect && !area.attributes.watches(WatchEvents::WRITE_PROTECT) {
                    Err(ServeError::NotWatched)
                } else if area.page(number).is_none() {
                    Err(ServeError::BeyondEnd)
                } else if known || mapped {
                    Err(ServeError::Present)
                } else {
                    Ok(())
                };
                (must, presence == Presence::Perhaps)
            }
            _ => (Err(ServeError::NotWatched), false),
        };
        let got = self.place_at(which, addr, protect, true)?;
        if must == Ok(()) && perhaps && got == Err(ServeError::Present) {
            return Ok(());
        }
        self.same("place", got, must)
    }

    pub(super) fn show_page(&mut self, [which, at, protect, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let addr = self.address(which, at);
        let protect = protect % 3 == 2;
        let serial = self.spaces[which].serial;
        self.say(|| format!("map {serial}: show the page at {addr:#x}, protected: {protect}"));
        let pair = &self.spaces[which];
        let mapped = self.kit.mapping(pair.real.pmap(), addr).is_some();
        let (must, perhaps) = match pair.model.page_at(addr) {
            Some((area, _)) if area.attributes.watch.is_some() && area.attributes.guarded => {
                (Err(ServeError::Present), false)
            }
            Some((area, number)) if area.attributes.watches(WatchEvents::MINOR) => {
                let presence = area.presence(number, self.shared);
                let must = match presence {
                    _ if protect && !area.attributes.watches(WatchEvents::WRITE_PROTECT) => {
                        Err(ServeError::NotWatched)
                    }
                    _ if mapped => Err(ServeError::Present),
                    _ if area.page(number).is_none() => Err(ServeError::BeyondEnd),
                    Presence::Certain => Ok(()),
                    _ => Err(ServeError::Absent),
                };
                (must, presence == Presence::Perhaps)
            }
            _ => (Err(ServeError::NotWatched), false),
        };
        let got = self.retry(false, |r| r.spaces[which].real.show(addr, protect))?;
        if got.is_ok() {
            self.spaces[which].model.mark_page(addr, protect);
        }
        if must == Err(ServeError::Absent) && perhaps && got == Ok(()) {
            return Ok(());
        }
        self.same("show", got, must)
    }

    pub(super) fn poison_page(&mut self, [which, at, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let addr = self.address(which, at);
        let serial = self.spaces[which].serial;
        self.say(|| format!("map {serial}: the page at {addr:#x} is lost"));
        let pair = &self.spaces[which];
        let mapped = self.kit.mapping(pair.real.pmap(), addr).is_some();
        let (must, perhaps) = match pair.model.page_at(addr) {
            Some((area, number)) if area.attributes.watch.is_some() => {
                let own = area.own(number);
                let must = if area.attributes.poisoned || area.attributes.guarded {
                    Err(ServeError::Present)
                } else if area.page(number).is_none() {
                    Err(ServeError::BeyondEnd)
                } else if mapped || own.is_some_and(|own| own.is_certain()) {
                    Err(ServeError::Present)
                } else {
                    Ok(())
                };
                let private = area.layer.is_some();
                let perhaps = area.presence(number, self.shared) == Presence::Perhaps;
                (must, private && perhaps)
            }
            _ => (Err(ServeError::NotWatched), false),
        };
        let got = self.retry(true, |r| r.spaces[which].real.poison(addr))?;
        if got.is_ok() {
            self.spaces[which].model.poison_page(addr);
        }
        if must == Ok(()) && perhaps && got == Err(ServeError::Present) {
            return Ok(());
        }
        self.same("poison", got, must)
    }

    /// Whether the model lets a page move.
    fn may_move(&self, which: usize, from: usize, to: usize) -> Result<(), ServeError> {
        let pair = &self.spaces[which];
        let (source, target) = (pair.model.page_at(from), pair.model.page_at(to));
        let ((source, number), (target, there)) = source
            .zip(target)
            .filter(|(_, (target, _))| target.attributes.watch.is_some())
            .ok_or(ServeError::NotWatched)?;
        let (a, b) = (source.attributes, target.attributes);
        if b.poisoned || b.guarded {
            return Err(ServeError::Present);
        }
        let alike = a.prot == b.prot && a.prot.contains(Prot::WRITE) && a.wired == b.wired;
        if !alike || !source.is_plain() || !target.is_plain() {
            return Err(ServeError::Unlike);
        }
        let mapped = self.kit.mapping(pair.real.pmap(), to).is_some();
        if target.own(there).is_some() || mapped {
            return Err(ServeError::Present);
        }
        if a.poisoned {
            return Err(ServeError::Poisoned);
        }
        if source.own(number).is_none() {
            return Err(ServeError::Absent);
        }
        Ok(())
    }

    pub(super) fn move_page(&mut self, [which, from, to, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (from, to) = (self.address(which, from), self.address(which, to));
        let serial = self.spaces[which].serial;
        self.say(|| format!("map {serial}: move the page at {from:#x} to {to:#x}"));
        let must = self.may_move(which, from, to);
        let got = self.retry(true, |r| r.spaces[which].real.move_page(from, to))?;
        // Who has a page with whom is not the model's to know, nor that zeros were read into shared memory, nor
        // which pages that were given up are gone.
        let given_up = |at: usize| {
            let place = self.spaces[which].model.page_at(at);
            place
                .is_some_and(|(area, number)| area.own(number).is_some_and(|own| !own.is_certain()))
        };
        let unknown = match got {
            Err(ServeError::Absent) => {
                given_up(from) || given_up(to) && must == Err(ServeError::Present)
            }
            Ok(()) if must == Err(ServeError::Present) && given_up(to) => {
                return self.moved(which, from, to);
            }
            Err(ServeError::Shared) => self.forked,
            Err(ServeError::Held) => !self.holds.is_empty() && self.forked,
            Err(ServeError::Present) => self.shared,
            _ => false,
        };
        let relevant = matches!(
            must,
            Ok(()) | Err(ServeError::Absent | ServeError::Present | ServeError::Poisoned)
        );
        if unknown && relevant {
            return Ok(());
        }
        self.same("move", got, must)?;
        if got.is_ok() {
            self.moved(which, from, to)?;
        }
        Ok(())
    }

    fn moved(&mut self, which: usize, from: usize, to: usize) -> Check {
        let model = &mut self.spaces[which].model;
        let bytes = model
            .page_at(from)
            .and_then(|(area, number)| area.take(number));
        let (Some(bytes), Some((area, number))) = (bytes, model.page_at(to)) else {
            return wrong("a page has moved which is not there");
        };
        area.place(number, bytes);
        model.mark_page(to, false);
        Ok(())
    }
}
