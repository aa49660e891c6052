//! Which vnode objects may be dirty: a list of them, so that whoever writes back need not look at
//! all objects there are.
//!
//! Invariants:
//! - **W1** a vnode object is in the list while a page of it is dirty or being written, may be
//!   or was written through a page table, or is held by somebody who may write it.
//! - **W2** an object at which a pass stands does not leave the list.
//!
//! An object joins when a page of it is made ready to be written ([`Vm::note_dirty`]), and leaves
//! when a pass finds that W1 does not ask for it any more ([`Vm::is_settled`]); both with the object
//! locked. The list holds no references: an object that ends is taken out, and one that is about to
//! is passed over.
//!
//! Lock: one, rank Dirty, for the list and what the [`DirtyMark`]s hold.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::addr::Prot;
use crate::kmem::Ptr;
use crate::link::{Linked, Links, List};
use crate::machine::{Machine, Rank};
use crate::object::{Kind, ObjectBody, ObjectGuard};
use crate::page::{DIRTY, State, WRITING};
use crate::pmap::{Clear, Pmap};
use crate::sync::{Field, SpinLock};
use crate::vm::Vm;

/// Requests that may run at a time which nobody waits for: so many clusters of 16 pages are 1 MiB
/// (arbitrary: enough to keep a disk busy, without a queue in front of those who wait).
const MOST_RUNNING: u32 = 16;

/// Tag of the list of objects that may be dirty.
pub(crate) struct InDirty;

/// An object's place in the list.
pub(crate) struct DirtyMark<M: Machine> {
    /// Whether it is in the list: the object's lock, too.
    listed: Field<bool>,
    /// When it joined, or was last written back.
    since: Field<u64>,
    /// How many passes stand at it (W2).
    visits: Field<u32>,
    links: Links<ObjectBody<M>>,
}

impl<M: Machine> DirtyMark<M> {
    pub fn new() -> DirtyMark<M> {
        DirtyMark {
            listed: Field::new(false),
            since: Field::new(0),
            visits: Field::new(0),
            links: Links::new(),
        }
    }

    /// Whether the object is in the list. It is locked, or nothing else runs.
    pub fn is_listed(&self) -> bool {
        self.listed.get()
    }

    /// How long ago it joined, or was last written back.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.since.get())
    }

    /// Tells that it has been written back.
    pub(super) fn written_back(&self, now: u64) {
        self.since.set(now);
    }
}

impl<M: Machine> Linked<InDirty> for ObjectBody<M> {
    fn links(&self) -> &Links<Self> {
        &self.dirty.links
    }
}

/// The objects that may be dirty, and the requests that write them back.
pub(crate) struct DirtyObjects<M: Machine> {
    lock: SpinLock,
    list: List<ObjectBody<M>, InDirty>,
    /// How many requests run that nobody waits for; who wants to start another one sleeps on it.
    running: AtomicU32,
}

impl<M: Machine> DirtyObjects<M> {
    pub const fn new() -> DirtyObjects<M> {
        DirtyObjects {
            lock: SpinLock::new(),
            list: List::new(),
            running: AtomicU32::new(0),
        }
    }

    /// Whether as many requests run as may.
    pub(super) fn is_full(&self) -> bool {
        self.running.load(Relaxed) >= MOST_RUNNING
    }

    /// Waits until fewer do. No lock is held.
    pub(crate) fn wait_for_room(&self, machine: &M) {
        loop {
            let running = self.running.load(Acquire);
            if running < MOST_RUNNING {
                return;
            }
            machine.wait(&self.running, running);
        }
    }

    /// One request more runs.
    pub(super) fn one_more(&self) {
        self.running.fetch_add(1, Relaxed);
    }

    /// One has ended.
    pub(super) fn one_less(&self, machine: &M) {
        self.running.fetch_sub(1, AcqRel);
        machine.wake(&self.running);
    }
}

