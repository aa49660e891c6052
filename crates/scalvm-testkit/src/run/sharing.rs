//! Steps that pass memory on: entries to other spaces, pages to a borrower, bytes from space to space.

use scalvm::{Access, Extract, FaultError, Inherit, PAGE_MASK, PAGE_SIZE, Passing};

use super::decode::{self, draw};
use super::runner::{Check, Runner, wrong};
use crate::kit::Hw;
use crate::model::{Area, Bytes, Kind};

/// More lists of entries, and more loans, are not made.
const MOST: usize = 3;

/// Entries in passage, twice.
pub struct Passed<'v> {
    /// As the manager has them.
    pub real: Passing<'v, Hw>,
    /// As the model has them, by their addresses in a range from `start` on.
    pub areas: Vec<(usize, Area)>,
    pub start: usize,
    pub len: usize,
}

impl<'v> Runner<'v> {
    /// Extracts a range of a space: shared, copied or moved.
    pub(super) fn extract(&mut self, [which, at, len, how, ..]: [u32; 6]) -> Check {
        if self.passed.len() == MOST {
            return Ok(());
        }
        let which = self.pick(which);
        let (start, len) = (self.rough_address(which, at), decode::length(len));
        let how = [Extract::Share, Extract::Copy, Extract::Move][how as usize % 3];
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: extract {start:#x} {len:#x} {how:?}")
        });
        let inherit = match how {
            Extract::Share => Inherit::Share,
            Extract::Copy => Inherit::Copy,
            Extract::Move => Inherit::None,
        };
        let areas = &self.spaces[which].model.areas;
        let hidden = areas.values().any(|area| area.may_hide_zeros(inherit));
        let got = self.retry(true, |r| r.spaces[which].real.extract(start, len, how))?;
        let must = self.spaces[which].model.extract(start, len, how);
        match (got, must) {
            (Ok(real), Ok(areas)) => {
                self.forked |= how != Extract::Move;
                self.shared |= hidden;
                let len = real.len();
                self.passed.push(Passed {
                    real,
                    areas,
                    start,
                    len,
                });
                Ok(())
            }
            (got, must) => self.same("extract", got.map(|_| ()), must.map(|_| ())),
        }
    }

    /// Puts what was extracted somewhere, or drops it.
    pub(super) fn put(&mut self, [which, nth, place, end, ..]: [u32; 6]) -> Check {
        if self.passed.is_empty() {
            return Ok(());
        }
        let nth = nth as usize % self.passed.len();
        if end % 5 == 4 {
            self.passed.swap_remove(nth);
            return Ok(());
        }
        let which = self.pick(which);
        let place = self.place(which, place);
        let len = self.passed[nth].len;
        let refused = self.refuse_put(which, nth, place, len);
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: put {len:#x} {place:x?}: {refused:?}")
        });
        let got = self.retry(true, |r| {
            let passing = &mut r.passed[nth].real;
            r.spaces[which].real.put(passing, place)
        })?;
        let start = match (got, refused) {
            (Ok(start), Ok(())) => start,
            (got, refused) => return self.same("put", got.map(|_| ()), refused),
        };
        self.check_place(which, place, start, len)?;
        let passed = self.passed.swap_remove(nth);
        if !passed.real.is_empty() {
            return wrong("what was put is still in passage");
        }
        let space = &mut self.spaces[which].model;
        space.take(&(start..start + len));
        for (at, mut area) in passed.areas {
            area.end = area.end - passed.start + start;
            space.areas.insert(at - passed.start + start, area);
        }
        Ok(())
    }

    /// Whether the model refuses to put a list somewhere.
    fn refuse_put(
        &self,
        which: usize,
        nth: usize,
        place: scalvm::Place,
        len: usize,
    ) -> Result<(), scalvm::MapError> {
        let space = &self.spaces[which].model;
        let replaced = self.replaced_at(which, place, len)?;
        for (_, area) in &self.passed[nth].areas {
            let attributes = &area.attributes;
            space.rules.may_have(attributes.prot, attributes.prot)?;
            space.may_add(attributes, len, replaced)?;
        }
        self.refuse_place(which, place, len)
    }

    /// Borrows a page of a space, or of an object.
    pub(super) fn lend(&mut self, [which, at, object, ..]: [u32; 6]) -> Check {
        if self.loans.len() == MOST {
            return Ok(());
        }
        let (got, must) = if object % 3 == 0 && !self.objects.is_empty() {
            let which = which as usize % self.objects.len();
            let index = u64::from(at % 20);
            let model = self.objects[which].model.clone();
            let device = matches!(model.borrow().kind, Kind::Device);
            self.say(|| format!("object {}: lend {index}", self.objects[which].real.id()));
            let got = self.retry(true, |r| r.objects[which].real.lend(index))?;
            let page = model.borrow().page(index).filter(|_| !device);
            model.borrow().copied.set(true);
            (got, page.ok_or(FaultError::BeyondEnd))
        } else {
            let which = self.pick(which);
            let addr = self.address(which, at);
            self.say(|| format!("map {}: lend {addr:#x}", self.spaces[which].serial));
            let got = self.retry(false, |r| r.spaces[which].real.lend(addr))?;
            _ = self.spaces[which].model.grow_down(addr);
            let space = &self.spaces[which].model;
            if let Some((object, _)) = space.area(addr).and_then(|(_, area)| area.source.as_ref()) {
                object.borrow().copied.set(true);
            }
            if let Ok(loan) = &got {
                self.need_not_be_told(which, addr, Access::Read)?;
                let mut is = [0; PAGE_SIZE];
                loan.read(0, &mut is);
                space.found(addr & !PAGE_MASK, &is);
            }
            let page = space
                .load(addr, Access::Read, PAGE_SIZE)
                .and_then(|bytes| self.forbid_device(which, addr).map(|()| bytes))
                .map(|bytes| Bytes::new(&bytes.try_into().expect("a page")));
            (got, page)
        };
        match (got, must) {
            (Ok(loan), Ok(page)) => {
                self.loans.push((loan, page));
                Ok(())
            }
            (got, must) => self.same("lend", got.map(|_| ()), must.map(|_| ())),
        }
    }

    /// Gives a loan back, or lends it once more.
    pub(super) fn repay(&mut self, [nth, again, ..]: [u32; 6]) -> Check {
        if self.loans.is_empty() {
            return Ok(());
        }
        let nth = nth as usize % self.loans.len();
        if again % 4 == 3 && self.loans.len() < MOST {
            let (loan, page) = &self.loans[nth];
            let more = (loan.clone(), page.clone());
            self.loans.push(more);
        } else {
            self.loans.swap_remove(nth);
        }
        Ok(())
    }

    /// What was lent is what it was.
    pub(super) fn compare_loans(&self) -> Check {
        for (loan, page) in &self.loans {
            if self.kit.bytes(loan.frame()) != *page {
                return wrong(format!("{:?}, which is lent, has changed", loan.frame()));
            }
        }
        self.same(
            "loans",
            self.kit.vm().stats().loans,
            self.loans.len() as u64,
        )
    }

    /// Copies from one space to another, or within one.
    pub(super) fn copy_across(&mut self, [from, at, to, there, within, len]: [u32; 6]) -> Check {
        let (from, to) = (self.pick(from), self.pick(to));
        let (source, target) = (self.address(from, at), self.address(to, there));
        let mut within = within;
        let source = source + [0, 8, 100][draw(&mut within, 3) as usize];
        let target = target + [0, 16, 3000][draw(&mut within, 3) as usize];
        let len = [8, PAGE_SIZE, 2 * PAGE_SIZE + 50][len as usize % 3];
        // What a copy does to itself on the way, and what nobody promises, is not asked for.
        if from == to && source.abs_diff(target) < len + PAGE_SIZE
            || self.is_doubtful(from, source, len, Access::Read)
            || self.is_doubtful(to, target, len, Access::Write)
        {
            return Ok(());
        }
        self.say(|| {
            let (a, b) = (self.spaces[from].serial, self.spaces[to].serial);
            format!("copy {len:#x} from {source:#x} of map {a} to {target:#x} of map {b}")
        });
        let mut total = 0;
        let got = self.retry(false, |r| {
            let (source, target) = (source + total, target + total);
            let (real, other) = (&r.spaces[from].real, &r.spaces[to].real);
            let (done, result) = real.copy_to(source, other, target, len - total);
            total += done;
            // The part that was copied is in the model too before anything is compared.
            r.model_copy((from, source), (to, target), done)
                .expect("it was copied");
            result
        })?;
        let rest = len - total;
        let must = self.model_copy((from, source + total), (to, target + total), rest);
        self.same("copy", got, must)
    }

    /// Whether the model cannot tell what an access to these bytes does.
    fn is_doubtful(&self, which: usize, addr: usize, len: usize, access: Access) -> bool {
        let space = &self.spaces[which].model;
        let mut at = addr;
        while at < addr + len {
            let n = (PAGE_SIZE - (at & PAGE_MASK)).min(addr + len - at);
            let implied = space.load(at, access, 1) == Err(FaultError::Protection);
            // The same page may be read and written through several objects, or lie beyond an end; it may have
            // been given up.
            if implied || space.is_tail(at, n) || !space.is_certain(at) {
                return true;
            }
            at += n;
        }
        false
    }

    /// Copies in the model, piece by piece as the manager does, up to what cannot be copied.
    fn model_copy(
        &mut self,
        (from, source): (usize, usize),
        (to, target): (usize, usize),
        len: usize,
    ) -> Result<(), FaultError> {
        let mut done = 0;
        while done < len {
            let (a, b) = (source + done, target + done);
            let n = (len - done)
                .min(PAGE_SIZE - (a & PAGE_MASK))
                .min(PAGE_SIZE - (b & PAGE_MASK));
            _ = self.spaces[from].model.grow_down(a);
            let bytes = self.spaces[from].model.load(a, Access::Read, n)?;
            self.forbid_device(from, a)?;
            _ = self.spaces[to].model.grow_down(b);
            self.spaces[to].model.fault(b, Access::Write)?;
            self.forbid_device(to, b)?;
            self.spaces[to].model.store(b, &bytes)?;
            done += n;
        }
        Ok(())
    }

    /// Reads or writes as a debugger does, whatever the rights are.
    pub(super) fn force(&mut self, [which, at, within, write, ..]: [u32; 6]) -> Check {
        let which = self.pick(which);
        let addr = self.address(which, at) + decode::within(within, 8);
        let access = [Access::Read, Access::Write][write as usize % 2];
        if self.spaces[which].model.is_tail(addr, 8) {
            return Ok(());
        }
        self.say(|| {
            let serial = self.spaces[which].serial;
            format!("map {serial}: force {access:?} at {addr:#x}")
        });
        let got = self.retry(false, |r| {
            let page = r.spaces[which].real.hold_forced(addr, access);
            page.map(|page| {
                let bytes = r.kit.bytes(page.frame()).as_slice()[addr & PAGE_MASK..][..8].to_vec();
                (page, bytes)
            })
        })?;
        _ = self.spaces[which].model.grow_down(addr);
        if let Ok((_, is)) = &got {
            self.need_not_be_told(which, addr, access)?;
            self.spaces[which].model.found(addr, is);
        }
        let must = match self.spaces[which].model.forced(addr, access) {
            Ok(must) => self.forbid_device(which, addr).map(|()| must),
            Err(error) => Err(error),
        };
        let implied = access == Access::Read && matches!(must, Err(FaultError::Protection));
        match (got, must) {
            (Ok(_), Err(_)) if implied => Ok(()),
            (Ok((page, is)), Ok((area, number, bytes))) => {
                self.same("forced", is, bytes)?;
                if access == Access::Write {
                    let new = self.bytes(8);
                    self.kit.write(page.frame(), addr & PAGE_MASK, &new);
                    area.write(number, addr & PAGE_MASK, &new);
                }
                Ok(())
            }
            (got, must) => self.same("force", got.map(|_| ()), must.map(|_| ())),
        }
    }

    /// Punches a hole into an object.
    pub(super) fn punch_object(&mut self, [which, at, len, ..]: [u32; 6]) -> Check {
        let which = self.which(which);
        let (offset, len) = self.span(which, at, len);
        let got = self.retry(false, |r| r.objects[which].real.punch(offset, len as u64))?;
        let model = self.objects[which].model.clone();
        let anonymous = matches!(model.borrow().kind, Kind::Anonymous);
        if !anonymous {
            return self.same("punch_object", got, Err(FaultError::BeyondEnd));
        }
        if model.borrow().kept {
            return self.same("punch_object", got, Err(FaultError::Protection));
        }
        let gone = model.borrow_mut().punch(offset, len as u64);
        for held in &mut self.holds {
            if std::rc::Rc::ptr_eq(&held.place.0, &model) && gone.contains(&held.place.1) {
                held.attached = false;
            }
        }
        self.same("punch_object", got, Ok(()))
    }
}
