//! Pages held in place.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Access, Frame};
use crate::error::{FaultError, OutOfMemory};
use crate::family::Family;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, Look, Miss, Object, ObjectBody, ObjectGuard, Zeros};
use crate::page::{DIRTY, Page};
use crate::pager::{Ahead, Bring, Return, SwapRead};
use crate::request::Advice;
use crate::vm::Vm;

/// A page that keeps its frame while this exists, whatever happens to its object: to be copied from
/// or to with no lock held.
///
/// One that is held for writing stays the object's page as long as the object has it at all: a fork
/// that copies the object gives the child a copy of it at once. One that is held for reading may be
/// replaced in its object by a copy when the object is written after a fork, or while the page is lent,
/// and is then what it was.
pub struct HeldPage<'v, M: Machine> {
    vm: &'v Vm<M>,
    page: Ptr<Page>,
    /// Held to be written: what was written after a sync began is dirty again.
    write: bool,
    /// Of anonymous memory held to be written, which a fork must know (F3).
    family: Option<Ptr<Family<M>>>,
}

impl<'v, M: Machine> HeldPage<'v, M> {
    /// Holds a page that is ready for this access, through this object, which is locked.
    pub(crate) fn new(
        vm: &'v Vm<M>,
        page: Ptr<Page>,
        access: Access,
        object: Option<Ptr<ObjectBody<M>>>,
    ) -> HeldPage<'v, M> {
        page.holds().fetch_add(1, Relaxed);
        let write = access == Access::Write;
        let object = object.filter(|object| write && matches!(object.kind, Kind::Anonymous));
        let family = object.and_then(|object| object.family.get());
        if let Some(family) = family {
            family.begin_write();
        }
        HeldPage {
            vm,
            page,
            write,
            family,
        }
    }

    /// What it is made of, for who keeps many: still held, until it is made whole and dropped.
    pub(crate) fn into_parts(self) -> (Ptr<Page>, Option<Ptr<Family<M>>>) {
        let parts = (self.page, self.family);
        core::mem::forget(self);
        parts
    }

    /// A page made whole again.
    pub(crate) fn from_parts(
        vm: &'v Vm<M>,
        page: Ptr<Page>,
        write: bool,
        family: Option<Ptr<Family<M>>>,
    ) -> HeldPage<'v, M> {
        HeldPage {
            vm,
            page,
            write,
            family,
        }
    }

    /// The frame.
    pub fn frame(&self) -> Frame {
        self.page.frame()
    }

    /// Its bytes, through the direct map. Programs that map the page may change them at any time.
    pub fn as_ptr(&self) -> *mut u8 {
        self.vm.machine.frame_ptr(self.frame())
    }

    /// Copies bytes out, from an offset within the page.
    pub(crate) fn read(&self, offset: usize, buf: &mut [u8]) {
        self.vm
            .frames
            .read(&self.vm.machine, self.frame(), offset, buf);
    }

    /// Copies bytes in, to an offset within the page.
    pub(crate) fn write(&self, offset: usize, buf: &[u8]) {
        self.vm
            .frames
            .write(&self.vm.machine, self.frame(), offset, buf);
    }
}

impl<M: Machine> HeldPage<'_, M> {
    /// Copies `len` bytes in from another page.
    pub(crate) fn copy_from(&self, to: usize, from: &HeldPage<'_, M>, at: usize, len: usize) {
        let (source, target) = (from.frame(), self.frame());
        let frames = &self.vm.frames;
        frames.copy(&self.vm.machine, (source, at), (target, to), len);
    }
}

impl<M: Machine> Drop for HeldPage<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.write {
            self.page.set_flags(DIRTY);
        }
        self.vm.let_go(self.page);
        if let Some(family) = self.family {
            self.vm.end_write(family);
        }
        self.vm.one_may_leave();
    }
}

impl<'v, M: Machine> Object<'v, M> {
    /// Holds a page of the object, brought in first if need be; for writing, made ready for it and
    /// marked dirty. Blocks for I/O. A hole is read as the shared page of zeros.
    pub fn hold(&self, index: u64, access: Access) -> Result<HeldPage<'v, M>, FaultError> {
        self.hold_as(index, access, Advice::Normal)
    }

    /// The same with advice on what will be held next: with [`Advice::Random`] nothing is read but the
    /// page, as suits a kernel that reads ahead by itself, see
    /// [`read_ahead`](Object::read_ahead).
    pub fn hold_as(
        &self,
        index: u64,
        access: Access,
        advice: Advice,
    ) -> Result<HeldPage<'v, M>, FaultError> {
        self.vm
            .hold_until(|zeros| self.try_hold(index, access, advice, zeros))
    }

    fn try_hold(
        &self,
        index: u64,
        access: Access,
        advice: Advice,
        zeros: &mut Zeros,
    ) -> Hold<'v, M> {
        let vm = self.vm;
        let guard = self.body.lock(vm);
        if index >= self.body.pages() || matches!(self.body.kind, Kind::Device(..)) {
            return Hold::Failed(FaultError::BeyondEnd);
        }
        let index = index as u32;
        let found = if access == Access::Write {
            vm.page_to_write(&guard, index, zeros).map(|found| {
                if let Some(old) = found.old {
                    vm.release_anon(old);
                }
                found.found.page
            })
        } else {
            match vm.look(&guard, self.body, index) {
                Look::Page(found) => Ok(found.page),
                Look::Hole => vm.zero_page().map_err(Miss::from),
                Look::Absent => Err(Miss::Absent(self.body)),
                Look::Away(anon) => Err(Miss::Away(self.body, anon)),
                Look::Busy(page) => Err(Miss::Busy(page)),
                Look::Failed(error) => Err(Miss::Failed(error)),
            }
        };
        vm.hold_found(&guard, index, access, advice, found)
    }
}

