//! Giving one of several entries of a private object an object of its own.

use crate::amap::Amap;
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::MapEntry;
use crate::object::ranges::pieces;
use crate::object::{Kind, NewObject, ObjectBody, ObjectGuard};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Gives an entry that is about to move an object that no other entry has, with the pages that
    /// it maps: what is next to it at its new place need not know what was next to it at the old
    /// one (O3). Where others share the memory, nothing is done. The map is locked for writing. On
    /// failure nothing has changed.
    pub(crate) fn separate(&self, entry: Ptr<MapEntry<M>>) -> Result<(), OutOfMemory> {
        let Some(object) = entry.object.get() else {
            return Ok(());
        };
        if !object.exclusive.get() || object.refs() == 1 {
            return Ok(());
        }
        let own = self.make_object(NewObject {
            private: true,
            under: object.under,
            family: object.family.get(),
            amap: false,
            ..NewObject::public(Kind::Anonymous, 0)
        })?;
        let guard = object.lock(self);
        let divided = self.divide(&guard, entry.offset.get(), entry.pages() as u64);
        if let Ok(amap) = divided {
            own.amap.set(Some(amap));
            object.entries.remove(entry);
            entry.object.set(Some(own));
            own.entries.push(entry);
        }
        drop(guard);
        self.release_object(if divided.is_ok() { object } else { own });
        divided.map(|_| ())
    }

    /// A copy of an amap that has only a run of its anons; the reference of the original is let go of.
    pub(crate) fn part_of(
        &self,
        amap: Ptr<Amap<M>>,
        first: u32,
        pages: u64,
    ) -> Result<Ptr<Amap<M>>, OutOfMemory> {
        let part = self.fork_amap(amap);
        self.release_amap(amap);
        let part = part?;
        let outside = pieces(first.wrapping_add(pages as u32), (1 << 32) - pages);
        for (from, to) in outside.into_iter().flatten() {
            if let Err(error) = self.own_edges(part, from, to) {
                self.release_amap(part);
                return Err(error);
            }
        }
        for (from, to) in outside.into_iter().flatten() {
            self.wipe_amap(part, from, to);
        }
        Ok(part)
    }

    /// Takes a run of anons out of an object's amap, into one of their own.
    fn divide(
        &self,
        guard: &ObjectGuard<'_, M>,
        first: u32,
        pages: u64,
    ) -> Result<Ptr<Amap<M>>, OutOfMemory> {
        let object: Ptr<ObjectBody<M>> = guard.object();
        let rest = self.own_amap(object)?;
        let part = self.fork_amap(rest)?;
        let outside = (first.wrapping_add(pages as u32), (1 << 32) - pages);
        let cuts = [(rest, (first, pages)), (part, outside)];
        for (amap, (first, pages)) in cuts {
            for (from, to) in pieces(first, pages).into_iter().flatten() {
                if let Err(error) = self.own_edges(amap, from, to) {
                    self.release_amap(part);
                    return Err(error);
                }
            }
        }
        for (amap, (first, pages)) in cuts {
            for (from, to) in pieces(first, pages).into_iter().flatten() {
                self.wipe_amap(amap, from, to);
            }
        }
        Ok(part)
    }
}
