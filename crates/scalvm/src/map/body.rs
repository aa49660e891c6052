//! What an address space is, and moving entries in and out of it.
//!
//! Invariants:
//! - **S1** entries do not overlap and lie between `low` and `high`.
//! - **S2** an entry that has an object is in that object's list and holds it.
//! - **S3** the page tables map nothing outside of the entries, and at each address at most what
//!   its entry allows.
//! - **S4** neighbours that could be one entry are one, but where memory was short.
//! - **S5** a page that is not mapped through an entry any more may still be used by a processor
//!   that has not flushed, as long as `removing` is set. Who unmaps with the object locked flushes
//!   before it lets go; who does not sets `removing` from before to after.
//! - **S6** where missing pages are watched for (`watch/`), the page tables map no frame of zeros in
//!   the place of one; what is write-protected is watched for that; what is poisoned is not mapped.
//! - **S7** where an entry is guarded (`guard`) nothing is in the page tables.
//!
//! Lock: one for readers (faults, queries) and a writer (all that changes entries), rank Map.

use core::sync::atomic::AtomicBool;

use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::map::limit::Limits;
use crate::map::rules::Rules;
use crate::map::tree::Tree;
use crate::map::{Attributes, MapEntry};
use crate::object::ObjectBody;
use crate::request::Share;
use crate::sync::{Field, ReadGuard, RwLock, WriteGuard};
use crate::vm::Vm;

/// An address space.
pub(crate) struct MapBody<M: Machine> {
    lock: RwLock,
    pub tree: Tree<MapEntry<M>>,
    pub pmap: M::Pmap,
    pub low: usize,
    pub high: usize,
    /// Entries, and bytes in them and in the wired ones.
    pub entries: Field<usize>,
    pub bytes: Field<usize>,
    pub wired: Field<usize>,
    /// Bytes in promised entries (K1 in `commit`).
    pub promised: Field<usize>,
    /// Bytes in entries that are data (`Attributes::is_data`).
    pub data: Field<usize>,
    /// Bytes that are kept free below what grows.
    pub guard: usize,
    /// See S5.
    pub removing: AtomicBool,
    pub limits: Limits<M>,
    pub rules: Rules,
}

impl<M: Machine> MapBody<M> {
    pub fn new(pmap: M::Pmap, low: usize, high: usize, guard: usize, id: u64) -> MapBody<M> {
        MapBody {
            lock: RwLock::new(),
            tree: Tree::new(low, high),
            pmap,
            low,
            high,
            entries: Field::new(0),
            bytes: Field::new(0),
            wired: Field::new(0),
            promised: Field::new(0),
            data: Field::new(0),
            guard,
            removing: AtomicBool::new(false),
            limits: Limits::new(id),
            rules: Rules::new(low, high),
        }
    }
}

impl<M: Machine> Ptr<MapBody<M>> {
    /// Locks the map against changes.
    #[inline]
    pub fn read<'a>(self, vm: &'a Vm<M>) -> MapRead<'a, M> {
        MapRead {
            map: self,
            _lock: self.target().lock.read(&vm.machine, Rank::Map),
        }
    }

    /// Locks the map against changes, if nobody changes it.
    pub fn try_read<'a>(self, vm: &'a Vm<M>) -> Option<MapRead<'a, M>> {
        let lock = self.target().lock.try_read(&vm.machine, Rank::Map)?;
        Some(MapRead {
            map: self,
            _lock: lock,
        })
    }

    /// Locks the map to change it.
    #[inline]
    pub fn write<'a>(self, vm: &'a Vm<M>) -> MapWrite<'a, M> {
        MapWrite {
            map: self,
            _lock: self.target().lock.write(&vm.machine, Rank::Map),
        }
    }
}

impl<M: Machine> Ptr<MapBody<M>> {
    /// Takes over an entry, of which nothing is in any page table and which is in no tree, to a free place. Each of
    /// the two maps, which may be one, is locked for writing, or not known to anyone.
    pub fn take_over(
        self,
        vm: &Vm<M>,
        from: Ptr<MapBody<M>>,
        entry: Ptr<MapEntry<M>>,
        start: usize,
    ) {
        from.account(entry, -1);
        let object = entry.object.get();
        let guard = object.map(|object| object.lock(vm));
        entry.pass_to(self, start);
        drop(guard);
        self.tree.insert(entry);
        self.account(entry, 1);
    }
}

/// Proof that a map is locked against changes.
pub(crate) struct MapRead<'a, M: Machine> {
    pub map: Ptr<MapBody<M>>,
    _lock: ReadGuard<'a, M>,
}

/// Proof that a map is locked for a change.
pub(crate) struct MapWrite<'a, M: Machine> {
    pub map: Ptr<MapBody<M>>,
    _lock: WriteGuard<'a, M>,
}

impl<M: Machine> MapBody<M> {
    /// Puts a new entry in: its range is free. The reference of its object, if it has one, is the
    /// entry's now. The map is locked for writing, or not yet known to anyone.
    pub fn link(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>, object: Option<Ptr<ObjectBody<M>>>) {
        self.tree.insert(entry);
        self.attach(vm, entry, object);
    }

    /// The same for an entry that lies above all others.
    pub fn append(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>, object: Option<Ptr<ObjectBody<M>>>) {
        self.tree.insert_after(self.tree.last(), entry);
        self.attach(vm, entry, object);
    }

    fn attach(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>, object: Option<Ptr<ObjectBody<M>>>) {
        self.account(entry, 1);
        if let Some(object) = object {
            let _object = object.lock(vm);
            entry.object.set(Some(object));
            object.entries.push(entry);
        }
    }

