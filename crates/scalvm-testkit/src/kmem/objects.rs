//! Objects of caches: taken, used, and put back as they were constructed.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use scalvm::{CacheBox, ObjectCache, OutOfMemory, Vm};

use super::worker::Worker;
use super::world::World;
use crate::kit::Hw;
use crate::program::mix;
use crate::run::{Check, wrong};

/// Words of a small object, and of a large one.
const SMALL: usize = 5;
const LARGE: usize = 380;

/// What an object says of itself while it is free, and while it is used.
const FREE: u64 = 0x6672_6565_6672_6565;
const USED: u64 = 0x7573_6564_7573_6564;

/// An object.
pub struct Thing<const N: usize> {
    state: u64,
    /// What its words are made of.
    seed: u64,
    words: [u64; N],
}

/// What constructors and destructors have done in one program.
#[derive(Default)]
pub struct Counts {
    /// Objects that are constructed, in use or not.
    made: AtomicI64,
    /// Calls of constructors.
    calls: AtomicU64,
    /// Whether constructors fail now and then.
    pub refuses: AtomicBool,
    /// Objects that were not as they must be when they were unmade.
    spoiled: AtomicU64,
}

thread_local! {
    /// Those of the program that this thread works on: constructors have no state.
    static COUNTS: RefCell<Arc<Counts>> = RefCell::default();
}

/// From now on constructors and destructors that this thread calls are counted here.
pub fn count_in(counts: &Arc<Counts>) {
    COUNTS.set(counts.clone());
}

fn make<const N: usize>(place: &mut MaybeUninit<Thing<N>>) -> Result<(), OutOfMemory> {
    COUNTS.with_borrow(|counts| {
        let call = counts.calls.fetch_add(1, Relaxed);
        if counts.refuses.load(Relaxed) && call.is_multiple_of(5) {
            return Err(OutOfMemory);
        }
        counts.made.fetch_add(1, Relaxed);
        place.write(Thing {
            state: FREE,
            seed: call,
            words: words(call),
        });
        Ok(())
    })
}

fn unmake<const N: usize>(thing: &mut Thing<N>) {
    COUNTS.with_borrow(|counts| {
        counts.made.fetch_sub(1, Relaxed);
        if !thing.is(FREE) {
            counts.spoiled.fetch_add(1, Relaxed);
        }
        thing.state = 0;
    });
}

fn words<const N: usize>(seed: u64) -> [u64; N] {
    std::array::from_fn(|n| mix(seed ^ (n as u64) << 32))
}

impl<const N: usize> Thing<N> {
    fn is(&self, state: u64) -> bool {
        self.state == state && self.words == words(self.seed)
    }
}

/// An object in use.
pub type Held<'k, const N: usize> = CacheBox<'k, Thing<N>, Hw>;

/// The objects that a thread has.
#[derive(Default)]
pub struct Things<'k> {
    small: Vec<Held<'k, SMALL>>,
    large: Vec<Held<'k, LARGE>>,
}

impl<'k> Things<'k> {
    /// Takes over what another one has.
    pub fn append(&mut self, other: &mut Things<'k>) {
        self.small.append(&mut other.small);
        self.large.append(&mut other.large);
    }

    /// Gives some to another one.
    pub fn share(&mut self, other: &mut Things<'k>) {
        other.small.extend(self.small.drain(self.small.len() / 2..));
        other.large.extend(self.large.drain(self.large.len() / 2..));
    }
}

/// The caches of a program.
pub struct Caches<'k> {
    small: ObjectCache<'k, Thing<SMALL>, Hw>,
    large: ObjectCache<'k, Thing<LARGE>, Hw>,
}

