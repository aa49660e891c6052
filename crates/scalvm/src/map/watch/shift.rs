//! Moving a page of private memory to where one is missing, without copying it.
//!
//! The page gets a new anon at its new place: who knew the old one - the page daemon, without a lock -
//! finds that the two have parted. In between both places are this call's alone, since the map is locked
//! for writing and no other map has either object.
#![expect(
    clippy::result_large_err,
    reason = "a read that is to be started is carried in an error once"
)]

use core::sync::atomic::Ordering::Acquire;

use crate::addr::{PAGE_MASK, PAGE_SIZE, Prot};
use crate::amap::Way;
use crate::anon::Anon;
use crate::error::ServeError;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Attributes, Map, MapEntry, MapWrite};
use crate::object::{Look, ObjectBody, ObjectGuard};
use crate::page::{Page, State, WRITING};
use crate::pager::{Return, SwapRead};
use crate::pmap::Pmap;
use crate::request::Share;
use crate::vm::Vm;

/// Why a page has not moved. (Large for the request to bring it back, which is rare and goes no further than
/// this file.)
enum Stop<'v, M: Machine> {
    Error(ServeError),
    /// It is being brought back, or the daemon has it.
    Wait(Ticket<'v>),
    /// It must be brought back, with nothing locked.
    Read(SwapRead<'v, M>),
    Again,
}

impl<E: Into<ServeError>, M: Machine> From<E> for Stop<'_, M> {
    fn from(error: E) -> Self {
        Stop::Error(error.into())
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// Moves the page at `from` to `to`, which is watched and has none: `from` then has none either, and
    /// `to` is not write-protected. Both must be private anonymous memory with the same rights, among
    /// them to write, and both wired or neither ([`ServeError::Unlike`]). The page must not be shared
    /// with a relative by fork ([`ServeError::Shared`]). Who waits for `to` must be woken. Blocks for I/O,
    /// and to make room in memory. On failure nothing has changed.
    pub fn move_page(&self, from: usize, to: usize) -> Result<(), ServeError> {
        if (from | to) & PAGE_MASK != 0 {
            return Err(ServeError::NotWatched);
        }
        let mut room = self.vm.room();
        loop {
            match self.try_move(from, to) {
                Ok(()) => return Ok(()),
                Err(Stop::Wait(ticket)) => ticket.wait(self.vm),
                Err(Stop::Read(read)) => read.start(self.vm).wait(self.vm),
                Err(Stop::Again) => {}
                Err(Stop::Error(ServeError::OutOfMemory)) if self.vm.make_room(&mut room) => {}
                Err(Stop::Error(error)) => return Err(error),
            }
        }
    }

    fn try_move(&self, from: usize, to: usize) -> Result<(), Stop<'v, M>> {
        let vm = self.vm;
        let map = self.body.write(vm);
        let (Some(source), Some(target)) = (map.map.tree.find(from), map.map.tree.find(to)) else {
            return Err(ServeError::NotWatched.into());
        };
        check_alike(source, target)?;
        vm.make_private(&map, target)?;
        let taker = target.object.get().ok_or(ServeError::Unlike)?;
        let (old, new) = (source.index_of(from), target.index_of(to));
        vm.check_free(&map, taker, new, to)?;
        if source.attributes().poisoned {
            return Err(ServeError::Poisoned.into());
        }
        let Some(giver) = source.object.get() else {
            return Err(ServeError::Absent.into());
        };
        if !giver.exclusive.get() || !taker.exclusive.get() {
            return Err(ServeError::Shared.into());
        }
        let page = vm.page_to_move(&giver.lock(vm), old)?;
        let spares = map.reserve_clips(vm, to, to + PAGE_SIZE)?;
        let result = vm.move_between(&map, (giver, old, from), (taker, new), page);
        match result {
            Ok(()) => map.mark_page(vm, to, false, spares),
            Err(_) => spares.give_back(vm),
        }
        result
    }
}

/// Whether a page may go from one entry to another.
fn check_alike<M: Machine>(
    source: Ptr<MapEntry<M>>,
    target: Ptr<MapEntry<M>>,
) -> Result<(), ServeError> {
    let (a, b) = (source.attributes(), target.attributes());
    if b.watch.is_none() {
        return Err(ServeError::NotWatched);
    }
    if b.poisoned || b.guarded {
        return Err(ServeError::Present);
    }
    let anonymous = |entry: Ptr<MapEntry<M>>, attributes: Attributes| {
        attributes.share == Share::Private
            && entry
                .object
                .get()
                .is_none_or(|object| object.private && object.under.is_none())
    };
    let alike = a.prot == b.prot && a.prot.contains(Prot::WRITE) && a.wired == b.wired;
    if alike && anonymous(source, a) && anonymous(target, b) {
        Ok(())
    } else {
        Err(ServeError::Unlike)
    }
}

