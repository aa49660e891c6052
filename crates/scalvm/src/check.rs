//! The invariants of the whole, checked: for tests, while nothing else runs.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{PAGE_SHIFT, Prot};
use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Map, MapEntry, WatchEvents};
use crate::object::Kind;
use crate::page::{DIRTY, State};
use crate::pager::Backing;
use crate::pmap::{Clear, Mapping, Pmap};
use crate::request::Share;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Panics where the manager's structures contradict themselves. For tests; nothing else may run
    /// meanwhile.
    pub fn check_invariants(&self) {
        self.frames.check_invariants(&self.machine);
        self.anons.check_invariants(&self.machine, &self.frames);
        self.amaps.check_invariants(&self.machine, &self.frames);
        self.nodes.check_invariants(&self.machine, &self.frames);
        self.families.check_invariants(&self.machine, &self.frames);
        self.objects.check_invariants(&self.machine, &self.frames);
        self.entries.check_invariants(&self.machine, &self.frames);
        self.maps.check_invariants(&self.machine, &self.frames);
        self.mdl_blocks
            .check_invariants(&self.machine, &self.frames);
        self.tracks.check_invariants(&self.machine, &self.frames);
        self.devices.check();
        self.heap.check_invariants(&self.machine, &self.frames);
        self.check_arenas();
        self.caches.check_invariants(self);
        self.kernel_maps
            .check_invariants(&self.machine, &self.frames);
        if let Some(map) = self.kernel_map() {
            map.check_invariants();
        }
        self.check_accounts();
        self.swap.check_invariants(&self.machine, &self.frames);
        self.pageout.check_invariants(self.frames.segments());
        self.compressor.check_invariants(self);
        let (mut owned, mut kept) = (0, 0);
        self.frames.for_each(|page| {
            if !matches!(page.state(), State::Anon | State::File) {
                return;
            }
            let Some(anon) = page.owner::<Anon<M>>() else {
                assert!(
                    page.holds().load(Relaxed) > 0,
                    "a page without an anon is held by someone"
                );
                assert_eq!(
                    page.mapped.load(Relaxed),
                    0,
                    "a page without an anon is mapped nowhere"
                );
                return;
            };
            owned += 1;
            if page.state() == State::File && page.test_flags(DIRTY) != 0 {
                self.each_holder(anon, |object| {
                    assert!(object.dirty.is_listed(), "W1: a dirty page");
                });
            }
            kept += u64::from(anon.backing.get() != 0);
            if anon.backing() == Backing::Zeros {
                assert_eq!(
                    page.test_flags(DIRTY),
                    0,
                    "A6: what was given up is not written"
                );
                self.each_holder(anon, |object| {
                    assert!(
                        object.under.is_none(),
                        "A6: what was given up stands on nothing"
                    );
                });
            }
            assert_eq!(
                anon.page.get(),
                Some(page),
                "A2: page and anon name each other"
            );
            let mut holders = 0;
            self.each_holder(anon, |_| holders += 1);
            let lent = page.holds().load(Relaxed) > 1 && self.stats().loans > 0;
            assert!(
                holders > 0 || lent,
                "A3, F1: an anon is found through its family, unless it is only lent (B2)"
            );
            let mut mapped = 0;
            self.each_mapping(page, |_, object, mapping| {
                mapped += 1;
                assert!(
                    !mapping.prot.contains(Prot::WRITE) || anon.backing.get() == 0,
                    "A4: what has a copy is not mapped to be written"
                );
                assert!(
                    !mapping.prot.contains(Prot::WRITE)
                        || !matches!(object.kind, Kind::Vnode(_))
                        || object.dirty.is_listed(),
                    "W1: a mapping that can be written"
                );
                assert!(
                    !mapping.prot.contains(Prot::WRITE)
                        || anon.refs() == 1 && object.amap.get().is_some_and(|a| a.refs() == 1),
                    "M2, A1: what is shared is not mapped to be written"
                );
            });
            assert_eq!(
                page.mapped.load(Relaxed),
                mapped,
                "O5: the reverse map finds every mapping of {:?}",
                page.frame()
            );
        });
        assert_eq!(
            self.anons.in_use(),
            owned - kept
                + self.swap.used()
                + self.compressor.entries()
                + self.pageout.given_up.load(Relaxed),
            "A5: every anon has a page or a copy, and every page and copy an anon"
        );
    }
}

