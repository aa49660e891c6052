//! What is remembered of pages: that there was one with a certain key, not long ago.
//!
//! Records lie in a table that is as long as memory has frames, and are used in turns: so they are
//! always met in the order in which they were made, and the oldest is found without a list. The
//! table is a hash table at the same time: record n begins the chain of the n-th bucket. A record
//! knows 32 bits of its key, its *tag*; that two keys have one tag happens about once in 2^32 looks
//! for each record, and then a page is taken for another one and stays longer than it should.
//!
//! Memory: 20 bytes a record.
//!
//! Invariants:
//! 1. The records in use are among the `span` ones from `first` on, in the order of their making.
//! 2. A record in use is in the chain of its tag's bucket, and no other one has its tag.

use super::list::RECORD;
use crate::error::OutOfMemory;
use crate::kmem::{Ptr, Table};
use crate::machine::Machine;
use crate::page::{Frames, State, UNLINKED};
use crate::sync::Field;

/// The end of a chain.
const END: u32 = u32::MAX;
/// In `next` of a record that is not in use.
const FREE: u32 = u32::MAX - 1;

/// What is remembered of one page.
pub(super) struct Record {
    /// Links of a list of the policy.
    pub older: Field<u32>,
    pub newer: Field<u32>,
    tag: Field<u32>,
    /// The next record in its chain, or [`FREE`].
    next: Field<u32>,
    /// The first record of the bucket that has this record's number.
    bucket: Field<u32>,
}

/// All records of one policy.
pub(super) struct Records {
    table: Table<Record>,
    first: Field<u32>,
    span: Field<u32>,
    used: Field<u32>,
}

impl Records {
    pub const fn new() -> Records {
        Records {
            table: Table::new(),
            first: Field::<u32>::constant(0),
            span: Field::<u32>::constant(0),
            used: Field::<u32>::constant(0),
        }
    }

    /// Gets room for a record for each of so many frames.
    pub fn start<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        records: u64,
    ) -> Result<(), OutOfMemory> {
        let most = records.min(u64::from(RECORD / 2)) as usize;
        while self.table.len() < most {
            let frame = || frames.alloc_page(machine, State::Kernel);
            let grown = self.table.grow(machine, frame, |_| Record {
                older: Field::new(UNLINKED),
                newer: Field::new(UNLINKED),
                tag: Field::new(0),
                next: Field::new(FREE),
                bucket: Field::new(END),
            });
            if grown.is_err() {
                self.table.clear(machine, frames);
                return Err(OutOfMemory);
            }
        }
        Ok(())
    }

    /// For [`Nodes`](super::list::Nodes).
    pub fn table(&self) -> &Table<Record> {
        &self.table
    }

    /// Records in use.
    pub fn len(&self) -> u32 {
        self.used.get()
    }

    /// The node of the record with this key.
    pub fn find(&self, key: u64) -> Option<u32> {
        let tag = tag_of(key);
        let mut at = self.bucket(tag)?.get();
        while let Some(record) = self.record(at) {
            if record.tag.get() == tag {
                return Some(at | RECORD);
            }
            at = record.next.get();
        }
        None
    }

    /// The oldest record in use, as a node.
    pub fn oldest(&self) -> Option<u32> {
        while self.span.get() > 0 {
            let first = self.first.get();
            if self.record(first)?.next.get() != FREE {
                return Some(first | RECORD);
            }
            self.first.set(self.after(first, 1));
            self.span.set(self.span.get() - 1);
        }
        None
    }

    /// Whether the oldest record must be given up before another one is made.
    pub fn is_full(&self) -> bool {
        self.span.get() as usize >= self.table.len()
    }

    /// Makes a record for a key that has none; there is room. Gives its node.
    pub fn make(&self, key: u64) -> Option<u32> {
        debug_assert!(!self.is_full() && self.find(key).is_none());
        let tag = tag_of(key);
        let at = self.after(self.first.get(), self.span.get());
        let (record, bucket) = (self.record(at)?, self.bucket(tag)?);
        record.tag.set(tag);
        record.next.set(bucket.get());
        bucket.set(at);
        self.span.set(self.span.get() + 1);
        self.used.set(self.used.get() + 1);
        Some(at | RECORD)
    }

    /// Gives up a record, named by its node, which is in no list any more.
    pub fn give_up(&self, node: u32) {
        let at = node ^ RECORD;
        let Some(record) = self.record(at) else {
            return;
        };
        let Some(mut place) = self.bucket(record.tag.get()) else {
            return;
        };
        while place.get() != at {
            let Some(other) = self.record(place.get()) else {
                debug_assert!(false, "record {at} is not in its chain (2)");
                return;
            };
            place = &other.next;
        }
        place.set(record.next.get());
        record.next.set(FREE);
        self.used.set(self.used.get() - 1);
    }

    /// Panics where the invariants do not hold.
    pub fn check_invariants(&self) {
        let mut used = 0;
        for n in 0..self.table.len() as u32 {
            let record = self.record(n).expect("the table is as long as it says");
            let turn =
                (n as usize + self.table.len() - self.first.get() as usize) % self.table.len();
            if record.next.get() != FREE {
                used += 1;
                assert!(turn < self.span.get() as usize, "record {n}: invariant 1");
            }
            let (mut at, mut len) = (record.bucket.get(), 0);
            while at != END {
                let other = self.record(at).expect("a chain stays in the table");
                assert_ne!(other.next.get(), FREE, "record {at}: invariant 2");
                assert_eq!(bucket_of(other.tag.get(), self.table.len()), n as usize);
                len += 1;
                assert!(len <= self.used.get(), "a chain has an end");
                at = other.next.get();
            }
        }
        assert_eq!(used, self.used.get());
    }

    fn record(&self, at: u32) -> Option<&Record> {
        self.table.get(at as usize).map(Ptr::target)
    }

    fn bucket(&self, tag: u32) -> Option<&Field<u32>> {
        let bucket = bucket_of(tag, self.table.len());
        Some(&self.table.get(bucket)?.target().bucket)
    }

    /// The record that lies so many behind another one; the first follows the last.
    fn after(&self, at: u32, n: u32) -> u32 {
        ((at as usize + n as usize) % self.table.len().max(1)) as u32
    }
}

fn bucket_of(tag: u32, buckets: usize) -> usize {
    ((u64::from(tag) * buckets as u64) >> 32) as usize
}

/// Every bit of the key counts in every bit of the tag (the finaliser of MurmurHash3).
fn tag_of(key: u64) -> u32 {
    let key = (key ^ (key >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let key = (key ^ (key >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (key >> 32) as u32
}
