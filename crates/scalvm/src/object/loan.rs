//! Loans: pages lent to the kernel, whose bytes stay what they were when they were lent.
//!
//! A loan is one more reference to the page's anon (A1), as a fork makes them: so whoever is about to
//! write the page, through whatever object or hold, gets a copy of it, and the borrower keeps the
//! original. Nothing else in the manager need know of loans, but what writes pages without asking for the
//! count: pages of files, which are never shared otherwise (`Vm::vnode_page_to_write`).
//!
//! | what happens to a lent page | what comes of it |
//! |---|---|
//! | it is written, by a program, a holder or write(2) | its object has a copy in its place |
//! | it is discarded, truncated, unmapped; its object ends | the loan's reference is the last one, and frees it |
//! | it is to leave memory | it stays: a loan holds it, as a [`HeldPage`](crate::HeldPage) does |
//! | somebody holds it already to write it | a copy is lent |
//! | there is none: untouched memory | the page of zeros is lent |
//!
//! A loan to another address space is a copy of the range, put there: see
//! [`Map::extract`](crate::Map::extract).
//!
//! Invariants:
//! - **B1** while it is lent, a page is mapped nowhere with the right to write (M2 says so of what has
//!   several references), and nobody holds it to write it.
//! - **B2** a loan has one reference of the anon, one hold of its page, and a pin of its family: the anon may
//!   be in no object any more.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::addr::{Access, Frame, PAGE_MASK, Prot};
use crate::anon::Anon;
use crate::error::{FaultError, OutOfMemory};
use crate::family::Family;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::Map;
use crate::object::{Found, Kind, Look, Object, ObjectBody, ObjectGuard};
use crate::page::{Page, State};
use crate::pmap::Pmap;
use crate::stats::Event;
use crate::vm::Vm;

/// A page that was lent: its bytes do not change while this exists. A clone is the same page, lent once more.
pub struct Loan<'v, M: Machine> {
    vm: &'v Vm<M>,
    page: Ptr<Page>,
    /// Whose page it is; none for a copy, or the page of zeros.
    lent: Option<Lent<M>>,
}

struct Lent<M: Machine> {
    anon: Ptr<Anon<M>>,
    family: Ptr<Family<M>>,
}

impl<'v, M: Machine> Map<'v, M> {
    /// Lends the page at an address, as far as the address space may read it itself. The page is brought in
    /// first if need be: blocks for I/O. Devices are not lent (`Protection`).
    pub fn lend(&self, addr: usize) -> Result<Loan<'v, M>, FaultError> {
        loop {
            match self.try_lend(addr & !PAGE_MASK) {
                // Nothing is there yet, or only what grows when it is asked for.
                Ok(None) | Err(FaultError::NoMapping) => self.fault_wait(addr, Access::Read)?,
                Ok(Some(loan)) => return Ok(loan),
                Err(error) => return Err(error),
            }
        }
    }

    fn try_lend(&self, va: usize) -> Result<Option<Loan<'v, M>>, FaultError> {
        let vm = self.vm;
        let map = self.body.read(vm);
        let entry = map.map.tree.find(va).ok_or(FaultError::NoMapping)?;
        if !entry.attributes().prot.contains(Prot::READ) {
            return Err(FaultError::Protection);
        }
        let guard = entry.object.get().map(|object| object.lock(vm));
        let guard = guard.as_ref();
        vm.may_pass_by(&self.body, entry, va, Access::Read, guard)?;
        match guard {
            Some(guard) => vm.lend_of(guard, entry.index_of(va)),
            None => vm.lend_zeros().map(Some),
        }
    }
}

