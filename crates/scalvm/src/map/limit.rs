//! How much of memory an address space may keep mapped, and the list of all address spaces.
//!
//! What counts is what the page tables map: [`PmapCounts::mapped`](crate::PmapCounts). A *hard*
//! limit is kept to by whoever goes beyond it: a fault that has entered a page trims its own map
//! (`trim`) once it holds no lock. A *soft* limit binds only while memory is short:
//! [`Vm::trim_most_over`] takes from those who are furthest above theirs.
//!
//! Invariants:
//! - **L1** a map is in the list of all maps from when it is made until it begins to end. It ends
//!   only after it was locked for writing once more: so who has found it in the list, and has locked
//!   it before letting go of the list, has a map that stays until it is unlocked.
//!
//! Locks: the list has its own, rank Maps, and so has each map's hand, rank Hand. The limits are
//! single words, set without one.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::addr::PAGE_SHIFT;
use crate::kmem::Ptr;
use crate::link::{Linked, Links, List};
use crate::machine::{Machine, Rank};
use crate::map::body::MapRead;
use crate::map::{Map, MapBody};
use crate::pmap::Pmap;
use crate::sync::{Field, SpinLock};
use crate::vm::Vm;

/// No limit.
const NONE: u64 = u64::MAX;

/// The least hard limit: a single instruction may need several pages at a time, and a fault enters
/// some neighbours (arbitrary).
const LEAST: u64 = 16;

/// Turns of the hand after which trimming gives up: in the first, all may have been used; the second
/// finds what was not used since; and the turns that a step begins and ends in are not whole.
const TURNS: u64 = 3;

/// Steps that one call of [`Vm::trim_most_over`] takes at most (arbitrary).
const STEPS: usize = 256;

/// Tag of the list of all maps.
pub(crate) struct InVm;

/// A map's limits, and how far trimming has come in it.
pub(crate) struct Limits<M: Machine> {
    pub id: u64,
    soft: Field<u64>,
    hard: Field<u64>,
    /// The lock of the hand: one thread at a time trims a map.
    pub lock: SpinLock,
    /// Where trimming goes on.
    pub hand: Field<usize>,
    /// How often the hand came to the end and began again.
    pub turns: Field<u64>,
    pub trimmed: AtomicU64,
    pub refaults: AtomicU64,
    /// The most pages that were in the page tables when some were about to leave them.
    peak: AtomicU64,
    /// The last call of the balancer that trimmed this map, and `turns` before it did: the lock of
    /// the list.
    call: Field<u64>,
    turns_before: Field<u64>,
    links: Links<MapBody<M>>,
}

impl<M: Machine> Limits<M> {
    pub fn new(id: u64) -> Limits<M> {
        Limits {
            id,
            soft: Field::new(NONE),
            hard: Field::new(NONE),
            lock: SpinLock::new(),
            hand: Field::new(0),
            turns: Field::new(0),
            trimmed: AtomicU64::new(0),
            refaults: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            call: Field::new(0),
            turns_before: Field::new(0),
            links: Links::new(),
        }
    }

    /// Whether there is a hard limit.
    #[inline(always)]
    pub fn is_hard(&self) -> bool {
        self.hard.get() != NONE
    }

    /// A child's limits are its parent's.
    pub fn inherit(&self, parent: &Limits<M>) {
        self.soft.set(parent.soft.get());
        self.hard.set(parent.hard.get());
    }
}

impl<M: Machine> Linked<InVm> for MapBody<M> {
    fn links(&self) -> &Links<Self> {
        &self.limits.links
    }
}

/// All maps.
pub(crate) struct Maps<M: Machine> {
    lock: SpinLock,
    list: List<MapBody<M>, InVm>,
    /// Calls of the balancer.
    calls: AtomicU64,
}

impl<M: Machine> Maps<M> {
    pub const fn new() -> Maps<M> {
        Maps {
            lock: SpinLock::new(),
            list: List::new(),
            calls: AtomicU64::new(0),
        }
    }

    /// Puts a new map in.
    pub fn join(&self, machine: &M, map: Ptr<MapBody<M>>) {
        let _list = self.lock.lock(machine, Rank::Maps);
        self.list.push(map);
    }

