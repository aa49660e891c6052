//! Taken segments by their first number: a hash table that grows one bucket at a time (Litwin,
//! "Linear hashing", VLDB 1980). Nothing is ever rehashed at once, and a table that gets no frame to
//! grow goes on with longer chains.
//!
//! The arena's lock protects it. Chains may be walked without it by who can live with missing what is
//! there: tags of an arena with caches stay tags (see `cache.rs`).

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Release};

use super::Tag;
use crate::kmem::{Ptr, Table};
use crate::machine::Machine;
use crate::page::State;
use crate::sync::Field;
use crate::vm::Vm;

/// Buckets that are there from the start; a power of two.
const FIRST: usize = 16;
/// Segments for each bucket above which the table grows.
const LOAD: usize = 2;

type Bucket = Field<Option<Ptr<Tag>>>;

/// The taken segments of an arena.
pub(super) struct Taken {
    first: [Bucket; FIRST],
    /// Those that came later.
    rest: Table<Bucket>,
    /// Buckets in use.
    buckets: AtomicU32,
    count: Field<usize>,
}

/// Spreads numbers, which are mostly multiples of something.
fn hash(start: u64) -> usize {
    (start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

impl Taken {
    pub fn new() -> Taken {
        Taken {
            first: [const { Field::nothing() }; FIRST],
            rest: Table::new(),
            buckets: AtomicU32::new(FIRST as u32),
            count: Field::new(0),
        }
    }

    /// Segments in the table.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// The number of the bucket for a segment.
    fn bucket_of(&self, start: u64) -> usize {
        let buckets = self.buckets.load(Acquire) as usize;
        // Buckets from the last power of two on have been split off from those below.
        let power = buckets.next_power_of_two();
        let n = hash(start) % power;
        if n < buckets { n } else { n - power / 2 }
    }

    fn bucket(&self, n: usize) -> &Bucket {
        match self.first.get(n) {
            Some(bucket) => bucket,
            None => match self.rest.get(n - FIRST) {
                Some(bucket) => bucket.target(),
                None => unreachable!("a bucket in use is in the table"),
            },
        }
    }

    /// The segments of a bucket.
    fn chain(&self, n: usize) -> impl Iterator<Item = Ptr<Tag>> {
        let mut next = self.bucket(n).get();
        core::iter::from_fn(move || {
            let tag = next?;
            next = tag.link.get();
            Some(tag)
        })
    }

    /// The segment that begins at `start`.
    pub fn find(&self, start: u64) -> Option<Ptr<Tag>> {
        let mut chain = self.chain(self.bucket_of(start));
        chain.find(|tag| tag.start.get() == start)
    }

    /// The first few tags of the chain in which a segment would be, for who has no lock.
    pub fn likely(&self, start: u64) -> impl Iterator<Item = Ptr<Tag>> {
        self.chain(self.bucket_of(start)).take(4 * LOAD)
    }

    /// Adds a segment.
    pub fn insert<M: Machine>(&self, vm: &Vm<M>, tag: Ptr<Tag>) {
        self.push(self.bucket_of(tag.start.get()), tag);
        self.count.set(self.count.get() + 1);
        if self.count.get() > LOAD * self.buckets.load(Acquire) as usize {
            self.grow(vm);
        }
    }

    fn push(&self, n: usize, tag: Ptr<Tag>) {
        let bucket = self.bucket(n);
        tag.link.set(bucket.get());
        bucket.set(Some(tag));
    }

    /// Takes a segment out, which is there.
    pub fn remove(&self, tag: Ptr<Tag>) {
        let bucket = self.bucket(self.bucket_of(tag.start.get()));
        let mut at = bucket;
        while let Some(here) = at.get() {
            if here == tag {
                at.set(tag.link.get());
                tag.link.set(None);
                self.count.set(self.count.get() - 1);
                return;
            }
            at = &here.target().link;
        }
        debug_assert!(false, "V4: a taken segment is in its bucket");
    }

    /// Adds a bucket, if there is memory for it, and moves to it what belongs there.
    fn grow<M: Machine>(&self, vm: &Vm<M>) {
        let new = self.buckets.load(Acquire) as usize;
        if new - FIRST >= self.rest.len() {
            let frame = || vm.frames.alloc_page(&vm.machine, State::Kernel);
            if new > u32::MAX as usize / 2
                || self
                    .rest
                    .grow(&vm.machine, frame, |_| Field::nothing())
                    .is_err()
            {
                return;
            }
        }
        let old = self.bucket(new - (new + 1).next_power_of_two() / 2);
        self.buckets.store(new as u32 + 1, Release);
        let mut next = old.get();
        old.set(None);
        while let Some(tag) = next {
            next = tag.link.get();
            self.push(self.bucket_of(tag.start.get()), tag);
        }
    }

    /// Gives the table's frames back. It is used no more.
    pub fn clear<M: Machine>(&self, vm: &Vm<M>) {
        self.rest.clear(&vm.machine, &vm.frames);
    }

    /// Panics where V4 is broken, as far as the table goes.
    pub fn check(&self) {
        let mut count = 0;
        for n in 0..self.buckets.load(Acquire) as usize {
            for tag in self.chain(n) {
                assert_eq!(tag.kind(), super::Kind::Taken, "V4: in the hash table");
                assert_eq!(self.bucket_of(tag.start.get()), n, "V4: bucket");
                count += 1;
            }
        }
        assert_eq!(count, self.count(), "V4: taken segments");
    }
}
