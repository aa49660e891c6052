//! What one processor knows of one type: how many pieces it took and gave back, and its credit.
//!
//! A row changes while its processor is pinned by who changes it, so that takes no locked
//! instruction; others read it. The row of nobody in particular ([`TypeState`](super::TypeState) has
//! one) is changed by atomic additions instead.

use core::array::from_fn;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::kmem::{Heap, Ptr};
use crate::sync::Field;

/// The most bytes of credit that a row keeps: eight of the largest pieces that the fast path hands
/// out. Half of it, which is what is drawn or given back at once, is two full magazines of large
/// pieces: so the account is not asked more often than the depot is.
pub(super) const CAP: u64 = 512 << 10;

/// The bucket of whatever is larger than all others.
pub(super) const LAST: usize = Heap::BUCKETS - 1;

/// Pieces of one size.
pub(super) struct Count {
    /// How many were taken, ever.
    taken: AtomicU64,
    /// How many came back.
    given: AtomicU64,
}

/// One processor's counts of one type.
pub(crate) struct Row {
    /// Bytes that the type has been charged with, and that no piece has.
    credit: Field<u64>,
    /// What is to be given back of the credit: what is more than this.
    cap: Field<u64>,
    counts: [Count; Heap::BUCKETS],
    /// The processor.
    pub cpu: usize,
    /// The next row of the type.
    pub next: Field<Option<Ptr<Row>>>,
}

impl Row {
    /// A row of zeros.
    pub fn new(cpu: usize, cap: u64) -> Row {
        Row {
            credit: Field::new(0),
            cap: Field::new(cap),
            counts: from_fn(|_| Count {
                taken: AtomicU64::new(0),
                given: AtomicU64::new(0),
            }),
            cpu,
            next: Field::new(None),
        }
    }

    /// A row that refuses all.
    pub const fn none() -> Row {
        Row {
            credit: Field::<u64>::constant(0),
            cap: Field::<u64>::constant(0),
            counts: [const {
                Count {
                    taken: AtomicU64::new(0),
                    given: AtomicU64::new(0),
                }
            }; Heap::BUCKETS],
            cpu: usize::MAX,
            next: Field::nothing(),
        }
    }

    /// Bytes of credit.
    pub fn credit(&self) -> u64 {
        self.credit.get()
    }

    /// Takes all credit away, for the type to have. The row stands still.
    pub fn take_credit(&self) -> u64 {
        let credit = self.credit.get();
        self.credit.set(0);
        credit
    }

    /// Says how much credit may stay. Not only the owner does.
    pub fn set_cap(&self, cap: u64) {
        self.cap.set(cap);
    }

    /// Pieces taken of a bucket, and those that came back.
    pub fn count(&self, bucket: usize) -> (u64, u64) {
        let count = &self.counts[bucket];
        (count.taken.load(Relaxed), count.given.load(Relaxed))
    }

    /// The owner takes a piece, if the credit is enough.
    #[inline(always)]
    pub fn charge(&self, bucket: usize, bytes: usize) -> bool {
        let credit = self.credit.get();
        if credit < bytes as u64 {
            return false;
        }
        self.credit.set(credit - bytes as u64);
        add(&self.counts[bucket].taken, 1);
        true
    }

    /// The owner gives a piece back, if the credit may stay.
    #[inline(always)]
    pub fn give_within_cap(&self, bucket: usize, bytes: usize) -> bool {
        let credit = self.credit.get() + bytes as u64;
        if credit > self.cap.get() {
            return false;
        }
        self.credit.set(credit);
        add(&self.counts[bucket].given, 1);
        true
    }

    /// The owner gives a piece back. What is more credit than may stay is returned, for the type to
    /// have.
    #[inline(always)]
    pub fn give(&self, bucket: usize, bytes: usize) -> u64 {
        add(&self.counts[bucket].given, 1);
        let credit = self.credit.get() + bytes as u64;
        let cap = self.cap.get();
        if credit <= cap {
            self.credit.set(credit);
            return 0;
        }
        self.credit.set(cap / 2);
        credit - cap / 2
    }

    /// The owner takes a piece that was charged to the type already, and so much credit along with
    /// it. What is more than may stay is returned, for the type to have.
    pub fn take_charged(&self, bucket: usize, credit: u64) -> u64 {
        add(&self.counts[bucket].taken, 1);
        let (before, cap) = (self.credit.get(), self.cap.get());
        let taken = credit.min(cap.saturating_sub(before));
        self.credit.set(before + taken);
        credit - taken
    }

    /// The owner does not have the piece after all; so many of its bytes become credit.
    pub fn untake(&self, bucket: usize, bytes: u64) {
        add(&self.counts[bucket].taken, 1u64.wrapping_neg());
        self.credit.set(self.credit.get() + bytes);
    }

    /// Anyone's pieces, in the row of nobody.
    pub fn shared_taken(&self, bucket: usize, pieces: u64) {
        self.counts[bucket].taken.fetch_add(pieces, Relaxed);
    }

    /// Anyone's piece that was not to be had after all, in the row of nobody.
    pub fn shared_untaken(&self, bucket: usize) {
        self.counts[bucket].taken.fetch_sub(1, Relaxed);
    }

    /// Anyone's piece that came back, in the row of nobody.
    pub fn shared_given(&self, bucket: usize) {
        self.counts[bucket].given.fetch_add(1, Relaxed);
    }

    /// The type has ended, and with it what is known of it.
    pub fn clear(&self) {
        self.credit.set(0);
        for count in &self.counts {
            count.taken.store(0, Relaxed);
            count.given.store(0, Relaxed);
        }
    }
}

/// Adds to what only the caller changes.
#[inline(always)]
fn add(count: &AtomicU64, n: u64) {
    count.store(count.load(Relaxed).wrapping_add(n), Relaxed);
}
