//! Families: the objects that descend from one by fork, and so may share anons.
//!
//! The reverse map of an anon: `anon → family → objects → amap[index]`, and from the objects on to
//! their map entries. An object joins its parent's family when it is forked off, and leaves it once
//! its amap is gone.
//!
//! Invariants:
//! - **F1** an anon's family lists every object in whose amap it lies.
//! - **F2** the family lives while it lists an object, or is pinned: by the daemon, or by who holds a
//!   page of it for writing.
//! - **F3** `writers` counts who holds a page of a member for writing, where that is anonymous. It is
//!   raised with the member locked, together with the hold on the page.
//!
//! Lock: `members`, rank Family, for the list and the links in it. A pin is added without it, by who
//! has found an anon of the family that is not freed meanwhile.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::kmem::Ptr;
use crate::link::List;
use crate::machine::{Machine, Rank};
use crate::object::{InFamily, ObjectBody};
use crate::sync::{Field, SpinLock};
use crate::vm::Vm;

/// The objects that may share anons.
pub(crate) struct Family<M: Machine> {
    lock: SpinLock,
    members: List<ObjectBody<M>, InFamily>,
    pins: Field<u32>,
    writers: Field<u32>,
}

impl<M: Machine> Family<M> {
    /// A family without members.
    pub fn new() -> Family<M> {
        Family {
            lock: SpinLock::new(),
            members: List::new(),
            pins: Field::new(0),
            writers: Field::new(0),
        }
    }

    /// Keeps the family, whose members may leave, until [`Vm::unpin_family`].
    pub fn pin(&self) {
        self.pins.atomic().fetch_add(1, Relaxed);
    }

    /// Somebody holds a page of a member, which is locked, for writing (F3), until
    /// [`Vm::end_write`].
    pub fn begin_write(&self) {
        self.pin();
        self.writers.atomic().fetch_add(1, Relaxed);
    }

    /// Whether somebody holds a page of a member for writing; of a member that is locked it is known
    /// for certain (F3).
    pub fn is_written(&self) -> bool {
        self.writers.atomic().load(Acquire) != 0
    }

    /// Calls `f` for each member, with the list locked.
    pub fn for_each(&self, vm: &Vm<M>, mut f: impl FnMut(Ptr<ObjectBody<M>>)) {
        let _list = self.lock.lock(&vm.machine, Rank::Family);
        self.members.iter().for_each(&mut f);
    }
}

impl<M: Machine> Vm<M> {
    /// The object becomes a member.
    pub(crate) fn join_family(&self, family: Ptr<Family<M>>, object: Ptr<ObjectBody<M>>) {
        let _list = family.lock.lock(&self.machine, Rank::Family);
        family.members.push(object);
        object.family.set(Some(family));
    }

    /// The object, which has no amap any more, leaves its family; the last one ends it.
    pub(crate) fn leave_family(&self, object: Ptr<ObjectBody<M>>) {
        let Some(family) = object.family.get() else {
            return;
        };
        let empty = {
            let _list = family.lock.lock(&self.machine, Rank::Family);
            family.members.remove(object);
            family.members.is_empty() && family.pins.atomic().load(Acquire) == 0
        };
        object.family.set(None);
        if empty {
            self.families.free(&self.machine, &self.frames, family);
        }
    }

    /// One pin less.
    pub(crate) fn unpin_family(&self, family: Ptr<Family<M>>) {
        let unused = {
            let _list = family.lock.lock(&self.machine, Rank::Family);
            let last = family.pins.atomic().fetch_sub(1, AcqRel) == 1;
            last && family.members.is_empty()
        };
        if unused {
            self.families.free(&self.machine, &self.frames, family);
        }
    }

    /// A page of a member is no more held for writing.
    pub(crate) fn end_write(&self, family: Ptr<Family<M>>) {
        family.writers.atomic().fetch_sub(1, Release);
        self.unpin_family(family);
    }

    /// Lists a member first, so that it is found first.
    pub(crate) fn prefer_member(&self, family: Ptr<Family<M>>, member: Ptr<ObjectBody<M>>) {
        let _list = family.lock.lock(&self.machine, Rank::Family);
        if family.members.first() != Some(member) {
            family.members.remove(member);
            family.members.push(member);
        }
    }

    /// The member that is listed after another, or the first, with one reference more. It is not
    /// found if it is about to end: then it maps nothing.
    pub(crate) fn next_member(
        &self,
        family: Ptr<Family<M>>,
        after: Option<Ptr<ObjectBody<M>>>,
    ) -> Option<Ptr<ObjectBody<M>>> {
        let _list = family.lock.lock(&self.machine, Rank::Family);
        let next = match after {
            Some(member) => family.members.after(member),
            None => family.members.first(),
        };
        core::iter::successors(next, |member| family.members.after(*member))
            .find(|member| member.try_retain())
    }
}
