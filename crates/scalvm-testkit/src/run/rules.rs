//! Steps about what an address space allows: limits, wiring of all, seals, and what grows.

use scalvm::{MapLimits, MapRequest, Place, Wire};

use super::decode::{self, draw};
use super::runner::{Check, Runner};
use crate::model::Space;

impl Runner<'_> {
    pub(super) fn wire_on_fault(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "wire on fault",
            args,
            |p, at, len| p.real.wire_on_fault(at, len),
            |s, at, len| s.set_wired(at, len, Some(Wire::OnFault)),
        )
    }

    pub(super) fn wire_all(&mut self, [which, how, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let how = how % 8;
        let wire = [Some(Wire::Now), Some(Wire::OnFault), None][how as usize % 3];
        self.say(|| format!("map {}: wire all {how} {wire:?}", self.spaces[which].serial));
        let pair = &mut self.spaces[which];
        if how >= 6 {
            pair.real.set_wire_future(wire);
            pair.model.rules.future = wire;
            let is = pair.real.wire_future();
            return self.same("wired from now on", is, wire);
        }
        let got = match wire {
            Some(how) => pair.real.wire_all(how),
            None => {
                pair.real.unwire_all();
                Ok(())
            }
        };
        let must = pair.model.wire_all(wire);
        self.same("wire all", got, must)
    }

    pub(super) fn limit(&mut self, [which, sizes, more, how, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let (mut sizes, mut more) = (sizes, more);
        let limits = MapLimits {
            mapped: decode::limit(&mut sizes),
            data: decode::limit(&mut sizes),
            wired: decode::limit(&mut more),
            stack: decode::limit(&mut more),
        };
        let refuse = how % 4 == 3;
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: {limits:x?}, becoming executable is refused: {refuse}")
        });
        let Self { spaces, setup, .. } = self;
        let pair = &mut spaces[which];
        pair.real.set_limits(limits);
        pair.model.rules.limits = limits;
        pair.real.set_refuse_exec_gain(refuse);
        pair.model.rules.refuse_exec_gain = refuse;
        if how % 5 == 4 {
            // The first pages of the arena are not for what may lie anywhere.
            let low = decode::arena(setup.space) + (how as usize / 20 % 8) * scalvm::PAGE_SIZE;
            pair.real.set_room(low, low + 0x20000);
            pair.model.rules.floor = low;
        }
        let is = (pair.real.limits(), pair.real.refuses_exec_gain());
        self.same("limits", is, (limits, refuse))
    }

    pub(super) fn seal(&mut self, args: [u32; 6]) -> Check {
        self.on_range("seal", args, |p, at, len| p.real.seal(at, len), Space::seal)
    }

    pub(super) fn guard(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "guard",
            args,
            |p, at, len| p.real.guard(at, len),
            Space::guard,
        )
    }

    pub(super) fn unguard(&mut self, args: [u32; 6]) -> Check {
        self.on_range(
            "unguard",
            args,
            |p, at, len| p.real.unguard(at, len),
            Space::unguard,
        )
    }

    pub(super) fn set_tag(&mut self, args: [u32; 6]) -> Check {
        let tag = args[3] % 3;
        self.on_range(
            "set tag",
            args,
            |p, at, len| p.real.set_tag(at, len, tag),
            |s, at, len| s.set_tag(at, len, tag),
        )
    }

    pub(super) fn map_growing(&mut self, [which, place, len, prot, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let mut len = len;
        let pages = 1 + draw(&mut len, 4) as usize;
        let request = MapRequest {
            grows: true,
            ..MapRequest::anonymous(pages * scalvm::PAGE_SIZE, decode::prot(prot))
        };
        let place = match len % 3 {
            0 => Place::Anywhere,
            1 => Place::Free(self.address(which, place)),
            _ => Place::Fixed(self.address(which, place)),
        };
        self.map(which, request.at(place), None)
    }

    pub(super) fn grow(&mut self, [which, at, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let addr = self.rough_address(which, at);
        self.say(|| format!("map {}: grow to {addr:#x}", self.spaces[which].serial));
        let got = self.retry(true, |r| r.spaces[which].real.grow(addr))?;
        let must = self.spaces[which].model.grow_down(addr);
        self.same("grow", got, must)
    }

    /// Where what grows grew before a fault ended for want of memory, so does the model's.
    pub(super) fn follow_growth(&mut self, which: usize, addr: usize) -> Check {
        let Self { spaces, .. } = self;
        let pair = &mut spaces[which];
        let is_mapped = pair
            .real
            .query(addr)
            .is_some_and(|region| region.start <= addr);
        if !is_mapped {
            return Ok(());
        }
        let grown = pair.model.grow_down(addr);
        self.same("growth", grown, Ok(()))
    }
}
