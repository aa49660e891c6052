//! What is known of the pages of a range, found out without touching them: for mincore(2), for the files of
//! `/proc` that tell of a process's memory, and for dumps.
//!
//! A look takes the map's lock for reading and that of one object, for at most 64 pages at a time. What it finds
//! may be otherwise a moment later; it is only right in itself.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::amap::Way;
use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Map, MapBody, MapEntry};
use crate::object::{Kind, ObjectGuard};
use crate::page::{BUSY, DIRTY, Page, TOUCHED};
use crate::pager::Backing;
use crate::pmap::{Clear, Mapping, Pmap};
use crate::request::Share;
use crate::vm::Vm;

/// Pages that one look tells of at most.
const MOST: usize = 64;

/// Where the contents of a page are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PagePlace {
    /// Nowhere yet: untouched memory, or a page of a file that was not read, or beyond its end.
    #[default]
    Nowhere,
    /// Untouched memory that is mapped to be read, as the shared frame of zeros.
    Zeros,
    /// In this frame.
    Memory(Frame),
    /// In this frame of a device, which is not the manager's.
    Device(Frame),
    /// On the way into memory or out of it.
    Moving,
    /// In the compressor.
    Compressed,
    /// On a swap device, of this number among those that there are, and its page of this number.
    Swap(u32, u32),
}

/// What is known of one page of an address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageInfo {
    /// Where its contents are.
    pub place: PagePlace,
    /// Whether the page tables of this address space map it.
    pub mapped: bool,
    /// Whether a large leaf maps it, with the pages around it.
    pub large: bool,
    /// Whether it was used since that was last forgotten, as far as is known.
    pub accessed: bool,
    /// Whether there is no copy of it that is as good, on a disk or in the compressor, as far as is known.
    pub dirty: bool,
    /// Whether it is the private mapping's own, not one of the object that is mapped.
    pub own: bool,
    /// Whether it is a page of a vnode object.
    pub file: bool,
    /// Whether its contents may be discarded when memory is short: [`Map::free`].
    pub given_up: bool,
    /// Whether it is a guard.
    pub guarded: bool,
    /// Whether writes of it are told to who watches it ([`Map::write_protect`]).
    pub write_protected: bool,
    /// How many have it: mappings, of this and other address spaces; at least two of what a fork has shared and
    /// nobody has copied since. Zero of what is nowhere.
    pub sharers: u32,
}

impl PageInfo {
    /// Whether an access for reading finds the page without I/O, and without a new page.
    pub fn is_resident(&self) -> bool {
        matches!(
            self.place,
            PagePlace::Memory(_) | PagePlace::Device(_) | PagePlace::Zeros
        )
    }
}

impl<M: Machine> Map<'_, M> {
    /// Tells of the pages from `start` on, as many as `pages` has room for, up to 64 and to the end of the entry;
    /// returns how many. None are told of if nothing is mapped at `start`, which is rounded down to a page.
    /// Does not block.
    pub fn inspect(&self, start: usize, pages: &mut [PageInfo]) -> usize {
        let start = crate::addr::page_floor(start);
        let vm = self.vm;
        let map = self.body.read(vm);
        let Some(entry) = map.map.tree.find(start) else {
            return 0;
        };
        let count = (entry.end.get() - start) >> PAGE_SHIFT;
        let count = count.min(pages.len()).min(MOST);
        let pages = &mut pages[..count];
        let guard = entry.object.get().map(|object| object.lock(vm));
        let mut mappings = [None; MOST];
        vm.mappings(self.body, start, &mut mappings[..count]);
        for (i, (page, mapping)) in pages.iter_mut().zip(mappings).enumerate() {
            let at = start + i * PAGE_SIZE;
            *page = match &guard {
                Some(guard) => vm.inspect_page(guard, &entry, entry.index_of(at), mapping),
                None => PageInfo::untouched(mapping),
            };
            page.guarded = entry.attributes().guarded;
            page.write_protected = entry.attributes().write_protected;
        }
        count
    }
}

