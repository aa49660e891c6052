//! Families: the objects that descend from one by fork, and so may share anons.
//!
//! The reverse map of an anon: `anon → family → objects → amap[index]`, and from the objects on to
//! their map entries. An object joins its parent's family when it is forked off, and leaves it once
//! its amap is gone.
//!
//! Invariants:
//! - **F1** an anon's family lists every object in whose amap it lies.
//! - **F2** the family lives while it lists an object.
//!
//! Lock: `members`, rank Family, for the list and the links in it.

use crate::kmem::Ptr;
use crate::link::List;
use crate::machine::{Machine, Rank};
use crate::object::{InFamily, ObjectBody};
use crate::sync::SpinLock;
use crate::vm::Vm;

/// The objects that may share anons.
pub(crate) struct Family<M: Machine> {
    lock: SpinLock,
    members: List<ObjectBody<M>, InFamily>,
}

impl<M: Machine> Family<M> {
    /// A family without members.
    pub fn new() -> Family<M> {
        Family {
            lock: SpinLock::new(),
            members: List::new(),
        }
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
            family.members.is_empty()
        };
        object.family.set(None);
        if empty {
            self.families.free(&self.machine, &self.frames, family);
        }
    }
}
