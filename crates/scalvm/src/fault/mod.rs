//! Faults: from an address and an access to a mapping in the page tables, or to an outcome that
//! says why not.
//!
//! The path, with the locks that it holds:
//!
//! 1. Map, for reading: find the entry, check the rights. The first write to a private entry needs
//!    a private object, which the map must be locked for writing to get; then the fault begins
//!    again.
//! 2. Object, and the one underneath: find the page to read or to write (`object::pages`), enter
//!    it, and with a read its neighbours. The old page of a copy is let go of when no translation
//!    to it is left.
//! 3. Where a page must be brought: mark it, and what is read ahead with it, busy, let go of all
//!    locks, start the I/O; the outcome is to wait and try again. Nothing is remembered meanwhile:
//!    the fault begins again and looks anew.
//!
//! Where somebody watches a range the rights that the first step finds are withheld, and `watched` has
//! a closer look: what it asks for is decided in the second step, with the object locked. Elsewhere
//! this costs nothing.
//!
//! A page of zeros is made with no object locked, so that faults on one object seldom wait for each
//! other. In its place a row of them may come, which a large leaf maps (`large`).

mod enter;
mod large;
mod outcome;
mod serve;
mod watched;

use crate::addr::{Access, Frame, page_floor};
use crate::error::{FaultError, MapError, OutOfMemory};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Map, MapEntry, WatchEvents};
use crate::object::{Kind, Miss, NewObject, Zeros};
use crate::page::{Page, State};
use crate::pager::{Bring, Return};
use crate::request::Share;
use crate::stats::Event;
use crate::vm::Vm;

use enter::Faulting;
pub use outcome::{Fault, Ticket, WatchedFault};
pub use serve::FreshPage;
pub(crate) use serve::watched as watched_entry;
use watched::Asker;

/// What a round of a fault came to.
enum Step<'v> {
    Done(Fault<'v>),
    /// Begin again.
    Again,
    /// The entry needs a private object.
    Private,
}

