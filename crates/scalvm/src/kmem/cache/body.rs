//! What the manager knows of an object cache.

use core::ptr::NonNull;

use crate::error::OutOfMemory;
use crate::kmem::slab::{Reclaim, Use};
use crate::kmem::{Pool, Ptr, RawPool};
use crate::link::{Linked, Links, List};
use crate::machine::{Machine, Rank};
use crate::sync::{Field, SpinLock};
use crate::vm::Vm;

/// A cache without its type.
pub(crate) struct CacheBody {
    pub(super) raw: RawPool,
    pub(super) name: &'static str,
    /// The function that unmakes an object, and what calls it for the one in a slot.
    unmake: *const (),
    unmake_in: unsafe fn(*const (), NonNull<()>),
    links: Links<CacheBody>,
    /// How many found it in the list and work on it; the list's lock.
    users: Field<u32>,
}

// SAFETY: `unmake` is a function, which any thread may call.
unsafe impl Send for CacheBody {}
// SAFETY: as for Send.
unsafe impl Sync for CacheBody {}

/// The manager's list.
pub(crate) struct InVm;

impl Linked<InVm> for CacheBody {
    fn links(&self) -> &Links<CacheBody> {
        &self.links
    }
}

impl CacheBody {
    pub(super) fn new(
        name: &'static str,
        raw: RawPool,
        unmake: *const (),
        unmake_in: unsafe fn(*const (), NonNull<()>),
    ) -> CacheBody {
        CacheBody {
            raw,
            name,
            unmake,
            unmake_in,
            links: Links::new(),
            users: Field::new(0),
        }
    }
}

/// All object caches of a manager.
pub(crate) struct Caches {
    lock: SpinLock,
    list: List<CacheBody, InVm>,
    bodies: Pool<CacheBody>,
}

impl Caches {
    /// None yet.
    pub const fn new() -> Caches {
        Caches {
            lock: SpinLock::new(),
            list: List::new(),
            bodies: Pool::new(),
        }
    }

    /// Adds a new one.
    pub(super) fn add<M: Machine>(
        &self,
        vm: &Vm<M>,
        make: impl FnOnce() -> CacheBody,
    ) -> Result<Ptr<CacheBody>, OutOfMemory> {
        let body = self.bodies.alloc_with(&vm.machine, &vm.frames, make)?;
        let _list = self.lock.lock(&vm.machine, Rank::Caches);
        self.list.push(body);
        Ok(body)
    }

    /// Ends one that has nothing any more; one that has stays. Spins while others work on it.
    pub(super) fn end<M: Machine>(&self, vm: &Vm<M>, body: Ptr<CacheBody>) {
        loop {
            let list = self.lock.lock(&vm.machine, Rank::Caches);
            if body.users.get() == 0 {
                if body.raw.in_use() != 0 {
                    return;
                }
                self.list.remove(body);
                break;
            }
            drop(list);
            vm.machine.relax();
        }
        self.bodies.free(&vm.machine, &vm.frames, body);
    }

    /// Calls `f` with each, with no lock held.
    fn each<M: Machine>(&self, vm: &Vm<M>, mut f: impl FnMut(Ptr<CacheBody>)) {
        let mut list = self.lock.lock(&vm.machine, Rank::Caches);
        let mut next = self.list.first();
        while let Some(body) = next {
            body.users.set(body.users.get() + 1);
            drop(list);
            f(body);
            list = self.lock.lock(&vm.machine, Rank::Caches);
            next = self.list.after(body);
            body.users.set(body.users.get() - 1);
        }
        drop(list);
    }

    /// Calls `f` with the name and the pool of each, with no lock held.
    pub fn each_raw<M: Machine>(&self, vm: &Vm<M>, f: &mut dyn FnMut(&'static str, &RawPool)) {
        f("object cache", self.bodies.raw());
        self.each(vm, |body| f(body.name, &body.raw));
    }

    /// Gives back what is free in all of them, and tells how many frames that were.
    pub fn reclaim<M: Machine>(&self, vm: &Vm<M>, how: Reclaim) -> u64 {
        let (machine, frames) = (&vm.machine, &vm.frames);
        let mut freed = 0;
        self.each(vm, |body| {
            freed += body.raw.reclaim_constructed(machine, frames, how, |slot| {
                // SAFETY: a free slot that is constructed (invariant 1 of the head), of this cache.
                unsafe { (body.unmake_in)(body.unmake, slot) }
            });
        });
        freed + self.bodies.raw().reclaim(machine, frames, how)
    }

    /// Panics where a cache contradicts itself.
    pub fn check_invariants<M: Machine>(&self, vm: &Vm<M>) {
        self.bodies.check_invariants(&vm.machine, &vm.frames);
        self.each(vm, |body| {
            assert!(body.raw.is_for(Use::Cache));
            body.raw.check_invariants(&vm.machine, &vm.frames);
        });
    }
}