/// What a try to hold a page came to. What is to be started is started with no lock held.
pub(crate) enum Hold<'v, M: Machine> {
    /// It is held; this is to be read ahead meanwhile.
    Got(HeldPage<'v, M>, Option<Ahead<M>>),
    Wait(Ticket<'v>, Option<Ahead<M>>),
    Read(SwapRead<'v, M>),
    Bring(Bring<'v, M>),
    /// Something has changed: look again.
    Again,
    /// A page of zeros is needed.
    Zeros,
    Failed(FaultError),
}

impl<M: Machine> From<OutOfMemory> for Hold<'_, M> {
    fn from(error: OutOfMemory) -> Self {
        Hold::Failed(error.into())
    }
}

impl<M: Machine> Vm<M> {
    /// Tries to hold a page until it is held, or cannot be. Blocks for I/O.
    pub(crate) fn hold_until<'v>(
        &'v self,
        mut attempt: impl FnMut(&mut Zeros) -> Hold<'v, M>,
    ) -> Result<HeldPage<'v, M>, FaultError> {
        let mut zeros = None;
        let mut room = self.room();
        // A page that comes for this is not used twice by it; nor by what follows at once: uses that
        // belong together are one.
        let mut was_here = true;
        let result = loop {
            let error = match attempt(&mut zeros) {
                Hold::Got(held, ahead) => {
                    if was_here && !self.is_newest(held.page) {
                        held.page.touch();
                    }
                    if let Some(ahead) = ahead {
                        ahead.start(self);
                    }
                    break Ok(held);
                }
                Hold::Failed(error) => error,
                other => {
                    was_here = false;
                    match self.prepare(other, &mut zeros) {
                        Ok(()) => continue,
                        Err(error) => error.into(),
                    }
                }
            };
            if error != FaultError::OutOfMemory || !self.make_room(&mut room) {
                break Err(error);
            }
        };
        if let Some(page) = zeros {
            self.let_go(page);
        }
        result
    }

    /// Does, or waits for, what a try to hold a page lacked.
    fn prepare(&self, lack: Hold<'_, M>, zeros: &mut Zeros) -> Result<(), OutOfMemory> {
        match lack {
            Hold::Zeros => *zeros = Some(self.zeroed_page()?),
            Hold::Wait(ticket, ahead) => {
                if let Some(ahead) = ahead {
                    ahead.start(self);
                }
                ticket.wait(self);
            }
            Hold::Read(read) => read.start(self).wait(self),
            Hold::Bring(bring) => bring.start(self).wait(self),
            Hold::Again | Hold::Got(..) | Hold::Failed(_) => {}
        }
        Ok(())
    }

    /// Holds what was found at `index` of the object that is locked, or begins to get it.
    pub(crate) fn hold_found<'v>(
        &'v self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        access: Access,
        advice: Advice,
        found: Result<Ptr<Page>, Miss<M>>,
    ) -> Hold<'v, M> {
        let object = guard.object();
        let end = object.under.unwrap_or(object);
        match found {
            Ok(page) => {
                let held = HeldPage::new(self, page, access, Some(object));
                Hold::Got(held, self.take_ahead(guard, end))
            }
            Err(Miss::NeedZeros) => Hold::Zeros,
            Err(Miss::OutOfMemory) => OutOfMemory.into(),
            Err(Miss::Failed(error)) => Hold::Failed(FaultError::Pager(error)),
            Err(Miss::Away(holder, anon)) => match self.begin_return(guard, holder, anon, index) {
                Ok(Return::Here) => Hold::Again,
                Ok(Return::Wait(ticket)) => Hold::Wait(ticket, None),
                Ok(Return::Read(read)) => Hold::Read(read),
                Err(error) => error.into(),
            },
            Err(Miss::Busy(page)) => {
                Hold::Wait(Ticket::new(self, &page), self.take_ahead(guard, end))
            }
            Err(Miss::Absent(holder)) => match self.begin_bring(guard, holder, index, advice) {
                Ok(bring) => Hold::Bring(bring),
                Err(error) => error.into(),
            },
        }
    }

    /// The page of zeros.
    pub(crate) fn zero_page(&self) -> Result<Ptr<Page>, OutOfMemory> {
        self.zero_frame()
            .and_then(|zero| self.page(zero).ok_or(OutOfMemory))
    }
}