impl<M: Machine> Map<'_, M> {
    /// Panics where the address space contradicts itself. For tests; nothing else may run
    /// meanwhile.
    pub fn check_invariants(&self) {
        let map = self.body;
        map.tree.check_invariants();
        map.pmap.check_invariants(&self.vm.machine, self.vm);
        let (mut entries, mut bytes, mut wired, mut promised, mut data) = (0, 0, 0, 0, 0);
        let mut next = map.tree.first();
        let mut end = map.low;
        while let Some(entry) = next {
            next = Tree::next(entry);
            self.check_gap(end, entry.start.get());
            end = entry.end.get();
            entries += 1;
            bytes += entry.end.get() - entry.start.get();
            if entry.attributes().wired {
                wired += entry.end.get() - entry.start.get();
            }
            let attributes = entry.attributes();
            if attributes.promised {
                promised += entry.end.get() - entry.start.get();
            }
            if attributes.is_data() {
                data += entry.end.get() - entry.start.get();
            }
            assert!(attributes == attributes.promise(), "K2");
            assert!(entry.map() == map, "an entry names its map");
            self.check_entry(entry);
        }
        self.check_gap(end, map.high);
        assert_eq!(map.entries.get(), entries, "entries are counted");
        assert_eq!(map.bytes.get(), bytes, "bytes are counted");
        assert_eq!(map.wired.get(), wired, "wired bytes are counted");
        assert_eq!(map.data.get(), data, "bytes of data are counted");
        assert_eq!(
            map.promised.get(),
            promised,
            "K1: promised bytes are counted"
        );
    }

    /// S3: nothing is mapped outside of the entries.
    fn check_gap(&self, start: usize, end: usize) {
        self.each_mapped(start, end, |mapping| {
            panic!("S3: mapped in a gap: {mapping:?}")
        });
    }

    fn each_mapped(&self, start: usize, end: usize, f: impl FnMut(Mapping)) {
        if start < end {
            let nothing = Clear {
                accessed: false,
                dirty: false,
            };
            let debt = self
                .body
                .pmap
                .harvest(&self.vm.machine, self.vm, start..end, nothing, f);
            self.vm.pay(debt, self.pmap());
        }
    }

    fn check_entry(&self, entry: Ptr<MapEntry<M>>) {
        let attributes = entry.attributes();
        assert!(
            attributes.max_prot.contains(attributes.prot),
            "rights within the maximum"
        );
        assert!(
            !attributes.write_protected || attributes.watches(WatchEvents::WRITE_PROTECT),
            "S6: who protects watches"
        );
        let object = entry.object.get();
        if let Some(object) = object {
            assert!(
                object.entries.iter().any(|e| e == entry),
                "S2: the object lists the entry"
            );
            assert!(object.refs() > 0, "O1");
            assert!(
                attributes.share == Share::Private || !object.private || !object.exclusive.get(),
                "a shared entry has no exclusive object"
            );
            if let Some(under) = object.under {
                assert!(object.private && !under.private, "never a chain of objects");
                assert!(
                    under.on_top.iter().any(|o| o == object),
                    "the lower object lists the upper"
                );
            }
        }
        self.each_mapped(entry.start.get(), entry.end.get(), |mapping| {
            assert!(!attributes.guarded, "S7: a guard is mapped");
            assert!(
                attributes.allowed().contains(mapping.prot - Prot::READ),
                "S3: {:?} granted of {:?}",
                mapping.prot,
                attributes.allowed()
            );
            assert!(!attributes.poisoned, "S6: a poisoned page is mapped");
            let index = entry.index_of(mapping.va);
            let zero = self.vm.is_zero_frame(mapping.frame);
            assert!(
                !zero || !attributes.watches(WatchEvents::MISSING),
                "S6: a missing page that is watched for shows zeros"
            );
            assert!(
                !zero || !mapping.prot.contains(Prot::WRITE),
                "the page of zeros is never written"
            );
            let Some(object) = object else {
                assert!(zero, "untouched memory maps only zeros");
                return;
            };
            let holder = object.under.unwrap_or(object);
            assert!(holder.has_page(index), "nothing is mapped beyond the end");
            if let Kind::Device(first, _) = object.kind {
                assert_eq!(mapping.frame.0, first.0 + u64::from(index));
                return;
            }
            let own = object.amap.get().and_then(|amap| amap.anon(index));
            let under = object.under.and_then(|under| under.amap.get()?.anon(index));
            let page = own.or(under).and_then(|anon| anon.page.get());
            match page {
                Some(page) => assert_eq!(
                    mapping.frame,
                    page.frame(),
                    "page {:#x} of the object is mapped",
                    u64::from(index) << PAGE_SHIFT
                ),
                None => assert!(
                    zero && object.exclusive.get() && own.or(under).is_none(),
                    "O4, A5: only zeros, where exclusive and nothing is put back: {mapping:?} of {:?}",
                    own.or(under).map(|anon| anon.backing())
                ),
            }
            let noted = [Some(object), object.under]
                .into_iter()
                .flatten()
                .any(|holder| {
                    let chunk = holder.amap.get().and_then(|amap| amap.chunk(index));
                    chunk.is_some_and(|chunk| chunk.mapped() >> (index % 64) & 1 == 1)
                });
            assert!(page.is_none() || noted, "M4: what is mapped is noted");
            assert!(
                own.is_some() || !mapping.prot.contains(Prot::WRITE) || object.under.is_none(),
                "what shows through is not written"
            );
        });
    }
}
