//! The reverse map: from a page to every place where it is mapped.
//!
//! `page → anon → family → objects → amap[index] → map entries → page tables`. There are no records
//! for it beside the model itself: an anon knows which objects may have it (its family) and at
//! which index; an object knows its entries, and the private objects that stand on it and let its
//! pages show through.

use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::MapBody;
use crate::object::ObjectBody;
use crate::page::Page;
use crate::pmap::{Mapping, Pmap};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
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
            let entries = object.entries.iter();
            let uppers = object
                .on_top
                .iter()
                .flat_map(|upper| upper.target().entries.iter());
            for entry in entries.chain(uppers) {
                let Some(va) = entry.address_of(index) else {
                    continue;
                };
                let found = entry.map.pmap.query(&self.machine, va);
                if let Some(mapping) = found.filter(|mapping| mapping.frame == page.frame()) {
                    f(entry.map, object, mapping);
                }
            }
        });
    }
}