impl<'v, M: Machine> Object<'v, M> {
    /// Lends a page of the object. The page is brought in first if need be: blocks for I/O. Devices are not
    /// lent (`BeyondEnd`).
    pub fn lend(&self, index: u64) -> Result<Loan<'v, M>, FaultError> {
        loop {
            drop(self.hold(index, Access::Read)?);
            let guard = self.body.lock(self.vm);
            if let Some(loan) = self.vm.lend_of(&guard, index as u32)? {
                return Ok(loan);
            }
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Lends what a read of `index` sees in the object that is locked; none if it must be brought first.
    fn lend_of(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
    ) -> Result<Option<Loan<'_, M>>, FaultError> {
        let object = guard.object();
        if !object.under.unwrap_or(object).has_page(index) {
            return Err(FaultError::BeyondEnd);
        }
        if let Kind::Device(..) = object.kind {
            return Err(FaultError::Protection);
        }
        let (holder, look) = self.look_through(guard, index);
        match look {
            Look::Page(found) => Ok(self.lend_page(guard, holder, index, found).map(Some)?),
            Look::Hole => self.lend_zeros().map(Some),
            Look::Failed(error) => Err(FaultError::Pager(error)),
            Look::Absent | Look::Away(_) | Look::Busy(_) => Ok(None),
        }
    }

    /// Lends a page that an object has at `index`.
    fn lend_page(
        &self,
        guard: &ObjectGuard<'_, M>,
        holder: Ptr<ObjectBody<M>>,
        index: u32,
        found: Found<M>,
    ) -> Result<Loan<'_, M>, OutOfMemory> {
        let page = found.page;
        page.touch();
        let holds = page.holds().load(Acquire);
        let lent = match (found.place.anon(), holder.family.get()) {
            // Who may be writing it: one who is known to (F3), or of a file whoever holds it but lenders.
            (Some(anon), Some(family)) => match holder.kind {
                Kind::Anonymous => holds == 1 || !family.is_written(),
                _ => holds <= anon.refs(),
            }
            .then_some(Lent { anon, family }),
            _ => None,
        };
        let Some(lent) = lent else {
            let copy = self.new_page(State::Anon)?;
            self.machine.copy_frame(page.frame(), copy.frame());
            self.count(Event::LendCopy);
            return Ok(Loan::new(self, copy, None));
        };
        if page.mapped.load(Relaxed) > 0 {
            self.each_range(guard, holder, index, 1, |map, range| {
                let debt = map.pmap.protect(&self.machine, self, range, Prot::RX);
                self.pay(debt, &map.target().pmap);
            });
        }
        page.holds().fetch_add(1, Relaxed);
        lent.take();
        Ok(Loan::new(self, page, Some(lent)))
    }

    /// Lends the page of zeros.
    fn lend_zeros(&self) -> Result<Loan<'_, M>, FaultError> {
        let page = self.zero_page()?;
        page.holds().fetch_add(1, Relaxed);
        Ok(Loan::new(self, page, None))
    }
}

impl<M: Machine> Lent<M> {
    /// One reference and pin more (B2).
    fn take(&self) {
        self.anon.share();
        self.family.pin();
    }
}

impl<'v, M: Machine> Loan<'v, M> {
    /// A loan of a page, with a hold of it, and with what else it takes.
    fn new(vm: &'v Vm<M>, page: Ptr<Page>, lent: Option<Lent<M>>) -> Loan<'v, M> {
        vm.count(Event::Lend);
        Loan { vm, page, lent }
    }

    /// The frame.
    pub fn frame(&self) -> Frame {
        self.page.frame()
    }

    /// Its bytes, through the direct map.
    pub fn as_ptr(&self) -> *const u8 {
        self.vm.machine.frame_ptr(self.frame())
    }

    /// Copies bytes out, from an offset within the page on.
    pub fn read(&self, offset: usize, buf: &mut [u8]) {
        self.vm
            .frames
            .read(&self.vm.machine, self.frame(), offset, buf);
    }
}

impl<M: Machine> Clone for Loan<'_, M> {
    fn clone(&self) -> Self {
        self.page.holds().fetch_add(1, Relaxed);
        let lent = self
            .lent
            .as_ref()
            .map(|&Lent { anon, family }| Lent { anon, family });
        lent.iter().for_each(Lent::take);
        Loan::new(self.vm, self.page, lent)
    }
}

impl<M: Machine> Drop for Loan<'_, M> {
    fn drop(&mut self) {
        if let Some(lent) = &self.lent {
            self.vm.release_anon(lent.anon);
            self.vm.unpin_family(lent.family);
        }
        self.vm.let_go(self.page);
        self.vm.count(Event::Repay);
        self.vm.one_may_leave();
    }
}
