//! The reverse map: from a page to every place where it is mapped.
//!
//! `page → anon → family → objects → amap[index] → map entries → page tables`. There are no records
//! for it beside the model itself: an anon knows which objects may have it (its family) and at
//! which index; an object knows its entries, and the private objects that stand on it and let its
//! pages show through.

use core::sync::atomic::Ordering::SeqCst;

use crate::addr::Frame;
use crate::amap::Way;
use crate::anon::Anon;
use crate::family::Family;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::MapBody;
use crate::object::{ObjectBody, ObjectGuard};
use crate::page::{DIRTY, Page};
use crate::pmap::{Clear, Mapping, Pmap};
use crate::vm::Vm;

/// What became of the mappings of a page that is to leave memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unmapped {
    /// There are none any more.
    Done,
    /// It must not leave: it is wired. Nothing was changed.
    Wired,
    /// It must not leave yet: a processor may still use what it found unmapped (S5).
    InUse,
}

impl<M: Machine> Vm<M> {
    /// Calls `f` for every object that has the anon at `index`, one after the other, each locked;
    /// ends when it returns false. The family is pinned. Nothing keeps the anon: it is only looked for.
    ///
    /// An object that gets the anon meanwhile, by fork, is not visited: it maps nothing yet.
    pub(crate) fn visit(
        &self,
        family: Ptr<Family<M>>,
        anon: Ptr<Anon<M>>,
        index: u32,
        mut f: impl FnMut(&ObjectGuard<'_, M>) -> bool,
    ) {
        let mut member = self.next_member(family, None);
        while let Some(object) = member {
            let guard = object.lock(self);
            let amap = object.amap.get();
            let here = amap.filter(|amap| amap.anon(index) == Some(anon));
            let more = here.is_none_or(|amap| {
                let alone = anon.refs() == 1 && matches!(amap.own_way(index), Way::Own(_));
                f(&guard) && !alone
            });
            drop(guard);
            member = if more {
                self.next_member(family, Some(object))
            } else {
                // What is looked for next is likely to be there too.
                self.prefer_member(family, object);
                None
            };
            self.release_object(object);
        }
    }

    /// Unmaps the page `index` of an object everywhere, for the page daemon.
    pub(crate) fn unmap_to_leave(&self, guard: &ObjectGuard<'_, M>, index: u32) -> Unmapped {
        let object = guard.object();
        let here = || {
            let entries = object.target().all_entries();
            entries.filter(|entry| entry.address_of(index).is_some())
        };
        if here().any(|entry| entry.attributes().wired) {
            return Unmapped::Wired;
        }
        self.unmap_object(guard, object, index, 1);
        if here().any(|entry| entry.map().removing.load(SeqCst)) {
            Unmapped::InUse
        } else {
            Unmapped::Done
        }
    }

    /// Whether the page `index` of an object was used through any mapping since this was last asked; and
    /// whether any of them is wired.
    pub(crate) fn was_accessed(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        frame: Frame,
    ) -> (bool, bool) {
        let clear = Clear {
            accessed: true,
            dirty: false,
        };
        let (mut accessed, mut wired) = (false, false);
        self.each_part(guard, guard.object(), index, 1, |entry, range| {
            wired |= entry.attributes().wired;
            let map = entry.map();
            let debt = map.pmap.harvest(&self.machine, self, range, clear, |seen| {
                accessed |= seen.accessed && seen.frame == frame;
            });
            self.pay(debt, &map.target().pmap);
        });
        (accessed, wired)
    }

    /// The page that was found mapped, if it is one of the manager's and not the page of zeros.
    #[inline]
    pub(crate) fn page_of(&self, seen: &Mapping) -> Option<Ptr<Page>> {
        if !seen.managed || self.is_zero_frame(seen.frame) {
            return None;
        }
        self.page(seen.frame)
    }

    /// Notes in its page that what was found mapped had been written.
    pub(crate) fn keep_dirty(&self, seen: Mapping) {
        if seen.dirty
            && let Some(page) = self.page_of(&seen)
        {
            page.set_flags(DIRTY);
        }
    }

    /// Calls `f` for every object in whose amap the anon lies (A3).
    pub(crate) fn each_holder(&self, anon: Ptr<Anon<M>>, mut f: impl FnMut(Ptr<ObjectBody<M>>)) {
        let index = anon.index.get();
        let Some(family) = anon.family.get() else {
            return;
        };
        family.target().for_each(self, |object| {
            if object.amap.get().and_then(|amap| amap.anon(index)) == Some(anon) {
                f(object);
            }
        });
    }

    /// Calls `f` for every mapping of the page, in whatever map. The objects that have the page are
    /// locked, or nothing else runs.
    pub(crate) fn each_mapping(
        &self,
        page: Ptr<Page>,
        mut f: impl FnMut(Ptr<MapBody<M>>, Ptr<ObjectBody<M>>, Mapping),
    ) {
        let Some(anon) = page.owner::<Anon<M>>() else {
            return;
        };
        let index = anon.index.get();
        self.each_holder(anon, |object| {
            for entry in object.target().all_entries() {
                let Some(va) = entry.address_of(index) else {
                    continue;
                };
                let found = entry.map().pmap.query(&self.machine, va);
                if let Some(mapping) = found.filter(|mapping| mapping.frame == page.frame()) {
                    f(entry.map(), object, mapping);
                }
            }
        });
    }
}
