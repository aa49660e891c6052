//! Faults in ranges that somebody watches (`map/watch/`) or that are guarded (`map/guard.rs`), and other accesses to
//! what is watched.

use crate::addr::Access;
use crate::error::FaultError;
use crate::fault::{Fault, Faulting, WatchedFault};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Map, MapBody, MapEntry, WatchEvents};
use crate::object::ObjectGuard;
use crate::pmap::Pmap;
use crate::request::Advice;
use crate::vm::Vm;

/// On whose behalf a page is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// A program's, which watchers are told of.
    Program,
    /// A watcher's, which wants what there is shown, but nothing made.
    Server,
}

impl<M: Machine> Faulting<M> {
    /// The outcome that tells the watcher.
    pub fn watched(&self, event: WatchEvents) -> Fault<'static> {
        match self.entry.attributes().watch {
            Some(watch) => Fault::Watched(WatchedFault {
                server: watch.server,
                event,
                page: self.va,
                access: self.access,
            }),
            None => Fault::Protection,
        }
    }
}

impl<M: Machine> Vm<M> {
    /// What a fault must be asked about for which the entry grants no right by itself: for which events
    /// to look, with the object locked. Sets the rights that may then be entered; neighbours are not,
    /// since each page is to be asked about.
    #[cold]
    pub(super) fn look_at_watch(
        &self,
        at: &mut Faulting<M>,
        asker: Asker,
    ) -> Result<WatchEvents, Fault<'static>> {
        let attributes = at.entry.attributes();
        if !attributes.prot.contains(at.access.needs()) {
            return Err(Fault::Protection);
        }
        if attributes.guarded {
            return Err(Fault::NoMapping);
        }
        if attributes.poisoned {
            return Err(Fault::Poisoned);
        }
        let Some(watch) = attributes.watch else {
            return Err(Fault::Protection);
        };
        at.prot = attributes.allowed();
        at.advice = Advice::Random;
        if asker == Asker::Server {
            return Ok(WatchEvents::MISSING);
        }
        Ok(self.asked(&at.map, at.entry, at.va, at.access, watch.events))
    }

    /// For which events to look, of those that are watched for.
    fn asked(
        &self,
        map: &MapBody<M>,
        entry: Ptr<MapEntry<M>>,
        va: usize,
        access: Access,
        events: WatchEvents,
    ) -> WatchEvents {
        let attributes = entry.attributes();
        let mut asked = events & WatchEvents::MISSING;
        // What could not be shown is not asked for, but with the write that it is to be protected from.
        if events.contains(WatchEvents::MINOR)
            && !attributes.allowed().is_empty()
            && map.pmap.query(&self.machine, va).is_none()
        {
            asked |= WatchEvents::MINOR;
        }
        if access == Access::Write && attributes.write_protected {
            asked |= WatchEvents::WRITE_PROTECT;
        }
        asked
    }

    /// Whether an access may be made that is not made through the page tables: the page is no guard and not poisoned, and
    /// nobody is to be told first. The entry's object is locked, if it has one.
    pub(crate) fn may_pass_by(
        &self,
        map: &MapBody<M>,
        entry: Ptr<MapEntry<M>>,
        va: usize,
        access: Access,
        guard: Option<&ObjectGuard<'_, M>>,
    ) -> Result<(), FaultError> {
        let attributes = entry.attributes();
        if attributes.guarded {
            return Err(FaultError::NoMapping);
        }
        if attributes.poisoned {
            return Err(FaultError::Poisoned);
        }
        let Some(watch) = attributes.watch else {
            return Ok(());
        };
        let asked = self.asked(map, entry, va, access, watch.events);
        let index = entry.index_of(va);
        let event = match guard {
            Some(guard) => {
                let object = guard.object();
                let there = object.under.unwrap_or(object).has_page(index);
                there.then(|| self.event(guard, index, asked)).flatten()
            }
            None => event_of_hole(asked),
        };
        event.map_or(Ok(()), |event| {
            Err(FaultError::Watched(WatchedFault {
                server: watch.server,
                event,
                page: va,
                access,
            }))
        })
    }

    /// Which of these events an access to a page of the object, which is locked, is.
    #[cold]
    pub(super) fn event(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        asked: WatchEvents,
    ) -> Option<WatchEvents> {
        let object = guard.object();
        let own = object.has_anon(index);
        let shown = object.under.is_some_and(|under| under.has_anon(index));
        if !own && !shown {
            return event_of_hole(asked);
        }
        // A private page that was copied has been shown before.
        let minor = !(own && object.private) && asked.contains(WatchEvents::MINOR);
        let event = if minor {
            WatchEvents::MINOR
        } else {
            asked & WatchEvents::WRITE_PROTECT
        };
        (!event.is_empty()).then_some(event)
    }
}

impl<M: Machine> Map<'_, M> {
    /// Whether somebody is still to be told of an access that led to [`Fault::Watched`]: whoever puts it
    /// into a queue asks once it is there, since it may have been served, and all in the queue woken, before.
    pub fn is_to_be_told(&self, fault: WatchedFault) -> bool {
        let map = self.body.read(self.vm);
        let Some(entry) = map.map.tree.find(fault.page) else {
            return false;
        };
        let guard = entry.object.get().map(|object| object.lock(self.vm));
        let passes =
            self.vm
                .may_pass_by(&self.body, entry, fault.page, fault.access, guard.as_ref());
        passes == Err(FaultError::Watched(fault))
    }
}

/// Which of these events an access to a page is that does not exist.
pub(super) fn event_of_hole(asked: WatchEvents) -> Option<WatchEvents> {
    let ordered = [WatchEvents::MISSING, WatchEvents::WRITE_PROTECT];
    ordered.into_iter().find(|event| asked.contains(*event))
}
