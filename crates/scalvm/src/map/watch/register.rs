//! Beginning and ending to watch.

use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::watch::{SERVERS, Watch, WatchEvents};
use crate::map::{Attributes, Map, MapEntry, MapWrite};
use crate::object::{Kind, ObjectBody};

impl<'v, M: Machine> Map<'v, M> {
    /// Has accesses of a range told to a watcher; what it watched there before for other events it does
    /// no more. Holes do not matter as long as something is mapped ([`MapError::NotMapped`]).
    ///
    /// Only anonymous memory and anonymous objects can be watched ([`MapError::NotWatchable`]), by one
    /// watcher at a time ([`MapError::Occupied`]), and only where the mapping may be given the right to
    /// write ([`MapError::Protection`]), since who serves it writes it. ([`MapError::BadRange`] is also for
    /// a watch without events, or a number that is too high.) Untouched memory that was only
    /// read is missing again.
    pub fn watch(&self, start: usize, len: usize, watch: Watch) -> Result<(), MapError> {
        if watch.events.is_empty() || watch.server >= SERVERS {
            return Err(MapError::BadRange);
        }
        let end = self.range(start, len)?;
        let map = self.body.write(self.vm);
        let mut some = false;
        for entry in map.entries_in(start, end) {
            some = true;
            let attributes = entry.attributes();
            if !is_watchable(entry) {
                return Err(MapError::NotWatchable);
            }
            if !attributes.max_prot.contains(crate::Prot::WRITE) {
                return Err(MapError::Protection);
            }
            if attributes
                .watch
                .is_some_and(|old| old.server != watch.server)
            {
                return Err(MapError::Occupied);
            }
        }
        if !some {
            return Err(MapError::NotMapped);
        }
        map.rewatch(self.vm, start, end, |old| {
            let keeps = watch.events.contains(WatchEvents::WRITE_PROTECT);
            Attributes {
                watch: Some(watch),
                write_protected: old.write_protected && keeps,
                ..old
            }
        })
    }

    /// Ends what a watcher watches in a range, and the protection of pages with it. Whom it has been
    /// told of must be woken: their accesses are no more to be served. [`MapError::Occupied`] if somebody
    /// else watches a part.
    pub fn unwatch(&self, start: usize, len: usize, server: u32) -> Result<(), MapError> {
        let end = self.range(start, len)?;
        let map = self.body.write(self.vm);
        let other = |entry: Ptr<MapEntry<M>>| {
            let watch = entry.attributes().watch;
            watch.is_some_and(|watch| watch.server != server)
        };
        if map.entries_in(start, end).any(other) {
            return Err(MapError::Occupied);
        }
        map.rewatch(self.vm, start, end, Attributes::unwatched)
    }

    /// Ends all that a watcher watches, in all of the address space: it is gone. Cannot fail.
    pub fn forget_watcher(&self, server: u32) {
        let map = self.body.write(self.vm);
        for entry in map.entries_in(self.body.low, self.body.high) {
            let old = entry.attributes();
            if old.watch.is_some_and(|watch| watch.server == server) {
                map.set_attributes(entry, old.unwatched());
            }
        }
        map.join_range(self.vm, self.body.low, self.body.high);
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// The entries that meet a range. Those that are found may be changed, but not taken out.
    pub(super) fn entries_in(
        &self,
        start: usize,
        end: usize,
    ) -> impl Iterator<Item = Ptr<MapEntry<M>>> {
        let first = self.map.tree.at_or_above(start);
        core::iter::successors(first, |entry| Tree::next(*entry))
            .take_while(move |entry| entry.start.get() < end)
    }

    /// Changes who watches a range, holes left out.
    pub(super) fn rewatch(
        &self,
        vm: &crate::Vm<M>,
        start: usize,
        end: usize,
        new: impl Fn(Attributes) -> Attributes,
    ) -> Result<(), MapError> {
        let spares = self.reserve_clips(vm, start, end)?;
        self.clip(vm, start, end, spares);
        for entry in self.entries_in(start, end) {
            let old = entry.attributes();
            let new = new(old);
            self.set_attributes(entry, new);
            vm.lower(self, entry, old.allowed(), new.allowed());
            if begins_to_miss(old, new) {
                // Zeros that a read has mapped would hide that the page is missing (S6).
                self.unmap_pages(vm, entry.start.get()..entry.end.get());
            }
        }
        self.join_range(vm, start, end);
        Ok(())
    }
}

/// Whether missing pages were not watched for, and now are.
fn begins_to_miss(old: Attributes, new: Attributes) -> bool {
    new.watches(WatchEvents::MISSING) && !old.watches(WatchEvents::MISSING)
}

/// Whether all pages of an entry are anonymous memory's.
fn is_watchable<M: Machine>(entry: Ptr<MapEntry<M>>) -> bool {
    let anonymous = |object: Ptr<ObjectBody<M>>| matches!(object.kind, Kind::Anonymous);
    entry
        .object
        .get()
        .is_none_or(|object| anonymous(object) && object.under.is_none_or(anonymous))
}
