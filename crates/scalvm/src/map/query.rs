//! What an address space holds.

use crate::addr::{PAGE_SHIFT, page_floor};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Map, MapEntry};
use crate::object::{Object, ObjectBody};
use crate::pmap::Pmap;
use crate::request::{MapUsage, Region, Share};

impl<'v, M: Machine> Map<'v, M> {
    /// The entry that holds `addr`, or else the first one above it. To see all, begin at 0 and go
    /// on with each `end`.
    pub fn query(&self, addr: usize) -> Option<Region> {
        let map = self.body.read(self.vm);
        map.map.tree.at_or_above(addr).map(|entry| region(&entry))
    }

    /// How much the address space holds.
    pub fn usage(&self) -> MapUsage {
        let map = self.body.read(self.vm);
        let counts = map.map.pmap.counts();
        MapUsage {
            mapped_bytes: map.map.bytes.get() as u64,
            resident_pages: counts.mapped as u64,
            large_pages: map.map.large(),
            table_frames: counts.tables as u64,
            entries: map.map.entries.get() as u64,
            wired_bytes: map.map.wired.get() as u64,
            promised_pages: (map.map.promised.get() >> PAGE_SHIFT) as u64,
        }
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// The object that is mapped at an address, and at which of its bytes the page there begins; of a private
    /// mapping it is what was mapped, not its copies. None for private anonymous memory, and where nothing is mapped.
    pub fn object_at(&self, addr: usize) -> Option<(Object<'v, M>, u64)> {
        let map = self.body.read(self.vm);
        let entry = map.map.tree.find(addr)?;
        let body = origin(&entry)?;
        body.retain();
        let offset = u64::from(entry.index_of(page_floor(addr))) << PAGE_SHIFT;
        Some((Object { vm: self.vm, body }, offset))
    }
}

/// What was mapped: a private copy stands on it.
fn origin<M: Machine>(entry: &MapEntry<M>) -> Option<Ptr<ObjectBody<M>>> {
    match entry.object.get() {
        Some(object) if object.private => object.under,
        other => other,
    }
}

fn region<M: Machine>(entry: &MapEntry<M>) -> Region {
    let attributes = entry.attributes();
    let origin = origin(entry);
    let anonymous = origin.is_none() && attributes.share == Share::Private;
    Region {
        start: entry.start.get(),
        end: entry.end.get(),
        prot: attributes.prot,
        max_prot: attributes.max_prot,
        share: attributes.share,
        inherit: attributes.inherit,
        advice: attributes.advice,
        large: attributes.large,
        wired: attributes.wired,
        no_dump: attributes.no_dump,
        on_fault: attributes.on_fault,
        grows: attributes.grows,
        sealed: attributes.sealed,
        watch: attributes.watch,
        write_protected: attributes.write_protected,
        poisoned: attributes.poisoned,
        guarded: attributes.guarded,
        tag: attributes.tag,
        offset: if anonymous {
            0
        } else {
            u64::from(entry.offset.get()) << PAGE_SHIFT
        },
        object_id: origin.map(|object| object.id),
        cookie: origin.map(|object| object.cookie.get()),
    }
}