    /// Counts an entry in or out.
    fn account(&self, entry: Ptr<MapEntry<M>>, sign: isize) {
        self.entries
            .set(self.entries.get().wrapping_add_signed(sign));
        self.account_bytes(entry, sign * (entry.end.get() - entry.start.get()) as isize);
    }

    fn account_bytes(&self, entry: Ptr<MapEntry<M>>, by: isize) {
        self.bytes.set(self.bytes.get().wrapping_add_signed(by));
        let attributes = entry.attributes();
        if attributes.wired {
            self.wired.set(self.wired.get().wrapping_add_signed(by));
        }
        if attributes.promised {
            self.promised
                .set(self.promised.get().wrapping_add_signed(by));
        }
        if attributes.is_data() {
            self.data.set(self.data.get().wrapping_add_signed(by));
        }
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Takes an entry out and frees it. What it mapped is no more in the page tables.
    pub fn unlink(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>) {
        self.map.tree.remove(entry);
        self.detach(vm, entry);
    }

    /// Frees an entry that is in the tree no more.
    pub fn detach(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>) {
        self.map.account(entry, -1);
        if entry.attributes().promised {
            vm.take_back(entry.pages() as u64);
        }
        if let Some(object) = entry.object.get() {
            let guard = object.lock(vm);
            object.entries.remove(entry);
            drop(guard);
            vm.release_object(object);
        }
        if entry.attributes().wired {
            vm.unwired(entry.pages());
        }
        vm.entries.free(&vm.machine, &vm.frames, entry);
    }

    /// Changes the attributes of an entry.
    pub fn set_attributes(&self, entry: Ptr<MapEntry<M>>, attributes: Attributes) {
        let len = (entry.end.get() - entry.start.get()) as isize;
        self.map.account_bytes(entry, -len);
        entry.set_attributes(attributes);
        self.map.account_bytes(entry, len);
    }

    /// Splits an entry at `at`: it keeps what lies below, `upper` (new, from [`Vm::spare_entry`])
    /// gets the rest.
    pub fn split(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>, at: usize, upper: Ptr<MapEntry<M>>) {
        upper.start.set(at);
        upper.end.set(entry.end.get());
        upper.offset.set(entry.index_of(at));
        upper.set_attributes(entry.attributes());
        let object = entry.object.get();
        // Whoever walks the object's entries meanwhile finds either one entry or both.
        let guard = object.map(|object| object.lock(vm));
        entry.end.set(at);
        if let Some(object) = object {
            object.retain();
            upper.object.set(Some(object));
            object.entries.push(upper);
            object.entries.changed();
        }
        drop(guard);
        self.map.tree.resized(entry);
        self.map.tree.insert_after(Some(entry), upper);
        self.map.entries.set(self.map.entries.get() + 1);
    }

    /// Makes one entry of `entry` and the one above it, if they can be one (S4). Returns the one
    /// that holds `entry`'s range now, or none if they stay two.
    pub fn join_next(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>) -> Option<Ptr<MapEntry<M>>> {
        let next = Tree::next(entry)?;
        if entry.end.get() != next.start.get()
            || !entry.is_like(&next)
            || entry.attributes().unsettled
            || entry.offset.get().wrapping_add(entry.pages() as u32) != next.offset.get()
            || entry.pages() + next.pages() > u32::MAX as usize
        {
            return None;
        }
        // The one that has the object stays.
        let (stays, goes) = match (entry.object.get(), next.object.get()) {
            (a, b) if a == b => (entry, next),
            (Some(a), b) if Self::can_grow(&entry, a, b) => (entry, next),
            (a, Some(b)) if Self::can_grow(&next, b, a) => (next, entry),
            _ => return None,
        };
        let (start, end) = (entry.start.get(), next.end.get());
        let offset = entry.offset.get();
        self.map.tree.remove(goes);
        self.map.entries.set(self.map.entries.get() - 1);
        let object = stays.object.get();
        let guard = object.map(|object| object.lock(vm));
        if let Some(object) = goes.object.get() {
            object.entries.remove(goes);
        }
        stays.start.set(start);
        stays.end.set(end);
        stays.offset.set(offset);
        drop(guard);
        self.map.tree.resized(stays);
        if let Some(object) = goes.object.get() {
            vm.release_object(object);
        }
        vm.entries.free(&vm.machine, &vm.frames, goes);
        Some(stays)
    }

    /// Joins what can be joined, from the entry that begins at `start` and the one below it up to
    /// the one that begins at `end`.
    pub fn join_range(&self, vm: &Vm<M>, start: usize, end: usize) {
        let Some(first) = self.map.tree.find(start) else {
            return;
        };
        let mut next = Some(Tree::prev(first).unwrap_or(first));
        while let Some(entry) = next {
            if entry.end.get() > end {
                break;
            }
            next = self.join_next(vm, entry).or_else(|| Tree::next(entry));
        }
    }

    /// Whether the entry's private object may serve what is next to it too, which maps `other` and was
    /// never written: the object has nothing there (O3), and `other` shows through it.
    fn can_grow(
        entry: &MapEntry<M>,
        object: Ptr<ObjectBody<M>>,
        other: Option<Ptr<ObjectBody<M>>>,
    ) -> bool {
        entry.attributes().share == Share::Private
            && object.private
            && object.growable.get()
            && object.under == other
    }
}

impl<M: Machine> Vm<M> {
    /// An entry to be filled in by [`MapWrite::split`].
    pub(crate) fn spare_entry(
        &self,
        of: Ptr<MapEntry<M>>,
    ) -> Result<Ptr<MapEntry<M>>, crate::OutOfMemory> {
        let (start, end) = (of.start.get(), of.end.get());
        let entry = MapEntry::new(of.map(), start, end, of.offset.get(), of.attributes());
        self.entries.alloc(&self.machine, &self.frames, entry)
    }
}
