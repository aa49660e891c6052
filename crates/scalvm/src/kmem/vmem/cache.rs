//! Quantum caches: the segments of a few small sizes that a processor has at hand.
//!
//! An arena with caches (`cached` is not zero) hands out segments of up to so many quanta from the
//! processor's own *magazines*, and takes them back there. To the arena they are taken all the while;
//! whether the user has one is told by the tag's claim (V8). So a wrong free is refused here as it
//! is elsewhere, without the arena's lock: the tag is looked for in the hash table without it, and
//! the claim, one atomic word, decides. What is not found so is looked for again with the lock.
//! That tags may be looked at without the lock is why such an arena keeps its spare ones until it
//! ends: they never become anything else.
//!
//! Locks: each processor's magazines have one, of the rank of arenas, which costs the processor no
//! locked instruction. Magazines are emptied when the arena has nothing else left, so caches never
//! make an allocation fail.

use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{AcqRel, Acquire};

use super::{Body, Tag, UNCLAIMED};
use crate::kmem::Ptr;
use crate::machine::{MAX_CPUS, Machine, Rank};
use crate::sync::{Field, OwnerGuard, OwnerLock, Pinned};
use crate::vm::Vm;

/// The most multiples of a quantum that are cached.
pub(super) const SIZES: usize = 16;
/// Segments in a magazine: with its count two cache lines.
const ROUNDS: usize = 15;
/// How many are moved at a time, into an empty magazine or out of a full one.
pub(super) const BATCH: usize = ROUNDS / 2;

/// Segments of one size.
#[repr(align(64))]
struct Magazine {
    count: Field<usize>,
    rounds: [Field<Option<Ptr<Tag>>>; ROUNDS],
}

impl Magazine {
    fn new() -> Magazine {
        Magazine {
            count: Field::new(0),
            rounds: [const { Field::nothing() }; ROUNDS],
        }
    }

    fn pop(&self) -> Option<Ptr<Tag>> {
        let count = self.count.get().checked_sub(1)?;
        self.count.set(count);
        self.rounds[count].get()
    }

    /// False if it is full.
    fn push(&self, tag: Ptr<Tag>) -> bool {
        let count = self.count.get();
        let Some(round) = self.rounds.get(count) else {
            return false;
        };
        round.set(Some(tag));
        self.count.set(count + 1);
        true
    }
}

/// The magazines of one processor in one arena.
pub(crate) struct Magazines {
    lock: OwnerLock,
    /// Allocations that were served from here.
    hits: Field<u64>,
    sizes: [Magazine; SIZES],
}

impl Magazines {
    /// Takes the lock, whatever processor this is.
    fn steal<'a, M: Machine>(&'a self, vm: &'a Vm<M>) -> OwnerGuard<'a, M> {
        self.lock.steal(&vm.machine, Rank::Arena)
    }
}

impl Body {
    /// Which magazine is for segments of a size, if any is.
    pub(super) fn magazine_for(&self, size: u64) -> Option<usize> {
        let n = (size / self.quantum - 1) as usize;
        (n < self.cached).then_some(n)
    }

    /// Stays on this processor and does something with its magazines, with their lock held. None if
    /// it has none, and there is no memory for them.
    fn with_magazines<M: Machine, R>(
        &self,
        vm: &Vm<M>,
        act: impl FnOnce(&Magazines) -> R,
    ) -> Option<R> {
        let mut pinned = Pinned::new(&vm.machine);
        let mut place = &self.magazines[pinned.cpu() % MAX_CPUS];
        if place.load(Acquire).is_null() {
            // Pools pin for themselves.
            drop(pinned);
            self.make_magazines(vm, place)?;
            // This may be another processor, which will make its own the next time.
            pinned = Pinned::new(&vm.machine);
            place = &self.magazines[pinned.cpu() % MAX_CPUS];
        }
        let magazines = Ptr::from_raw(place.load(Acquire))?.target();
        let _held = magazines.lock.enter(&vm.machine, Rank::Arena);
        Some(act(magazines))
    }

