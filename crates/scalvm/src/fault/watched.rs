//! Faults in ranges that somebody watches (`map/watch/`).

use crate::addr::{Access, Prot};
use crate::fault::{Fault, Faulting, WatchedFault};
use crate::machine::Machine;
use crate::map::WatchEvents;
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
        let Some(watch) = attributes
            .watch
            .filter(|_| attributes.prot.contains(at.access.needs()))
        else {
            return Err(Fault::Protection);
        };
        at.prot = attributes.allowed();
        at.advice = Advice::Random;
        if asker == Asker::Server {
            return Ok(WatchEvents::MISSING);
        }
        let mut asked = watch.events & WatchEvents::MISSING;
        // What could not be shown is not asked for, but with the write that it is to be protected from.
        if watch.events.contains(WatchEvents::MINOR)
            && !at.prot.is_empty()
            && at.map.pmap.query(&self.machine, at.va).is_none()
        {
            asked |= WatchEvents::MINOR;
        }
        if at.access == Access::Write && !at.prot.contains(Prot::WRITE) {
            asked |= WatchEvents::WRITE_PROTECT;
        }
        Ok(asked)
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

/// Which of these events an access to a page is that does not exist.
pub(super) fn event_of_hole(asked: WatchEvents) -> Option<WatchEvents> {
    let ordered = [WatchEvents::MISSING, WatchEvents::WRITE_PROTECT];
    ordered.into_iter().find(|event| asked.contains(*event))
}