    /// Calls `f` for each, with the list locked.
    pub fn for_each(&self, machine: &M, f: impl FnMut(Ptr<MapBody<M>>)) {
        let _list = self.lock.lock(machine, Rank::Maps);
        self.list.iter().for_each(f);
    }

    /// Takes a map out that is about to end.
    pub fn leave(&self, machine: &M, map: Ptr<MapBody<M>>) {
        let _list = self.lock.lock(machine, Rank::Maps);
        self.list.remove(map);
    }
}

/// How much of memory an address space has mapped, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResidentInfo {
    /// Pages in the page tables.
    pub resident: u64,
    /// The most that `resident` ever was.
    pub peak: u64,
    /// Pages in wired entries; trimming spares them.
    pub wired: u64,
    /// Above this it gives pages up when memory is short.
    pub soft: Option<u64>,
    /// It never has more for long, but for what is wired.
    pub hard: Option<u64>,
    /// Pages taken out of the page tables by trimming.
    pub trimmed: u64,
    /// Faults that found a page which had been trimmed still in memory.
    pub refaults: u64,
}

/// One of all address spaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapInfo {
    /// A number that no other address space of this manager has or had: [`Map::id`].
    pub id: u64,
    /// Pages in the page tables.
    pub resident: u64,
    /// Pages in wired entries.
    pub wired: u64,
    /// Pages of memory that large leaves map.
    pub large: u64,
    /// Bytes in all entries.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
    /// The soft limit in pages.
    pub soft: Option<u64>,
    /// The hard limit in pages.
    pub hard: Option<u64>,
}

impl<M: Machine> MapBody<M> {
    fn resident(&self) -> u64 {
        self.pmap.counts().mapped as u64
    }

    /// Pages of memory that large leaves map.
    pub fn large(&self) -> u64 {
        (self.pmap.counts().large * self.pmap.large_pages()) as u64
    }

    /// Notes how many pages are in the page tables, before some leave them: so the most is known
    /// without a look where pages come.
    #[inline(never)]
    pub fn note_peak(&self) {
        let resident = self.resident();
        if resident > self.limits.peak.load(Relaxed) {
            self.limits.peak.fetch_max(resident, Relaxed);
        }
    }

    /// Pages above a limit.
    fn over(&self, limit: &Field<u64>) -> u64 {
        self.resident().saturating_sub(limit.get())
    }
}

fn limit(word: &Field<u64>) -> Option<u64> {
    Some(word.get()).filter(|&pages| pages != NONE)
}

impl<M: Machine> Map<'_, M> {
    /// A number that no other address space of this manager has or had.
    pub fn id(&self) -> u64 {
        self.body.limits.id
    }

    /// Limits how many pages may be mapped at a time; a hard limit is at least 16. What is above a
    /// hard limit is trimmed at once, and whenever a fault goes beyond it; what is wired stays. A
    /// child has its parent's limits.
    pub fn set_resident_limits(&self, soft: Option<u64>, hard: Option<u64>) {
        let limits = &self.body.target().limits;
        limits.soft.set(soft.unwrap_or(NONE));
        limits.hard.set(hard.map_or(NONE, |pages| pages.max(LEAST)));
        if limits.is_hard() {
            self.keep_to_limit(usize::MAX);
        }
    }

    /// How much of memory is mapped.
    pub fn resident(&self) -> ResidentInfo {
        let body = self.body.target();
        body.note_peak();
        ResidentInfo {
            resident: body.resident(),
            peak: body.limits.peak.load(Relaxed),
            wired: (body.wired.get() >> PAGE_SHIFT) as u64,
            soft: limit(&body.limits.soft),
            hard: limit(&body.limits.hard),
            trimmed: body.limits.trimmed.load(Relaxed),
            refaults: body.limits.refaults.load(Relaxed),
        }
    }

    /// Forgets the most that was ever mapped: [`ResidentInfo::peak`] begins anew with what is.
    pub fn forget_peak(&self) {
        let body = self.body.target();
        body.limits.peak.store(body.resident(), Relaxed);
    }

    /// Takes up to `want` pages that were not used lately out of the page tables, and tells how many
    /// it took. They stay in memory until that is needed for something else: a fault finds them
    /// without I/O. Wired ranges are spared. Does not block.
    pub fn trim(&self, want: u64) -> u64 {
        self.trim_but(usize::MAX, |pages| want - pages)
    }

    /// The same, but not the page at `keep`, and `want` is asked for anew at each step; until it is
    /// nothing, or two turns of the hand have not found so many.
    fn trim_but(&self, keep: usize, want: impl Fn(u64) -> u64) -> u64 {
        let before = self.body.limits.turns.get();
        let mut pages = 0;
        while self.body.limits.turns.get() - before < TURNS {
            let want = want(pages);
            if want == 0 {
                break;
            }
            let map = self.body.read(self.vm);
            pages += self.vm.trim_map(&map, want, keep);
        }
        pages
    }

    /// Goes back below the hard limit, and a little further, so that not every fault has to. Called
    /// without a lock, after the page at `va` was entered.
    #[cold]
    pub(crate) fn keep_to_limit(&self, va: usize) {
        let limits = &self.body.target().limits;
        self.trim_but(va, |_| match self.body.over(&limits.hard) {
            0 => 0,
            over => over + limits.hard.get() / 16,
        });
    }
}

