//! Steps that touch memory: as programs on the emulated processors, and through the direct map.

use scalvm::{
    Access, Fault, FaultError, MapError, PAGE_MASK, PAGE_SIZE, Prot, Share, Wire, page_floor,
};

use super::decode::{self, draw};
use super::runner::{Check, ROUNDS, Runner, wrong};
use super::trouble::{Cause, Error};
use crate::kit::Trap;
use crate::model::{Kind, Space};

impl Runner<'_> {
    /// A processor, and the space it runs; it is given one if it runs none.
    fn processor(&mut self, mut arg: u32) -> (usize, usize) {
        let cpu = draw(&mut arg, self.running.len() as u32) as usize;
        let running = self.running[cpu];
        if let Some(which) = self
            .spaces
            .iter()
            .position(|pair| Some(pair.serial) == running)
        {
            return (cpu, which);
        }
        let which = self.pick(arg);
        self.kit.on(cpu, || self.spaces[which].real.activate());
        self.running[cpu] = Some(self.spaces[which].serial);
        (cpu, which)
    }

    /// One fault, to its end.
    fn fault(
        &mut self,
        which: usize,
        addr: usize,
        access: Access,
    ) -> Check<Result<(), FaultError>> {
        let mut room = self.kit.vm().room();
        for _ in 0..ROUNDS {
            let before = self.kit.failures();
            let error = match self.spaces[which].real.fault(addr, access) {
                Fault::Resolved => {
                    self.need_not_be_told(which, addr, access)?;
                    return Ok(Ok(()));
                }
                Fault::Wait(ticket) => {
                    self.may_wait(which, addr)?;
                    ticket.wait(self.kit.vm());
                    continue;
                }
                Fault::NoMapping => FaultError::NoMapping,
                Fault::Protection => FaultError::Protection,
                Fault::BeyondEnd => FaultError::BeyondEnd,
                Fault::OutOfMemory => FaultError::OutOfMemory,
                Fault::Pager(error) => FaultError::Pager(error),
                Fault::Poisoned => FaultError::Poisoned,
                Fault::Watched(watched) => {
                    self.program_may_be_told(watched)?;
                    self.serve(watched, true)?;
                    continue;
                }
            };
            let Some(cause) = error.cause() else {
                return Ok(Err(error));
            };
            if self.makes_room(cause, before, &mut room) {
                continue;
            }
            self.forgive(cause, before)?;
            match cause {
                Cause::Allocation => {
                    self.follow_growth(which, addr)?;
                    self.compare()?;
                }
                Cause::Io => self.check_invariants(),
            }
        }
        wrong(format!("a fault at {addr:#x} comes to no end"))
    }

    /// Checks that there is a pager to wait for at this address.
    fn may_wait(&self, which: usize, addr: usize) -> Check {
        if self.setup.paging.is_some() {
            return Ok(());
        }
        let area = self.spaces[which].model.area(addr);
        let source = area.and_then(|(_, area)| area.source.as_ref());
        match source.map(|(object, _)| matches!(object.borrow().kind, Kind::File(_))) {
            Some(true) => Ok(()),
            _ => wrong(format!(
                "a fault at {addr:#x} waits, though there is no pager"
            )),
        }
    }

    /// An access of a processor, which faults once or not at all; on a capricious machine more often, where
    /// it guesses ahead between the fault and what handles it.
    fn access<T>(
        &mut self,
        which: usize,
        addr: usize,
        access: Access,
        attempt: impl Fn() -> Result<T, Trap>,
    ) -> Check<Result<T, FaultError>> {
        let allowed = if self.setup.evict_one_in() == 0 {
            1
        } else {
            20
        };
        for _ in 0..=allowed {
            let trap = match attempt() {
                Ok(done) => return Ok(Ok(done)),
                Err(trap) => trap,
            };
            if page_floor(trap.addr) != page_floor(addr) || trap.access != access {
                return wrong(format!("a {access:?} at {addr:#x} traps as {trap:?}"));
            }
            if let Err(error) = self.fault(which, addr, access)? {
                return Ok(Err(error));
            }
        }
        wrong(format!(
            "a fault at {addr:#x} was resolved, but comes again"
        ))
    }

    pub(super) fn load(&mut self, args: [u32; 6]) -> Check {
        self.read_as(args, Access::Read)
    }

    pub(super) fn fetch(&mut self, args: [u32; 6]) -> Check {
        self.read_as(args, Access::Exec)
    }

    fn read_as(&mut self, [cpu, at, within, ..]: [u32; 6], access: Access) -> Check {
        let (cpu, which) = self.processor(cpu);
        let addr = self.address(which, at) + decode::within(within, 8);
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("processor {cpu}, map {serial}: {access:?} at {addr:#x}")
        });
        let kit = self.kit;
        let got = self.access(which, addr, access, || kit.load(cpu, addr, access))?;
        let len = if access == Access::Exec { 1 } else { 8 };
        if let Ok(bytes) = &got {
            self.spaces[which].model.found(addr, &bytes[..len]);
        }
        _ = self.spaces[which].model.grow_down(addr);
        let must = self.spaces[which].model.load(addr, access, len);
        if got.is_ok()
            && must == Err(FaultError::Protection)
            && self.is_implied(which, addr, access)
        {
            return Ok(());
        }
        self.same("load", got.map(|bytes| bytes[..len].to_vec()), must)
    }

    /// Whether an MMU may allow what the map does not: a load where there is any right.
    fn is_implied(&self, which: usize, addr: usize, access: Access) -> bool {
        let area = self.spaces[which].model.area(addr);
        access == Access::Read
            && area.is_some_and(|(_, area)| area.attributes.prot != Prot::empty())
    }

    pub(super) fn store(&mut self, [cpu, at, within, ..]: [u32; 6]) -> Check {
        let (cpu, which) = self.processor(cpu);
        let addr = self.address(which, at) + decode::within(within, 8);
        if self.spaces[which].model.is_tail(addr, 8) {
            return Ok(());
        }
        let bytes: [u8; 8] = self.bytes(8).try_into().expect("eight");
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("processor {cpu}, map {serial}: store at {addr:#x}")
        });
        let kit = self.kit;
        let got = self.access(which, addr, Access::Write, || kit.store(cpu, addr, bytes))?;
        _ = self.spaces[which].model.grow_down(addr);
        let must = self.spaces[which].model.store(addr, &bytes);
        self.same("store", got, must)
    }

    pub(super) fn touch(&mut self, [which, at, how, wait, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (addr, access) = (self.address(which, at) + 8, decode::access(how));
        self.say(|| {
            format!(
                "map {}: fault {access:?} at {addr:#x}",
                self.spaces[which].serial
            )
        });
        if wait.is_multiple_of(2) {
            match self.spaces[which].real.fault(addr, access) {
                Fault::Wait(_) => return self.may_wait(which, addr),
                // Nobody serves it: that must not matter.
                Fault::Watched(watched) => return self.program_may_be_told(watched),
                _ => {}
            }
        }
        let got = self.fault(which, addr, access)?;
        _ = self.spaces[which].model.grow_down(addr);
        let must = self.spaces[which].model.fault(addr, access);
        if got.is_ok()
            && must == Err(FaultError::Protection)
            && self.is_implied(which, addr, access)
        {
            return Ok(());
        }
        self.same("fault", got, must)
    }

    /// The pieces of a span of bytes that lie in one page each: address, where in the span, bytes.
    fn pieces(addr: usize, len: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let n = (PAGE_SIZE - ((addr + at) & PAGE_MASK)).min(len - at);
            let piece = (addr + at, at, n);
            at += n;
            (n > 0).then_some(piece)
        })
    }

    /// A span of bytes in some pages.
    fn span_at(&mut self, which: usize, at: u32, within: u32, mut len: u32) -> (usize, usize) {
        let addr = self.address(which, at) + decode::within(within, 1);
        let len = [1, 8, PAGE_SIZE, 3 * PAGE_SIZE][draw(&mut len, 4) as usize] + len as usize % 300;
        (addr, len)
    }

    /// What the kernel may not do to a page, though the program may: a device's registers are not for it.
    pub(super) fn forbid_device(&self, which: usize, addr: usize) -> Result<(), FaultError> {
        let area = self.spaces[which].model.area(addr);
        match area.and_then(|(_, area)| area.source.as_ref()) {
            Some((object, _)) if matches!(object.borrow().kind, Kind::Device) => {
                Err(FaultError::Protection)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn peek(&mut self, [which, at, within, len, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (addr, len) = self.span_at(which, at, within, len);
        let denied = |addr| {
            self.spaces[which].model.load(addr, Access::Read, 1) == Err(FaultError::Protection)
                && self.is_implied(which, addr, Access::Read)
        };
        if Self::pieces(addr, len).any(|(addr, ..)| denied(addr)) {
            return Ok(());
        }
        self.say(|| {
            format!(
                "map {}: read {len:#x} at {addr:#x}",
                self.spaces[which].serial
            )
        });
        let got = self.retry(false, |r| {
            let mut bytes = vec![0xaa; len];
            r.spaces[which].real.read(addr, &mut bytes)?;
            Ok::<_, FaultError>(bytes)
        })?;
        if let Ok(bytes) = &got {
            self.none_need_be_told(which, addr, len, Access::Read)?;
            for (addr, at, n) in Self::pieces(addr, len) {
                self.spaces[which].model.found(addr, &bytes[at..at + n]);
            }
        }
        let must = Self::pieces(addr, len).try_fold(Vec::new(), |mut all, (addr, _, n)| {
            _ = self.spaces[which].model.grow_down(addr);
            all.extend(self.spaces[which].model.load(addr, Access::Read, n)?);
            self.forbid_device(which, addr)?;
            Ok(all)
        });
        if got != must {
            let (got, must) = (got.map(|b| b.len()), must.map(|b| b.len()));
            return wrong(format!(
                "read: {got:?}, must be {must:?}, or the bytes differ"
            ));
        }
        Ok(())
    }

    pub(super) fn write(&mut self, [which, at, within, len, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (addr, len) = self.span_at(which, at, within, len);
        if Self::pieces(addr, len).any(|(addr, _, n)| self.spaces[which].model.is_tail(addr, n)) {
            return Ok(());
        }
        let bytes = self.bytes(len);
        self.say(|| {
            format!(
                "map {}: write {len:#x} at {addr:#x}",
                self.spaces[which].serial
            )
        });
        let got = self.retry(false, |r| r.spaces[which].real.write(addr, &bytes))?;
        if got.is_ok() {
            self.none_need_be_told(which, addr, len, Access::Write)?;
        }
        let must = Self::pieces(addr, len).try_for_each(|(addr, at, n)| {
            _ = self.spaces[which].model.grow_down(addr);
            let space = &self.spaces[which].model;
            space.fault(addr, Access::Write)?;
            self.forbid_device(which, addr)?;
            space.store(addr, &bytes[at..at + n])
        });
        self.same("write", got, must)
    }

    /// A device uses a range, while what the range is of is forked, unmapped or discarded.
    pub(super) fn describe(&mut self, [which, at, within, len, how, _]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (addr, len) = self.span_at(which, at, within, len);
        let access = [Access::Read, Access::Write][how as usize % 2];
        if Self::pieces(addr, len).any(|(addr, _, n)| {
            let model = &self.spaces[which].model;
            let denied = model.load(addr, access, 1) == Err(FaultError::Protection);
            model.is_tail(addr, n) || denied && self.is_implied(which, addr, access)
        }) {
            return Ok(());
        }
        let meanwhile = how / 2 % 4;
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: describe {len:#x} at {addr:#x} {access:?}, {meanwhile}")
        });
        let got = self.retry(false, |r| r.spaces[which].real.describe(addr, len, access))?;
        if got.is_ok() {
            self.none_need_be_told(which, addr, len, access)?;
        }
        let must = Self::pieces(addr, len).try_for_each(|(addr, ..)| {
            _ = self.spaces[which].model.grow_down(addr);
            self.spaces[which].model.fault(addr, access)?;
            self.forbid_device(which, addr)
        });
        let mdl = match (got, must) {
            (Ok(mdl), Ok(())) => mdl,
            (got, must) => return self.same("describe", got.map(|_| ()), must),
        };
        if meanwhile == 1 {
            self.fork([which as u32; 6])?;
        }
        let bytes = self.bytes(len);
        let kit = self.kit;
        for (piece, (addr, at, n)) in mdl.pieces().zip(Self::pieces(addr, len)) {
            let is = kit.bytes(piece.frame).as_slice()[piece.offset..][..piece.len].to_vec();
            self.spaces[which].model.found(addr, &is);
            let model = &self.spaces[which].model;
            let must = model.load(addr, access, n);
            self.same("what a device reads", Ok(is), must)?;
            if access == Access::Write {
                kit.write(piece.frame, piece.offset, &bytes[at..at + n]);
                let stored = model.store(addr, &bytes[at..at + n]);
                self.same("what a device writes", stored, Ok(()))?;
            }
        }
        // One page may be in the range twice.
        let used = || mdl.pieces().map(|piece| kit.bytes(piece.frame)).collect();
        let held: Vec<_> = used();
        let range = (page_floor(addr), held.len() * PAGE_SIZE);
        match meanwhile {
            2 => self.at_range(
                "unmap",
                which,
                range,
                |p, at, len| p.real.unmap(at, len),
                Space::unmap,
            ),
            3 => self.at_range(
                "discard",
                which,
                range,
                |p, at, len| p.real.discard(at, len),
                Space::discard,
            ),
            _ => Ok(()),
        }?;
        if used() != held {
            return wrong("what a device uses has changed");
        }
        Ok(())
    }

    pub(super) fn populate(&mut self, [which, at, pages, how, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, pages) = (self.address(which, at), 1 + pages as usize % 10);
        if let Some(access) = Self::access_to_populate(how) {
            return self.populate_for(which, start, pages, access);
        }
        self.say(|| {
            format!(
                "map {}: populate {pages} pages at {start:#x}",
                self.spaces[which].serial
            )
        });
        let (mut at, end) = (start, start + pages * PAGE_SIZE);
        let got = self.retry(false, |r| {
            let done = r.spaces[which].real.populate(at, end - at);
            done.inspect_err(|stop| at = stop.at)
        })?;
        let space = &self.spaces[which].model;
        let must = match space.range(start, pages * PAGE_SIZE) {
            Ok(_) => fault_in(space, start, pages),
            Err(_) => Err(FaultError::NoMapping),
        };
        self.same("populate", got.map_err(|stop| stop.error), must)
    }

    pub(super) fn wire(&mut self, [which, at, pages, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, pages) = (self.address(which, at), 1 + pages as usize % 10);
        let len = pages * PAGE_SIZE;
        self.say(|| {
            format!(
                "map {}: wire {pages} pages at {start:#x}",
                self.spaces[which].serial
            )
        });
        // Where it fails, nothing is wired that was not, though pages have come.
        let (mut unchanged, mut served) = (Ok(()), Ok(()));
        let got = self.retry(false, |r| {
            let real = r.spaces[which].real.clone();
            let got = real.wire_served(start, len, |watched| {
                served = r.serve(watched, false);
                served.is_ok()
            });
            if got.is_err() && unchanged.is_ok() {
                unchanged = r.compare_regions(&r.spaces[which]);
            }
            got
        })?;
        unchanged.and(served)?;
        let space = &mut self.spaces[which].model;
        let must = match space.range(start, len) {
            Err(error) => Err(error),
            Ok(range) if !space.is_full(&range) => Err(MapError::NotMapped),
            Ok(range) => space
                .may_wire(space.bytes(&range, |attributes| !attributes.wired))
                .and_then(|()| {
                    fault_in(space, start, pages).map_err(|error| match error {
                        FaultError::BeyondEnd => MapError::BeyondEnd,
                        FaultError::Protection => MapError::Protection,
                        FaultError::Poisoned => MapError::Poisoned,
                        error => unreachable!("{error}"),
                    })
                }),
        };
        if must.is_ok() {
            self.spaces[which]
                .model
                .set_wired(start, len, Some(Wire::Now))
                .expect("the range is full");
        }
        self.same("wire", got, must)
    }

    pub(super) fn sync(&mut self, [which, at, len, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (start, len) = (self.rough_address(which, at), decode::length(len));
        self.say(|| {
            format!(
                "map {}: sync {len:#x} at {start:#x}",
                self.spaces[which].serial
            )
        });
        let got = self.retry(false, |r| r.spaces[which].real.sync(start, len))?;
        let must = self.spaces[which].model.sync(start, len);
        self.same("sync", got, must)
    }
}

/// Faults pages in as `populate` does: for writing where a private mapping may be written. What nobody
/// may read or run, and guards, are left alone.
fn fault_in(space: &Space, start: usize, pages: usize) -> Result<(), FaultError> {
    (0..pages)
        .map(|page| start + page * PAGE_SIZE)
        .try_for_each(|addr| {
            let attributes = space.area(addr).ok_or(FaultError::NoMapping)?.1.attributes;
            let access = match (attributes.prot, attributes.share) {
                _ if attributes.guarded => return Ok(()),
                (prot, Share::Private) if prot.contains(Prot::WRITE) => Access::Write,
                (prot, _) if prot.contains(Prot::READ) => Access::Read,
                (prot, _) if prot.contains(Prot::EXEC) => Access::Exec,
                _ => return Ok(()),
            };
            space.fault(addr, access)
        })
}