impl PageInfo {
    /// Memory that nothing was stored to.
    fn untouched(mapping: Option<Mapping>) -> PageInfo {
        PageInfo {
            place: match mapping {
                Some(_) => PagePlace::Zeros,
                None => PagePlace::Nowhere,
            },
            mapped: mapping.is_some(),
            large: mapping.is_some_and(|mapping| mapping.large),
            accessed: mapping.is_some_and(|mapping| mapping.accessed),
            ..PageInfo::default()
        }
    }
}

impl<M: Machine> Vm<M> {
    /// What the page tables map from an address on.
    fn mappings(&self, map: Ptr<MapBody<M>>, start: usize, found: &mut [Option<Mapping>]) {
        let nothing = Clear {
            accessed: false,
            dirty: false,
        };
        let range = start..start + found.len() * PAGE_SIZE;
        let debt = map
            .pmap
            .harvest(&self.machine, self, range, nothing, |seen| {
                found[(seen.va - start) >> PAGE_SHIFT] = Some(seen);
            });
        self.pay(debt, &map.target().pmap);
    }

    /// What is known of the page `index` of an object, which is locked, and how it is mapped.
    fn inspect_page(
        &self,
        guard: &ObjectGuard<'_, M>,
        entry: &MapEntry<M>,
        index: u32,
        mapping: Option<Mapping>,
    ) -> PageInfo {
        let object = guard.object();
        let mut info = PageInfo::untouched(mapping);
        if let Kind::Device(..) = object.kind {
            if let Some(mapping) = mapping {
                info.place = PagePlace::Device(mapping.frame);
                info.sharers = 1;
            }
            return info;
        }
        let amap = object.amap.get();
        let under = object.under.and_then(|under| under.amap.get());
        let own = amap.and_then(|amap| amap.anon(index));
        let Some(anon) = own.or_else(|| under.and_then(|under| under.anon(index))) else {
            return info;
        };
        let end = object.under.unwrap_or(object);
        info.own = own.is_some() && object.private && entry.attributes().share == Share::Private;
        info.file = matches!(
            if own.is_some() { object } else { end }.kind,
            Kind::Vnode(_)
        );
        let alone = own.is_none()
            || !object.private
            || anon.refs() == 1
                && amap.is_some_and(|amap| matches!(amap.own_way(index), Way::Own(_)));
        info.sharers = 1 + u32::from(!alone);
        match anon.page.get() {
            Some(page) if page.is_plain() => {
                self.inspect_resident(&mut info, anon, page, mapping);
            }
            Some(page) if page.test_flags(BUSY) != 0 => info.place = PagePlace::Moving,
            _ => info.place = place_of(anon),
        }
        if info.place == PagePlace::Nowhere {
            info.sharers = 0;
        }
        info
    }

    fn inspect_resident(
        &self,
        info: &mut PageInfo,
        anon: Ptr<Anon<M>>,
        page: Ptr<Page>,
        mapping: Option<Mapping>,
    ) {
        let backing = anon.backing();
        info.place = PagePlace::Memory(page.frame());
        info.accessed |= page.test_flags(TOUCHED) != 0;
        info.dirty = page.test_flags(DIRTY) != 0
            || mapping.is_some_and(|mapping| mapping.dirty)
            || !info.file && backing == Backing::None;
        info.given_up = backing == Backing::Zeros;
        let mapped = page.mapped.load(Relaxed) + u32::from(mapping.is_none());
        info.sharers = mapped.max(info.sharers);
    }
}

/// Where an anon is that has no page.
fn place_of<M: Machine>(anon: Ptr<Anon<M>>) -> PagePlace {
    match anon.backing() {
        Backing::None | Backing::Zeros => PagePlace::Nowhere,
        Backing::Compressed(_) => PagePlace::Compressed,
        Backing::Slot(slot) => PagePlace::Swap(slot.device(), slot.page()),
    }
}