    /// Makes the magazines that belong in a place.
    #[cold]
    fn make_magazines<M: Machine>(&self, vm: &Vm<M>, place: &AtomicPtr<Magazines>) -> Option<()> {
        let pool = &vm.arenas.magazines;
        let new = pool.alloc_with(&vm.machine, &vm.frames, || Magazines {
            lock: OwnerLock::new(),
            hits: Field::new(0),
            sizes: core::array::from_fn(|_| Magazine::new()),
        });
        let new = new.ok()?;
        let null = core::ptr::null_mut();
        let placed = place.compare_exchange(null, new.as_ptr(), AcqRel, Acquire);
        if placed.is_err() {
            pool.free(&vm.machine, &vm.frames, new);
        }
        Some(())
    }

    /// A segment from the magazines of this processor. No lock is held.
    pub(super) fn pop_cached<M: Machine>(&self, vm: &Vm<M>, n: usize) -> Option<Ptr<Tag>> {
        self.with_magazines(vm, |magazines| {
            let tag = magazines.sizes[n].pop()?;
            magazines.hits.set(magazines.hits.get() + 1);
            Some(tag)
        })?
    }

    /// Puts a segment that nobody claims into a magazine of this processor. If that is full, some of
    /// it goes to `out` first, for the arena. False if the segment cannot be cached.
    pub(super) fn push_cached<M: Machine>(
        &self,
        vm: &Vm<M>,
        n: usize,
        tag: Ptr<Tag>,
        out: &mut [Option<Ptr<Tag>>; BATCH],
    ) -> bool {
        if tag.start.get() == UNCLAIMED {
            return false;
        }
        let pushed = self.with_magazines(vm, |magazines| {
            let magazine = &magazines.sizes[n];
            if magazine.push(tag) {
                return true;
            }
            out.fill_with(|| magazine.pop());
            magazine.push(tag)
        });
        pushed == Some(true)
    }

    /// Takes a segment out of any magazine.
    pub(super) fn pop_any<M: Machine>(&self, vm: &Vm<M>) -> Option<Ptr<Tag>> {
        let all = self.magazines.iter();
        let mut all = all.filter_map(|place| Ptr::from_raw(place.load(Acquire)));
        all.find_map(|magazines| {
            let magazines = magazines.target();
            let _held = magazines.steal(vm);
            magazines.sizes.iter().find_map(Magazine::pop)
        })
    }

    /// Takes a segment of a cached size back from its user without the arena's lock, if it is easily
    /// found.
    pub(super) fn unclaim_quickly(&self, start: u64, size: u64) -> Option<Ptr<Tag>> {
        if start == UNCLAIMED {
            return None;
        }
        let mut likely = self.taken.likely(start);
        let tag = likely.find(|tag| tag.claim() == start && tag.take_back(start))?;
        // Now it is ours, and does not change. (Who frees what is not theirs may have taken another's
        // just now, and gives it back.)
        if tag.size.get() != size {
            tag.give_out();
            return None;
        }
        Some(tag)
    }

    /// What is in the magazines: segments, numbers, and hits so far. Exact while nothing else runs.
    pub(super) fn cache_counts<M: Machine>(&self, vm: &Vm<M>) -> (u64, u64, u64) {
        let (mut segments, mut numbers, mut hits) = (0, 0, 0);
        for place in &self.magazines {
            let Some(magazines) = Ptr::from_raw(place.load(Acquire)) else {
                continue;
            };
            let magazines = magazines.target();
            let _held = magazines.steal(vm);
            hits += magazines.hits.get();
            for (n, magazine) in magazines.sizes.iter().enumerate() {
                let count = magazine.count.get() as u64;
                segments += count;
                numbers += count * (n as u64 + 1) * self.quantum;
            }
        }
        (segments, numbers, hits)
    }
}
