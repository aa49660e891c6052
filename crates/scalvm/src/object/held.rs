//! Pages held in place.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Access, Frame};
use crate::error::FaultError;
use crate::family::Family;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, Look, Miss, Object, ObjectBody};
use crate::page::{DIRTY, Page};
use crate::pager::Return;
use crate::request::Advice;
use crate::vm::Vm;

/// A page that keeps its frame while this exists, whatever happens to its object: to be copied from
/// or to with no lock held.
///
/// One that is held for writing stays the object's page as long as the object has it at all: a fork
/// that copies the object gives the child a copy of it at once. One that is held for reading may be
/// replaced in its object by a copy when the object is written after a fork, and is then what it was.
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
        let vm = self.vm;
        let mut zeros = None;
        let mut room = vm.room();
        // A page that comes for this is not used twice by it; nor by what follows at once: uses that
        // belong together are one.
        let mut was_here = true;
        let result = loop {
            let error = match self.try_hold(index, access, advice, &mut zeros) {
                Ok(held) => {
                    if was_here && !vm.is_newest(held.page) {
                        held.page.touch();
                    }
                    break Ok(held);
                }
                Err(Stop::Zeros) => match vm.zeroed_page() {
                    Ok(page) => {
                        was_here = false;
                        zeros = Some(page);
                        continue;
                    }
                    Err(error) => error.into(),
                },
                Err(Stop::Wait(ticket)) => {
                    was_here = false;
                    ticket.wait(vm);
                    continue;
                }
                Err(Stop::Again) => {
                    was_here = false;
                    continue;
                }
                Err(Stop::Error(error)) => error,
            };
            if error != FaultError::OutOfMemory || !vm.make_room(&mut room) {
                break Err(error);
            }
        };
        if let Some(page) = zeros {
            vm.let_go(page);
        }
        result
    }

    fn try_hold(
        &self,
        index: u64,
        access: Access,
        advice: Advice,
        zeros: &mut Option<Ptr<Page>>,
    ) -> Result<HeldPage<'v, M>, Stop<'v>> {
        let vm = self.vm;
        let guard = self.body.lock(vm);
        if index >= self.body.pages() || matches!(self.body.kind, Kind::Device(..)) {
            return Err(Stop::Error(FaultError::BeyondEnd));
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
                Look::Hole => vm
                    .zero_frame()
                    .ok()
                    .and_then(|zero| vm.page(zero))
                    .ok_or(Miss::OutOfMemory),
                Look::Absent => Err(Miss::Absent(self.body)),
                Look::Away(anon) => Err(Miss::Away(self.body, anon)),
                Look::Busy(page) => Err(Miss::Busy(page)),
                Look::Failed(error) => Err(Miss::Failed(error)),
            }
        };
        match found {
            Ok(page) => {
                let held = HeldPage::new(vm, page, access, Some(self.body));
                if let Some(ahead) = vm.take_ahead(&guard, self.body) {
                    drop(guard);
                    ahead.start(vm);
                }
                Ok(held)
            }
            Err(Miss::NeedZeros) => Err(Stop::Zeros),
            Err(Miss::OutOfMemory) => Err(Stop::Error(FaultError::OutOfMemory)),
            Err(Miss::Failed(error)) => Err(Stop::Error(FaultError::Pager(error))),
            Err(Miss::Away(holder, anon)) => match vm.begin_return(&guard, holder, anon, index) {
                Ok(Return::Here) => Err(Stop::Again),
                Ok(Return::Wait(ticket)) => Err(Stop::Wait(ticket)),
                Ok(Return::Read(read)) => {
                    drop(guard);
                    Err(Stop::Wait(read.start(vm)))
                }
                Err(error) => Err(Stop::Error(error.into())),
            },
            Err(Miss::Busy(page)) => {
                let ticket = Ticket::new(vm, &page);
                if let Some(ahead) = vm.take_ahead(&guard, self.body) {
                    drop(guard);
                    ahead.start(vm);
                }
                Err(Stop::Wait(ticket))
            }
            Err(Miss::Absent(holder)) => match vm.begin_bring(&guard, holder, index, advice) {
                Ok(bring) => {
                    drop(guard);
                    Err(Stop::Wait(bring.start(vm)))
                }
                Err(error) => Err(Stop::Error(error.into())),
            },
        }
    }
}

/// Why a page cannot be held yet.
enum Stop<'v> {
    Wait(Ticket<'v>),
    /// Something has changed: look again.
    Again,
    Zeros,
    Error(FaultError),
}