impl<M: Machine> Vm<M> {
    /// Calls `f` for every address space, in no order, and with a lock held: it may neither make nor
    /// end one.
    pub fn each_map(&self, mut f: impl FnMut(MapInfo)) {
        self.spaces.for_each(&self.machine, |map| {
            let limits = &map.target().limits;
            f(MapInfo {
                id: limits.id,
                resident: map.resident(),
                wired: (map.wired.get() >> PAGE_SHIFT) as u64,
                large: map.large(),
                bytes: map.bytes.get() as u64,
                entries: map.entries.get() as u64,
                soft: limit(&limits.soft),
                hard: limit(&limits.hard),
            });
        });
    }

    /// Of the address spaces with a number not below this one that can be locked now, the one with the least. (L1)
    pub(crate) fn next_map(&self, least: u64) -> Option<MapRead<'_, M>> {
        let _list = self.spaces.lock.lock(&self.machine, Rank::Maps);
        let maps = || self.spaces.list.iter();
        let mut least = least;
        loop {
            let id = |map: &Ptr<MapBody<M>>| map.target().limits.id;
            let next = maps().filter(|map| id(map) >= least).min_by_key(id)?;
            if let Some(locked) = next.try_read(self) {
                return Some(locked);
            }
            least = id(&next) + 1;
        }
    }

    /// Takes up to `want` pages out of the page tables of address spaces that are above their soft
    /// limits, always from the one that is furthest above, and tells how many it took. Does not
    /// block.
    pub fn trim_most_over(&self, want: u64) -> u64 {
        let call = self.spaces.calls.fetch_add(1, Relaxed) + 1;
        let mut pages = 0;
        for _ in 0..STEPS {
            if pages >= want {
                break;
            }
            match self.trim_furthest(call, want - pages) {
                Some(some) => pages += some,
                None => break,
            }
        }
        pages
    }

    /// One step: of the map that is furthest above its soft limit, and of which this call may yet
    /// expect something. None if there is no such map.
    fn trim_furthest(&self, call: u64, want: u64) -> Option<u64> {
        let list = self.spaces.lock.lock(&self.machine, Rank::Maps);
        let (mut most, mut next) = (0, 0);
        let mut furthest = None;
        for map in self.spaces.list.iter() {
            let limits = &map.target().limits;
            let done = limits.call.get() == call
                && limits.turns.get().wrapping_sub(limits.turns_before.get()) >= TURNS;
            let over = if done { 0 } else { map.over(&limits.soft) };
            if over > most {
                (most, next) = (over, most);
                furthest = Some(map);
            } else {
                next = next.max(over);
            }
        }
        let map = furthest?;
        let limits = &map.target().limits;
        if limits.call.get() != call {
            limits.call.set(call);
            limits.turns_before.set(limits.turns.get());
        }
        let locked = map.try_read(self);
        if locked.is_none() {
            limits
                .turns_before
                .set(limits.turns.get().wrapping_sub(TURNS));
        }
        drop(list);
        let Some(locked) = locked else { return Some(0) };
        // Down to where another one is as far above, but in steps that are worth their while.
        let fair = (most - next).max(LEAST).min(most).min(want);
        Some(self.trim_map(&locked, fair, usize::MAX))
    }
}
