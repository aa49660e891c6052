//! [`Body`]: what an arena is made of, and how segments are split and joined. Everything here but
//! what says otherwise is done with the arena's lock held.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU64};

use super::arenas::InVm;
use super::cache::Magazines;
use super::constraints::Within;
use super::lists::Lists;
use super::span::Released;
use super::taken::Taken;
use super::{ArenaError, Fit, Kind, Tag};
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::link::{Linked, Links};
use crate::machine::{MAX_CPUS, Machine, Rank};
use crate::sync::{Field, SpinGuard, SpinLock};
use crate::vm::Vm;

/// Tags that one allocation needs: what is left over on both sides.
pub(super) const FOR_ALLOC: usize = 2;
/// Spare tags that are kept at hand (arbitrary: enough for an allocation, few enough not to matter).
const KEPT: u32 = 4;

/// An arena.
pub(crate) struct Body {
    lock: SpinLock,
    pub name: &'static str,
    pub quantum: u64,
    /// How many multiples of the quantum are cached.
    pub cached: usize,
    pub(super) lists: Lists,
    pub(super) taken: Taken,
    /// The first and the last of all spans and segments.
    pub(super) first: Field<Option<Ptr<Tag>>>,
    pub(super) last: Field<Option<Ptr<Tag>>>,
    /// The spans alone, linked as free segments are.
    pub(super) span_list: Field<Option<Ptr<Tag>>>,
    /// See V7; none before the first next fit.
    pub(super) rotor: Field<Option<Ptr<Tag>>>,
    pub(super) rotor_last: Field<u64>,
    /// See V6.
    pub(super) idle: Field<Option<Ptr<Tag>>>,
    spare: Field<Option<Ptr<Tag>>>,
    spares: Field<u32>,
    pub(super) total: Field<u64>,
    pub(super) in_use: Field<u64>,
    pub(super) spans: Field<u64>,
    pub(super) imports: Field<u64>,
    pub(super) releases: Field<u64>,
    /// Allocations that came from no cache.
    pub(super) allocs: AtomicU64,
    pub(super) fails: AtomicU64,
    pub(super) waits: AtomicU64,
    /// Each processor's cache; null until it is needed.
    pub(super) magazines: [AtomicPtr<Magazines>; MAX_CPUS],
    links: Links<Body>,
}

impl Linked<InVm> for Body {
    fn links(&self) -> &Links<Body> {
        &self.links
    }
}

impl Body {
    pub fn new(name: &'static str, quantum: u64, cached: usize) -> Body {
        Body {
            lock: SpinLock::new(),
            name,
            quantum,
            cached,
            lists: Lists::new(),
            taken: Taken::new(),
            first: Field::new(None),
            last: Field::new(None),
            span_list: Field::new(None),
            rotor: Field::new(None),
            rotor_last: Field::new(0),
            idle: Field::new(None),
            spare: Field::new(None),
            spares: Field::new(0),
            total: Field::new(0),
            in_use: Field::new(0),
            spans: Field::new(0),
            imports: Field::new(0),
            releases: Field::new(0),
            allocs: AtomicU64::new(0),
            fails: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            magazines: [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS],
            links: Links::new(),
        }
    }

    pub fn lock<'a, M: Machine>(&'a self, vm: &'a Vm<M>) -> SpinGuard<'a, M> {
        self.lock.lock(&vm.machine, Rank::Arena)
    }

    /// A size in whole quanta.
    pub fn round(&self, size: u64) -> Result<u64, ArenaError> {
        size.checked_next_multiple_of(self.quantum)
            .filter(|&size| size != 0)
            .ok_or(ArenaError::BadSize)
    }

    /// Makes sure that there are so many spare tags.
    pub(super) fn reserve<M: Machine>(&self, vm: &Vm<M>, count: usize) -> Result<(), OutOfMemory> {
        while (self.spares.get() as usize) < count {
            let tag = vm.arenas.tags.alloc(&vm.machine, &vm.frames, Tag::new())?;
            self.put_spare(tag);
        }
        Ok(())
    }

    /// A spare tag, which was reserved.
    pub(super) fn take_spare(&self) -> Ptr<Tag> {
        match self.spare.get() {
            Some(tag) => {
                self.spare.set(tag.link.get());
                self.spares.set(self.spares.get() - 1);
                tag.link.set(None);
                tag
            }
            None => unreachable!("tags are reserved before anything changes"),
        }
    }

    pub(super) fn put_spare(&self, tag: Ptr<Tag>) {
        tag.set_kind(Kind::Spare);
        tag.link.set(self.spare.get());
        self.spare.set(Some(tag));
        self.spares.set(self.spares.get() + 1);
    }

    /// Gives spare tags back but for a few. An arena with caches keeps them all, since others may
    /// look at them without its lock.
    pub(super) fn trim_spares<M: Machine>(&self, vm: &Vm<M>) {
        while self.cached == 0 && self.spares.get() > KEPT {
            let tag = self.take_spare();
            vm.arenas.tags.free(&vm.machine, &vm.frames, tag);
        }
    }

    /// Puts a tag into the row of all, behind `before`, or first.
    pub(super) fn link_after(&self, before: Option<Ptr<Tag>>, tag: Ptr<Tag>) {
        let next = match before {
            Some(before) => before.next.get(),
            None => self.first.get(),
        };
        tag.prev.set(before);
        tag.next.set(next);
        match before {
            Some(before) => before.next.set(Some(tag)),
            None => self.first.set(Some(tag)),
        }
        match next {
            Some(next) => next.prev.set(Some(tag)),
            None => self.last.set(Some(tag)),
        }
    }

