//! [`Arenas`]: what a manager has for all of its arenas.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

use super::cache::Magazines;
use super::{ArenaStats, Body, Tag};
use crate::kmem::{Pool, Ptr, RawPool};
use crate::link::List;
use crate::machine::{Machine, Rank};
use crate::sync::SpinLock;
use crate::vm::Vm;

/// Tag of the list of all arenas.
pub(crate) struct InVm;

/// The pools of arenas, the list of all, and what those wait on who found one full.
pub(crate) struct Arenas {
    pub(super) tags: Pool<Tag>,
    pub(super) bodies: Pool<Body>,
    pub(super) magazines: Pool<Magazines>,
    lock: SpinLock,
    list: List<Body, InVm>,
    /// Changes whenever something is freed while somebody waits. One word for all arenas: what one
    /// waits for may be freed in the arena that it imports from.
    freed: AtomicU32,
    waiters: AtomicU32,
}

impl Arenas {
    /// None yet.
    pub const fn new() -> Arenas {
        Arenas {
            tags: Pool::new(),
            bodies: Pool::new(),
            magazines: Pool::new(),
            lock: SpinLock::new(),
            list: List::new(),
            freed: AtomicU32::new(0),
            waiters: AtomicU32::new(0),
        }
    }

    /// Calls `f` with each pool of their structures, for figures and reclaim.
    pub fn each_raw(&self, f: &mut dyn FnMut(&'static str, &RawPool)) {
        f("arena tag", self.tags.raw());
        f("arena", self.bodies.raw());
        f("arena magazines", self.magazines.raw());
    }

    /// Puts a new arena in the list.
    pub(super) fn join<M: Machine>(&self, machine: &M, arena: Ptr<Body>) {
        let _list = self.lock.lock(machine, Rank::Arenas);
        self.list.push(arena);
    }

    /// Takes one out that is about to end.
    pub(super) fn leave<M: Machine>(&self, machine: &M, arena: Ptr<Body>) {
        let _list = self.lock.lock(machine, Rank::Arenas);
        self.list.remove(arena);
    }

    /// Something has been freed, under a lock that is free again: wakes those who wait. (Who waits
    /// has first counted itself and then looked under that lock; so either it has seen what was
    /// freed, or it is seen here.)
    pub fn wake<M: Machine>(&self, machine: &M) {
        if self.waiters.load(SeqCst) != 0 {
            self.freed.fetch_add(1, Release);
            machine.wake(&self.freed);
        }
    }

    /// Tries until `attempt` has something, or gives up; sleeps in between until something is freed.
    pub(super) fn wait<M: Machine, T>(
        &self,
        machine: &M,
        mut attempt: impl FnMut() -> Option<T>,
    ) -> T {
        self.waiters.fetch_add(1, SeqCst);
        let result = loop {
            let seen = self.freed.load(SeqCst);
            match attempt() {
                Some(result) => break result,
                None => machine.wait(&self.freed, seen),
            }
        };
        self.waiters.fetch_sub(1, Relaxed);
        result
    }
}

impl<M: Machine> Vm<M> {
    /// Calls `f` for each arena that has or had a span, in no order, and with a lock held: it may
    /// neither use an arena nor make one.
    pub fn each_arena(&self, f: &mut dyn FnMut(&ArenaStats)) {
        let _list = self.arenas.lock.lock(&self.machine, Rank::Arenas);
        for arena in self.arenas.list.iter() {
            f(&arena.target().stats(self));
        }
    }

    /// Panics where an arena contradicts itself.
    pub(crate) fn check_arenas(&self) {
        let arenas = &self.arenas;
        arenas.tags.check_invariants(&self.machine, &self.frames);
        arenas.bodies.check_invariants(&self.machine, &self.frames);
        arenas
            .magazines
            .check_invariants(&self.machine, &self.frames);
        let _list = arenas.lock.lock(&self.machine, Rank::Arenas);
        let (mut bodies, mut tags, mut magazines) = (0, 0, 0);
        for arena in arenas.list.iter() {
            bodies += 1;
            let (some, caches) = arena.target().check(self);
            tags += some;
            magazines += caches;
        }
        assert_eq!(arenas.bodies.in_use(), bodies, "arenas in the list");
        assert_eq!(arenas.tags.in_use(), tags, "tags of all arenas");
        assert_eq!(arenas.magazines.in_use(), magazines, "caches of all arenas");
    }
}