/// A page of an object: the object, the page's number in it, and where it is mapped.
type At<M> = (Ptr<ObjectBody<M>>, u32, usize);
/// Where it goes: the object, and its number there.
type To<M> = (Ptr<ObjectBody<M>>, u32);

impl<M: Machine> Vm<M> {
    /// Whether there is no page yet where one is to go.
    fn check_free(
        &self,
        map: &MapWrite<'_, M>,
        taker: Ptr<ObjectBody<M>>,
        index: u32,
        to: usize,
    ) -> Result<(), ServeError> {
        let _taker = taker.lock(self);
        if taker.has_anon(index) || map.map.pmap.query(&self.machine, to).is_some() {
            return Err(ServeError::Present);
        }
        Ok(())
    }

    /// The page that an object, which is locked, has for itself at an index, in memory and at rest.
    fn page_to_move<'v>(
        &'v self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
    ) -> Result<Ptr<Page>, Stop<'v, M>> {
        let object = guard.object();
        if !object.has_anon(index) {
            return Err(ServeError::Absent.into());
        }
        let amap = object.amap.get().ok_or(ServeError::Absent)?;
        let Way::Own(own) = amap.own_way(index) else {
            return Err(ServeError::Shared.into());
        };
        let anon = own.place().anon().ok_or(ServeError::Absent)?;
        if anon.refs() != 1 {
            return Err(ServeError::Shared.into());
        }
        let page = match self.look(guard, object, index) {
            Look::Page(found) => found.page,
            Look::Busy(page) => return Err(Stop::Wait(Ticket::new(self, &page))),
            Look::Failed(error) => return Err(ServeError::Pager(error).into()),
            Look::Hole | Look::Absent => return Err(ServeError::Absent.into()),
            Look::Away(anon) => {
                return Err(match self.begin_return(guard, object, anon, index)? {
                    Return::Here => Stop::Again,
                    Return::Wait(ticket) => Stop::Wait(ticket),
                    Return::Read(read) => Stop::Read(read),
                });
            }
        };
        if page.test_flags(WRITING) != 0 {
            return Err(Stop::Wait(Ticket::new(self, &page)));
        }
        Ok(page)
    }

    /// Moves a page that [`page_to_move`](Vm::page_to_move) found. The map of both is locked for writing.
    fn move_between(
        &self,
        map: &MapWrite<'_, M>,
        (giver, old, from): At<M>,
        (taker, new): To<M>,
        page: Ptr<Page>,
    ) -> Result<(), Stop<'_, M>> {
        let anon = Anon::new(page, taker.family.get(), new);
        let anon = self.anons.alloc(&self.machine, &self.frames, anon)?;
        let moved = self.give_and_take(map, (giver, old, from), (taker, new), page, anon);
        moved.inspect_err(|_| self.anons.free(&self.machine, &self.frames, anon))
    }

    /// The same with the anon made that the page will have. On failure it is in no slot.
    fn give_and_take(
        &self,
        map: &MapWrite<'_, M>,
        (giver, old, from): At<M>,
        (taker, new): To<M>,
        page: Ptr<Page>,
        anon: Ptr<Anon<M>>,
    ) -> Result<(), Stop<'_, M>> {
        // What may fail first: the place in the taker stays ours while the map is locked.
        let place = {
            let _taker = taker.lock(self);
            self.make_place(taker, new)?
        };
        {
            let guard = giver.lock(self);
            if self.page_to_move(&guard, old)? != page {
                return Err(Stop::Again);
            }
            self.unmap_range(map.map, from..from + PAGE_SIZE);
            anon.page.set(Some(self.part(giver, old, page)?));
        }
        {
            let _taker = taker.lock(self);
            if let Some(page) = anon.page.get() {
                self.settle(&place, anon, page);
            }
        }
        let _giver = giver.lock(self);
        self.drop_page(giver, old);
        Ok(())
    }

    /// Takes a page from its anon, which is left without one; or gives a copy where somebody holds it
    /// to read it, or the daemon looks at it. The object is locked.
    fn part(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        page: Ptr<Page>,
    ) -> Result<Ptr<Page>, ServeError> {
        let anon = object.amap.get().and_then(|amap| amap.anon(index));
        let anon = anon.ok_or(ServeError::Absent)?;
        if anon.backing.get() != 0 {
            self.part_from_backing(anon, page);
        }
        let identity = page.identify(&self.machine);
        if page.holds().load(Acquire) == 1 {
            anon.page.set(None);
            page.disown(&identity);
            return Ok(page);
        }
        drop(identity);
        if object
            .family
            .get()
            .is_some_and(|family| family.is_written())
        {
            return Err(ServeError::Held);
        }
        let copy = self.new_page(State::Anon)?;
        self.machine.copy_frame(page.frame(), copy.frame());
        Ok(copy)
    }
}