impl<'k> Caches<'k> {
    /// New ones, of a kit that is new.
    pub fn new(vm: &'k Vm<Hw>) -> Caches<'k> {
        let memory = "memory, in the beginning";
        Caches {
            small: ObjectCache::new(vm, "testkit small", make, unmake).expect(memory),
            large: ObjectCache::new(vm, "testkit large", make, unmake).expect(memory),
        }
    }

    /// Compares while nothing else runs.
    pub fn compare(&self, counts: &Counts, held: &[&Things<'_>]) -> Check {
        let sizes = held
            .iter()
            .map(|things| [things.small.len(), things.large.len()]);
        let held = sizes.fold([0, 0], |sum, more| [sum[0] + more[0], sum[1] + more[1]]);
        let mut all = 0;
        for (stats, held) in [self.small.stats(), self.large.stats()].iter().zip(held) {
            if stats.in_use != held as u64 {
                return wrong(format!("{stats:?}: {held} are in use"));
            }
            all += stats.in_use + stats.at_hand - stats.raw;
        }
        let made = counts.made.load(Relaxed);
        if made != all as i64 {
            return wrong(format!(
                "{made} objects are constructed, {all} are in caches and in use"
            ));
        }
        match counts.spoiled.load(Relaxed) {
            0 => Ok(()),
            n => wrong(format!("{n} objects were spoiled while they were free")),
        }
    }
}

/// Takes objects.
fn take<'k, const N: usize>(
    world: &World<'k>,
    cache: &'k ObjectCache<'k, Thing<N>, Hw>,
    things: &mut Vec<Held<'k, N>>,
    many: u32,
) -> Check {
    for _ in 0..1 + many % 24 {
        let before = world.kit.failures()[0];
        match cache.alloc() {
            Ok(mut thing) => {
                if !thing.is(FREE) {
                    return wrong(format!("object {:p} is not as it was constructed", &*thing));
                }
                world.take_memory((&raw const *thing).addr(), size_of::<Thing<N>>())?;
                let seed = world.fresh();
                *thing = Thing {
                    state: USED,
                    seed,
                    words: words(seed),
                };
                things.push(thing);
            }
            Err(OutOfMemory) => return world.excuse(before, 4),
        }
    }
    Ok(())
}

/// Puts objects back.
fn put<const N: usize>(
    world: &World<'_>,
    things: &mut Vec<Held<'_, N>>,
    which: u32,
    many: u32,
) -> Check {
    for n in 0..1 + many % 40 {
        if things.is_empty() {
            break;
        }
        let mut thing = things.swap_remove(which.wrapping_add(n) as usize % things.len());
        if !thing.is(USED) {
            return wrong(format!("object {:p} was written", &*thing));
        }
        thing.state = FREE;
        world.give_memory((&raw const *thing).addr());
        drop(thing);
    }
    Ok(())
}

impl Worker<'_, '_> {
    /// Which cache, how many.
    pub fn take_objects(&mut self, [_, cache, many, _, _, _]: [u32; 6]) -> Check {
        let (world, things) = (self.world, &mut self.goods.things);
        match cache % 2 {
            0 => take(world, &world.caches.small, &mut things.small, many),
            _ => take(world, &world.caches.large, &mut things.large, many),
        }
    }

    /// Which cache, which, how many.
    pub fn put_objects(&mut self, [_, cache, which, many, _, _]: [u32; 6]) -> Check {
        let (world, things) = (self.world, &mut self.goods.things);
        match cache % 2 {
            0 => put(world, &mut things.small, which, many),
            _ => put(world, &mut things.large, which, many),
        }
    }

    /// Puts all objects back.
    pub fn put_all(&mut self) -> Check {
        while !self.goods.things.small.is_empty() || !self.goods.things.large.is_empty() {
            self.put_objects([0, 0, 0, 39, 0, 0])?;
            self.put_objects([0, 1, 0, 39, 0, 0])?;
        }
        Ok(())
    }

    /// Which cache, how many.
    pub fn reserve(&mut self, [_, cache, many, _, _, _]: [u32; 6]) -> Check {
        let caches = &self.world.caches;
        let many = many % 60;
        let before = self.world.kit.failures()[0];
        let reserved = match cache % 2 {
            0 => caches.small.reserve(many),
            _ => caches.large.reserve(many / 8),
        };
        if reserved.is_err() {
            return self.world.excuse(before, 4);
        }
        let stats = [caches.small.stats(), caches.large.stats()];
        match self.world.is_alone() && stats.iter().any(|stats| stats.slots < stats.reserve) {
            true => wrong(format!("there are less than are reserved: {stats:?}")),
            false => Ok(()),
        }
    }

    /// Which cache.
    pub fn shrink(&mut self, [_, cache, _, _, _, _]: [u32; 6]) -> Check {
        let caches = &self.world.caches;
        let stats = match cache % 2 {
            0 => {
                caches.small.reclaim();
                caches.small.stats()
            }
            _ => {
                caches.large.reclaim();
                caches.large.stats()
            }
        };
        match self.world.is_alone() && stats.at_hand != 0 {
            true => wrong(format!("it was emptied: {stats:?}")),
            false => Ok(()),
        }
    }
}