impl<M: Machine> Vm<M> {
    /// Tells that a page of the object, which is locked, may be written from now on.
    #[inline]
    pub(crate) fn note_dirty(&self, object: Ptr<ObjectBody<M>>) {
        if !object.dirty.listed.get() {
            self.join_dirty(object);
        }
    }

    #[cold]
    fn join_dirty(&self, object: Ptr<ObjectBody<M>>) {
        debug_assert!(matches!(object.kind, Kind::Vnode(_)));
        let now = self.machine.now();
        let _list = self.dirty.lock.lock(&self.machine, Rank::Dirty);
        self.dirty.list.push(object);
        object.dirty.listed.set(true);
        object.dirty.since.set(now);
    }

    /// Takes an object that has no holder any more out of the list.
    pub(crate) fn forget_dirty(&self, object: Ptr<ObjectBody<M>>) {
        if object.dirty.listed.get() {
            let _list = self.dirty.lock.lock(&self.machine, Rank::Dirty);
            self.dirty.list.remove(object);
            object.dirty.listed.set(false);
        }
    }

    /// Calls `visit` for each object that is in the list when this begins, and holds it meanwhile.
    /// Where it says true, the object may leave the list.
    pub(super) fn each_dirty(&self, mut visit: impl FnMut(Ptr<ObjectBody<M>>) -> bool) {
        let mut next = self.next_dirty(None, false);
        while let Some(object) = next {
            if visit(object) {
                let guard = object.lock(self);
                next = self.next_dirty(Some(object), self.is_settled(&guard));
                drop(guard);
            } else {
                next = self.next_dirty(Some(object), false);
            }
            self.release_object(object);
        }
    }

    /// The object at which a pass stands next, held; `done` is where it stood, and leaves the list
    /// if it is `settled`, which needs its lock. Objects join at the front: a pass comes to an end.
    fn next_dirty(
        &self,
        done: Option<Ptr<ObjectBody<M>>>,
        settled: bool,
    ) -> Option<Ptr<ObjectBody<M>>> {
        let list = &self.dirty.list;
        let _list = self.dirty.lock.lock(&self.machine, Rank::Dirty);
        let mut next = done.map_or(list.first(), |done| list.after(done));
        while let Some(object) = next.filter(|object| !object.try_retain()) {
            next = list.after(object);
        }
        if let Some(next) = next {
            next.dirty.visits.set(next.dirty.visits.get() + 1);
        }
        if let Some(done) = done {
            let others = done.dirty.visits.get() - 1;
            done.dirty.visits.set(others);
            if settled && others == 0 {
                list.remove(done);
                done.dirty.listed.set(false);
            }
        }
        next
    }

    /// Whether W1 does not ask for the object in the list.
    fn is_settled(&self, guard: &ObjectGuard<'_, M>) -> bool {
        let object = guard.object();
        let Some(amap) = object.amap.get() else {
            return true;
        };
        let unsettled = amap.any(0, u32::MAX, |_, anon| {
            anon.page.get().is_some_and(|page| {
                page.test_flags(DIRTY | WRITING) != 0 || page.holds().load(Acquire) > 1
            })
        });
        !unsettled && !self.is_writable(guard)
    }

    /// Whether a page table has the right to write a page of the object, or tells of a write.
    fn is_writable(&self, guard: &ObjectGuard<'_, M>) -> bool {
        let nothing = Clear {
            accessed: false,
            dirty: false,
        };
        let mut writable = false;
        self.each_range(guard, guard.object(), 0, 1 << 32, |map, range| {
            if writable {
                return;
            }
            let debt = map
                .pmap
                .harvest(&self.machine, self, range, nothing, |seen| {
                    // It may have been written just before that right was taken.
                    writable |= (seen.prot.contains(Prot::WRITE) || seen.dirty)
                        && self
                            .page(seen.frame)
                            .is_some_and(|page| page.state() == State::File);
                });
            self.pay(debt, &map.target().pmap);
        });
        writable
    }
}