impl<'v, M: Machine> Map<'v, M> {
    /// Handles a fault: a program with this address space cannot make an access. Never blocks, as
    /// long as the pager does not when it starts a request.
    #[inline]
    pub fn fault(&self, addr: usize, access: Access) -> Fault<'v> {
        self.vm.count(Event::Fault);
        self.fault_for(page_floor(addr), access, Asker::Program)
    }

    /// The same on somebody's behalf.
    fn fault_for(&self, va: usize, access: Access, asker: Asker) -> Fault<'v> {
        let vm = self.vm;
        let mut zeros = None;
        let outcome = loop {
            match self.step(va, access, asker, &mut zeros) {
                Step::Done(Fault::NoMapping) if asker == Asker::Program => match self.grow(va) {
                    Ok(()) => {}
                    Err(MapError::OutOfMemory) => break Fault::OutOfMemory,
                    Err(_) => break Fault::NoMapping,
                },
                Step::Done(outcome) => break outcome,
                Step::Again => {}
                Step::Private => {
                    if self.make_private(va).is_err() {
                        break Fault::OutOfMemory;
                    }
                }
            }
        };
        if let Some(page) = zeros {
            vm.let_go(page);
        }
        if self.body.limits.is_hard() {
            self.keep_to_limit(va);
        }
        outcome
    }

    /// The same, waiting for I/O, and making room in memory, as often as need be; no room for a thread that
    /// [is to end](Machine::is_ending). It does not wait for watchers: [`FaultError::Watched`] tells of them.
    pub fn fault_wait(&self, addr: usize, access: Access) -> Result<(), FaultError> {
        let mut room = self.vm.room();
        let mut make_room = || !self.vm.machine.is_ending() && self.vm.make_room(&mut room);
        loop {
            return Err(match self.fault(addr, access) {
                Fault::Resolved => return Ok(()),
                Fault::Wait(ticket) => {
                    ticket.wait(self.vm);
                    continue;
                }
                Fault::OutOfMemory if make_room() => continue,
                Fault::NoMapping => FaultError::NoMapping,
                Fault::Protection => FaultError::Protection,
                Fault::BeyondEnd => FaultError::BeyondEnd,
                Fault::OutOfMemory => FaultError::OutOfMemory,
                Fault::Pager(error) => FaultError::Pager(error),
                Fault::Watched(watched) => FaultError::Watched(watched),
                Fault::Poisoned => FaultError::Poisoned,
            });
        }
    }

    /// One round.
    #[inline]
    fn step(&self, va: usize, access: Access, asker: Asker, zeros: &mut Zeros) -> Step<'v> {
        let vm = self.vm;
        let map = self.body.read(vm);
        let Some(entry) = map.map.tree.find(va) else {
            return Step::Done(Fault::NoMapping);
        };
        let attributes = entry.attributes();
        let write = access == Access::Write;
        let mut place = Faulting {
            map: self.body,
            entry,
            va,
            access,
            prot: entry.granted(),
            advice: attributes.advice,
        };
        let mut asked = WatchEvents::empty();
        if !place.prot.contains(access.needs()) {
            match vm.look_at_watch(&mut place, asker) {
                Ok(events) => asked = events,
                Err(fault) => return Step::Done(fault),
            }
        }
        let Some(object) = entry.object.get() else {
            if !asked.is_empty()
                && let Some(event) = watched::event_of_hole(asked)
            {
                return Step::Done(place.watched(event));
            }
            return if write {
                Step::Private
            } else {
                Step::Done(vm.enter_zeros(&place))
            };
        };
        let index = entry.index_of(va);
        let end = object.under.unwrap_or(object);
        if let Kind::Device(first, cache) = object.kind {
            return Step::Done(if object.has_page(index) {
                vm.enter_device(
                    &place,
                    object,
                    index,
                    Frame(first.0 + u64::from(index)),
                    cache,
                )
            } else {
                Fault::BeyondEnd
            });
        }
        let private = attributes.share == Share::Private;
        let mut guard = object.lock(vm);
        let miss = loop {
            if !end.has_page(index) {
                return Step::Done(Fault::BeyondEnd);
            }
            if write && private && !object.private {
                return Step::Private;
            }
            if !asked.is_empty()
                && let Some(event) = vm.event(&guard, index, asked)
            {
                return Step::Done(place.watched(event));
            }
            let entered = if write {
                vm.page_to_write(&guard, index, zeros)
                    .map(|found| vm.enter_to_write(&place, object, index, found))
            } else {
                vm.page_to_read(&guard, index, zeros)
                    .map(|found| vm.enter_to_read(&place, &guard, index, found))
            };
            match entered {
                Ok(fault) => {
                    if let Some(ahead) = vm.take_ahead(&guard, end) {
                        drop(guard);
                        drop(map);
                        ahead.start(vm);
                    }
                    return Step::Done(fault);
                }
                Err(Miss::NeedZeros) => {
                    drop(guard);
                    if vm.wants_row(&place, object) && vm.enter_large_zeros(&place, object) {
                        return Step::Done(Fault::Resolved);
                    }
                    match vm.zeroed_page() {
                        Ok(page) => *zeros = Some(page),
                        Err(OutOfMemory) => return Step::Done(Fault::OutOfMemory),
                    }
                    guard = object.lock(vm);
                }
                Err(miss) => break miss,
            }
        };
        match miss {
            Miss::NeedZeros => Step::Again,
            Miss::OutOfMemory => Step::Done(Fault::OutOfMemory),
            Miss::Failed(error) => Step::Done(Fault::Pager(error)),
            Miss::Busy(page) => {
                let ticket = Ticket::new(vm, &page);
                if let Some(ahead) = vm.take_ahead(&guard, end) {
                    drop(guard);
                    drop(map);
                    ahead.start(vm);
                }
                Step::Done(Fault::Wait(ticket))
            }
            Miss::Away(holder, anon) => match vm.begin_return(&guard, holder, anon, index) {
                Err(OutOfMemory) => Step::Done(Fault::OutOfMemory),
                Ok(Return::Here) => Step::Again,
                Ok(Return::Wait(ticket)) => Step::Done(Fault::Wait(ticket)),
                Ok(Return::Read(read)) => {
                    drop(guard);
                    drop(map);
                    vm.count(Event::MajorFault);
                    self.waiting(read.start(vm))
                }
            },
            Miss::Absent(holder) => match vm.begin_bring(&guard, holder, index, place.advice) {
                Err(OutOfMemory) => Step::Done(Fault::OutOfMemory),
                Ok(bring) => {
                    drop(guard);
                    drop(map);
                    self.start(bring)
                }
            },
        }
    }

    /// Starts the I/O that a fault needs, with no lock held.
    fn start(&self, bring: Bring<'v, M>) -> Step<'v> {
        self.vm.count(Event::MajorFault);
        self.waiting(bring.start(self.vm))
    }

    fn waiting(&self, ticket: Ticket<'v>) -> Step<'v> {
        if ticket.is_due() {
            Step::Again
        } else {
            Step::Done(Fault::Wait(ticket))
        }
    }

    /// Gives the entry at `va` a private object, standing on what it was mapped from.
    pub(crate) fn make_private(&self, va: usize) -> Result<(), OutOfMemory> {
        let map = self.body.write(self.vm);
        // Another mapping may have taken its place, since the map was not locked meanwhile.
        match map.map.tree.find(va) {
            Some(entry) if entry.attributes().share == Share::Private => {
                self.vm.make_private(&map, entry)
            }
            _ => Ok(()),
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Gives a private entry a private object if it has none yet.
    pub(crate) fn make_private(
        &self,
        map: &crate::map::MapWrite<'_, M>,
        entry: Ptr<MapEntry<M>>,
    ) -> Result<(), OutOfMemory> {
        let under = entry.object.get();
        if under.is_some_and(|object| object.private) {
            return Ok(());
        }
        debug_assert!(map.map == entry.map());
        let object = self.make_object(NewObject::private(under))?;
        if let Some(under) = under {
            // What maps the page now, the new object finds underneath: one lock covers both (O2).
            let _under = under.lock(self);
            under.entries.remove(entry);
            entry.object.set(Some(object));
            object.entries.push(entry);
        } else {
            entry.object.set(Some(object));
            object.entries.push(entry);
        }
        if let Some(under) = under {
            self.release_object(under);
        }
        Ok(())
    }

    /// A page of zeros with one hold.
    pub(crate) fn zeroed_page(&self) -> Result<Ptr<Page>, OutOfMemory> {
        let page = self.new_page(State::Anon)?;
        self.machine.zero_frame(page.frame());
        self.count(Event::ZeroFill);
        Ok(page)
    }
}
