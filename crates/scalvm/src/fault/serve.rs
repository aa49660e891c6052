//! What a watcher gives to whom it serves: a page where there is none, or the right to see one that
//! there is. (Watching is in `map/watch/`.)
//!
//! Locks: the map, for reading, and the object, as in a fault; for writing, where the protection of the
//! page changes with it.

use crate::addr::{Access, PAGE_MASK, PAGE_SIZE};
use crate::error::{OutOfMemory, ServeError};
use crate::fault::Fault;
use crate::fault::enter::Faulting;
use crate::fault::watched::Asker;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Attributes, Map, MapEntry, WatchEvents};
use crate::object::Zeros;
use crate::page::State;
use crate::pmap::Pmap;
use crate::request::{Advice, Share};
use crate::vm::Vm;

/// A page that is nobody's yet: to be filled, and then placed by [`Map::place`]. Dropping it frees it.
pub struct FreshPage<'v, M: Machine> {
    vm: &'v Vm<M>,
    page: Zeros,
}

impl<M: Machine> Vm<M> {
    /// A page of zeros. Blocks to make room for it.
    pub fn fresh_page(&self) -> Result<FreshPage<'_, M>, OutOfMemory> {
        let mut room = self.room();
        loop {
            match self.zeroed_page() {
                Ok(page) => {
                    let page = Some(page);
                    return Ok(FreshPage { vm: self, page });
                }
                Err(OutOfMemory) if self.make_room(&mut room) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<M: Machine> FreshPage<'_, M> {
    /// Its bytes, through the direct map.
    pub fn as_ptr(&self) -> *mut u8 {
        let frame = self.page.map_or(crate::Frame::NONE, |page| page.frame());
        self.vm.machine.frame_ptr(frame)
    }

    /// Copies bytes in, from its beginning on, as many as it has room for.
    pub fn fill(&mut self, bytes: &[u8]) {
        if let Some(page) = self.page {
            let bytes = &bytes[..bytes.len().min(PAGE_SIZE)];
            self.vm
                .frames
                .write(&self.vm.machine, page.frame(), 0, bytes);
        }
    }
}

impl<M: Machine> Drop for FreshPage<'_, M> {
    fn drop(&mut self) {
        if let Some(page) = self.page.take() {
            self.vm.let_go(page);
        }
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// Places a page at the start of a page of a watched range where there is none, or a poisoned one, and
    /// shows it; it is write-protected then or not, as is said. Who waits for it must be woken. Blocks to make room in
    /// memory. On failure nothing has changed.
    pub fn place(
        &self,
        addr: usize,
        mut page: FreshPage<'v, M>,
        protect: bool,
    ) -> Result<(), ServeError> {
        if addr & PAGE_MASK != 0 {
            return Err(ServeError::NotWatched);
        }
        let mut room = self.vm.room();
        loop {
            match self.try_place(addr, &mut page.page, protect) {
                Err(ServeError::OutOfMemory) if self.vm.make_room(&mut room) => {}
                result => return result,
            }
        }
    }

    fn try_place(&self, va: usize, page: &mut Zeros, protect: bool) -> Result<(), ServeError> {
        let vm = self.vm;
        loop {
            let map = self.body.read(vm);
            let entry = map.map.tree.find(va);
            let (entry, attributes) = watched(entry, protect)?;
            if attributes.write_protected != protect || attributes.poisoned {
                drop(map);
                return self.place_and_mark(va, page, protect);
            }
            if attributes.share == Share::Shared || entry.object.get().is_some_and(|o| o.private) {
                return vm.insert_at(&self.showing(entry, va, protect), page);
            }
            drop(map);
            self.make_private(va)?;
        }
    }

    /// The same where what is said of the page changes, for which the map is locked for writing.
    fn place_and_mark(&self, va: usize, page: &mut Zeros, protect: bool) -> Result<(), ServeError> {
        let vm = self.vm;
        let map = self.body.write(vm);
        let (entry, attributes) = watched(map.map.tree.find(va), protect)?;
        if attributes.share == Share::Private {
            vm.make_private(&map, entry)?;
        }
        let spares = map.reserve_clips(vm, va, va + PAGE_SIZE)?;
        if let Err(error) = vm.insert_at(&self.showing(entry, va, protect), page) {
            spares.give_back(vm);
            return Err(error);
        }
        map.mark_page(vm, va, protect, spares);
        Ok(())
    }

    /// Shows a page that the object of a range has which is watched for minor events; it is poisoned no
    /// more, and write-protected or not, as is said. Who waits for it must be woken. Blocks for I/O, and to make
    /// room in memory. On failure nothing has changed, but that a page may be protected, or poisoned no more.
    pub fn show(&self, addr: usize, protect: bool) -> Result<(), ServeError> {
        if addr & PAGE_MASK != 0 {
            return Err(ServeError::NotWatched);
        }
        let Some(access) = self.access_to_show(addr, protect)? else {
            return Ok(());
        };
        let mut room = self.vm.room();
        loop {
            return match self.fault_for(addr, access, Asker::Server) {
                Fault::Resolved => Ok(()),
                Fault::Wait(ticket) => {
                    ticket.wait(self.vm);
                    continue;
                }
                Fault::OutOfMemory if self.vm.make_room(&mut room) => continue,
                Fault::OutOfMemory => Err(ServeError::OutOfMemory),
                Fault::Watched(_) => Err(ServeError::Absent),
                Fault::Poisoned => Err(ServeError::Present),
                Fault::BeyondEnd => Err(ServeError::BeyondEnd),
                Fault::NoMapping => Err(ServeError::NotWatched),
                // The rights have changed meanwhile.
                Fault::Protection => Ok(()),
                Fault::Pager(error) => Err(ServeError::Pager(error)),
            };
        }
    }

    /// Marks a page that is not mapped yet and can be shown. Tells the access by which: a read, unless the
    /// program has no right to read; none if it has no rights.
    fn access_to_show(&self, va: usize, protect: bool) -> Result<Option<Access>, ServeError> {
        let map = self.body.write(self.vm);
        let (entry, attributes) = watched(map.map.tree.find(va), protect)?;
        if !attributes.watches(WatchEvents::MINOR) {
            return Err(ServeError::NotWatched);
        }
        if map.map.pmap.query(&self.vm.machine, va).is_some() {
            return Err(ServeError::Present);
        }
        self.vm.check_exists(entry, va)?;
        if attributes.write_protected != protect || attributes.poisoned {
            let spares = map.reserve_clips(self.vm, va, va + PAGE_SIZE)?;
            map.mark_page(self.vm, va, protect, spares);
        }
        let attributes = Attributes {
            write_protected: protect,
            ..attributes.fresh()
        };
        let accesses = [Access::Read, Access::Exec, Access::Write];
        let may = |access: &Access| attributes.allowed().contains(access.needs());
        Ok(accesses.into_iter().find(may))
    }

    /// A fault that would show the page at `va`, write-protected or not.
    fn showing(&self, entry: Ptr<MapEntry<M>>, va: usize, protect: bool) -> Faulting<M> {
        Faulting {
            map: self.body,
            entry,
            va,
            access: Access::Read,
            prot: Attributes {
                write_protected: protect,
                ..entry.attributes().fresh()
            }
            .allowed(),
            advice: Advice::Random,
        }
    }
}

/// The entry, if it is watched, and for writes if its page is to be protected.
pub(crate) fn watched<M: Machine>(
    entry: Option<Ptr<MapEntry<M>>>,
    protect: bool,
) -> Result<(Ptr<MapEntry<M>>, Attributes), ServeError> {
    let entry = entry.ok_or(ServeError::NotWatched)?;
    let attributes = entry.attributes();
    if attributes.watch.is_none() {
        return Err(ServeError::NotWatched);
    }
    if attributes.guarded {
        return Err(ServeError::Present);
    }
    if protect && !attributes.watches(WatchEvents::WRITE_PROTECT) {
        return Err(ServeError::NotWatched);
    }
    Ok((entry, attributes))
}

impl<M: Machine> Vm<M> {
    /// Whether there is a page to be shown at `va`.
    fn check_exists(&self, entry: Ptr<MapEntry<M>>, va: usize) -> Result<(), ServeError> {
        let object = entry.object.get().ok_or(ServeError::Absent)?;
        let index = entry.index_of(va);
        let _guard = object.lock(self);
        if !object.under.unwrap_or(object).has_page(index) {
            return Err(ServeError::BeyondEnd);
        }
        if object.has_anon(index) || object.under.is_some_and(|under| under.has_anon(index)) {
            Ok(())
        } else {
            Err(ServeError::Absent)
        }
    }

    /// Puts a page into the object at a place where it has none and nothing is mapped, and enters it.
    fn insert_at(&self, at: &Faulting<M>, page: &mut Zeros) -> Result<(), ServeError> {
        let object = at.entry.object.get().ok_or(ServeError::NotWatched)?;
        let index = at.entry.index_of(at.va);
        let guard = object.lock(self);
        if !object.under.unwrap_or(object).has_page(index) {
            return Err(ServeError::BeyondEnd);
        }
        if object.has_anon(index) || at.map.pmap.query(&self.machine, at.va).is_some() {
            return Err(ServeError::Present);
        }
        debug_assert!(page.is_some_and(|page| page.state() == State::Anon));
        let found = self.insert_fresh(&guard, index, page)?;
        if !at.prot.is_empty() {
            // Where there is no memory for page tables a fault will find the page.
            let _ = self.enter_page(at, object, index, &found);
        }
        Ok(())
    }
}