    /// Takes a tag out of the row, to be spare.
    pub(super) fn unlink(&self, tag: Ptr<Tag>) {
        let (prev, next) = (tag.prev.get(), tag.next.get());
        match prev {
            Some(prev) => prev.next.set(next),
            None => self.first.set(next),
        }
        match next {
            Some(next) => next.prev.set(prev),
            None => self.last.set(prev),
        }
        self.put_spare(tag);
    }

    /// All spans and segments in order.
    pub(super) fn tags(&self) -> impl Iterator<Item = Ptr<Tag>> {
        let mut next = self.first.get();
        core::iter::from_fn(move || {
            let tag = next?;
            next = tag.next.get();
            Some(tag)
        })
    }

    /// Takes a segment, of whole quanta.
    pub(super) fn take<M: Machine>(
        &self,
        vm: &Vm<M>,
        size: u64,
        within: Option<&Within>,
        fit: Fit,
        _held: &SpinGuard<'_, M>,
    ) -> Result<Ptr<Tag>, ArenaError> {
        self.reserve(vm, FOR_ALLOC)?;
        let (segment, at) = self.choose(size, within, fit).ok_or(ArenaError::Full)?;
        self.carve(vm, segment, at, size);
        if fit == Fit::Next {
            self.rotor.set(Some(segment));
            self.rotor_last.set(at + (size - 1));
        }
        Ok(segment)
    }

    /// Takes the part of a free segment from `at` on. Two tags are spare.
    pub(super) fn carve<M: Machine>(&self, vm: &Vm<M>, segment: Ptr<Tag>, at: u64, size: u64) {
        self.lists.remove(segment);
        let whole = segment.prev.get();
        if whole.is_some() && whole == self.idle.get() {
            self.idle.set(None);
        }
        let (start, last, end) = (segment.start.get(), segment.last(), at + (size - 1));
        segment.describe(Kind::Taken, at, size);
        let rotor = self.rotor.get() == Some(segment);
        if start < at {
            let below = self.take_spare();
            below.describe(Kind::Free, start, at - start);
            self.link_after(segment.prev.get(), below);
            self.lists.insert(below);
            if rotor && below.contains(self.rotor_last.get()) {
                self.rotor.set(Some(below));
            }
        }
        if end < last {
            let above = self.take_spare();
            above.describe(Kind::Free, end + 1, last - end);
            self.link_after(Some(segment), above);
            self.lists.insert(above);
            if rotor && above.contains(self.rotor_last.get()) {
                self.rotor.set(Some(above));
            }
        }
        self.taken.insert(vm, segment);
        self.in_use.set(self.in_use.get() + size);
    }

    /// Frees a taken segment, and joins it to its free neighbours. If that leaves a second imported
    /// span free as a whole, the span leaves the arena.
    pub fn put<M: Machine>(
        &self,
        vm: &Vm<M>,
        segment: Ptr<Tag>,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Released> {
        self.taken.remove(segment);
        self.in_use.set(self.in_use.get() - segment.size.get());
        segment.set_kind(Kind::Free);
        let above = segment.next.get();
        if let Some(above) = above.filter(|tag| tag.kind() == Kind::Free) {
            self.lists.remove(above);
            self.join(segment, above);
        }
        let mut segment = segment;
        let below = segment.prev.get();
        if let Some(below) = below.filter(|tag| tag.kind() == Kind::Free) {
            self.lists.remove(below);
            self.join(below, segment);
            segment = below;
        }
        self.lists.insert(segment);
        let released = self.settle(segment);
        self.trim_spares(vm);
        released
    }

    /// Makes one segment of two, of which `above` ends.
    fn join(&self, below: Ptr<Tag>, above: Ptr<Tag>) {
        below.size.set(below.size.get() + above.size.get());
        if self.rotor.get() == Some(above) {
            self.rotor.set(Some(below));
        }
        self.unlink(above);
    }

    /// A new arena, known to the manager.
    pub fn make<M: Machine>(
        vm: &Vm<M>,
        name: &'static str,
        quantum: u64,
        cached: usize,
    ) -> Result<Ptr<Body>, OutOfMemory> {
        let pool = &vm.arenas.bodies;
        let new = || Body::new(name, quantum, cached);
        let body = pool.alloc_with(&vm.machine, &vm.frames, new)?;
        vm.arenas.join(&vm.machine, body);
        Ok(body)
    }

    /// Ends an arena that nobody uses any more; `gave` is told each span that was imported. No lock is
    /// held.
    pub fn unmake<M: Machine>(vm: &Vm<M>, body: Ptr<Body>, mut gave: impl FnMut(u64, u64)) {
        vm.arenas.leave(&vm.machine, body);
        let free = |tag| vm.arenas.tags.free(&vm.machine, &vm.frames, tag);
        body.taken.clear(vm);
        for tag in body.tags() {
            if tag.kind() == Kind::Imported {
                gave(tag.start.get(), tag.size.get());
            }
            free(tag);
        }
        while body.spares.get() > 0 {
            free(body.take_spare());
        }
        for cache in &body.magazines {
            if let Some(cache) = Ptr::from_raw(cache.load(Relaxed)) {
                vm.arenas.magazines.free(&vm.machine, &vm.frames, cache);
            }
        }
        vm.arenas.bodies.free(&vm.machine, &vm.frames, body);
    }

    /// Spare tags at hand.
    pub(super) fn spare_count(&self) -> u64 {
        u64::from(self.spares.get())
    }
}
