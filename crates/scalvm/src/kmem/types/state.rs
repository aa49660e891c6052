//! What one manager knows of one type.

use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

use super::MallocType;
use super::row::{CAP, LAST, Row};
use crate::addr::PAGE_SIZE;
use crate::kmem::{Heap, Ptr};
use crate::machine::Machine;
use crate::sync::Field;

/// The most credit that is drawn along with a piece. Half of what may stay, so that who draws and
/// gives back in turn does so half a cap apart.
const BATCH: u64 = CAP / 2;
/// No limit.
pub(super) const UNLIMITED: u64 = u64::MAX;

/// What was drawn for a piece, beyond its bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Draw {
    /// So much credit.
    pub credit: u64,
    /// What the type held then, this included.
    pub held: u64,
}

/// The use of the type would go above its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct AtLimit;

/// The account of one type in one manager. Invariants in `mod.rs`.
pub(crate) struct TypeState {
    /// The type; null while the number is nobody's.
    ty: AtomicPtr<MallocType>,
    /// Bytes charged: those of all pieces, and all credit.
    held: AtomicU64,
    /// The most that `held` has been.
    high: AtomicU64,
    limit: AtomicU64,
    failures: AtomicU64,
    waits: AtomicU64,
    /// How many wait for the use to fall.
    waiting: AtomicU32,
    /// What they sleep on.
    word: AtomicU32,
    /// Whether the type is being detached: then no processor gets a row of it. Changed under the lock
    /// of types.
    leaving: AtomicBool,
    /// The row of nobody in particular.
    shared: Row,
    /// The rows of processors. They stay when the type goes, for the next one of this number.
    rows: Field<Option<Ptr<Row>>>,
}

/// What is known of the pieces of one type, added up.
#[derive(Clone, Copy)]
pub(crate) struct Sums {
    pub taken: [u64; Heap::BUCKETS],
    pub given: [u64; Heap::BUCKETS],
    pub credit: u64,
}

impl TypeState {
    /// Nobody's.
    pub fn new() -> TypeState {
        TypeState {
            ty: AtomicPtr::new(null_mut()),
            held: AtomicU64::new(0),
            high: AtomicU64::new(0),
            limit: AtomicU64::new(UNLIMITED),
            failures: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            word: AtomicU32::new(0),
            leaving: AtomicBool::new(false),
            shared: Row::new(usize::MAX, 0),
            rows: Field::new(None),
        }
    }

    /// Whether it is this type's.
    pub fn is_of(&self, ty: &'static MallocType) -> bool {
        core::ptr::eq(self.ty.load(Acquire), ty)
    }

    /// Whose it is.
    pub fn ty(&self) -> Option<&'static MallocType> {
        // SAFETY: only `begin` stores it: a static's address.
        unsafe { self.ty.load(Acquire).as_ref() }
    }

    /// Becomes this type's. Under the lock of types; it is nobody's.
    pub fn begin(&self, ty: &'static MallocType) {
        self.set_limit(ty.limit());
        self.ty.store(core::ptr::from_ref(ty).cast_mut(), Release);
    }

    /// Whether the type is being detached.
    pub fn leaves(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// Begins or ends that. Under the lock of types.
    pub fn set_leaving(&self, leaves: bool) {
        self.leaving.store(leaves, Relaxed);
    }

    /// Becomes nobody's, with all counts zero. Under the lock of types; no processor has the row of
    /// it at hand any more.
    pub fn end(&self) {
        self.set_leaving(false);
        self.ty.store(null_mut(), Release);
        for count in [&self.held, &self.high, &self.failures, &self.waits] {
            count.store(0, Relaxed);
        }
        self.shared.clear();
        self.rows().for_each(Row::clear);
    }

    /// The rows of processors.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        let mut next = self.rows.get();
        core::iter::from_fn(move || {
            let row = next?;
            next = row.next.get();
            Some(row.target())
        })
    }

    /// The row of a processor. Under the lock of types.
    pub fn row(&self, cpu: usize) -> Option<Ptr<Row>> {
        let mut next = self.rows.get();
        while let Some(row) = next.filter(|row| row.cpu != cpu) {
            next = row.next.get();
        }
        next
    }

    /// Adds a row. Under the lock of types.
    pub fn add_row(&self, row: Ptr<Row>) {
        row.next.set(self.rows.get());
        self.rows.set(Some(row));
    }

    /// The row of nobody.
    pub fn shared(&self) -> &Row {
        &self.shared
    }

    /// Bytes charged.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// The most bytes that were.
    pub fn high(&self) -> u64 {
        self.high.load(Relaxed)
    }

    /// The limit in bytes.
    pub fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Relaxed)).filter(|&limit| limit != UNLIMITED)
    }

    /// How much credit a row may keep: none where it stands against a limit.
    pub fn cap(&self) -> u64 {
        self.limit().map_or(CAP, |_| 0)
    }

    /// Sets the limit. Under the lock of types.
    pub fn set_limit(&self, bytes: Option<u64>) {
        let limit = bytes.map_or(UNLIMITED, |bytes| bytes.min(UNLIMITED - 1));
        self.limit.store(limit, SeqCst);
        let cap = self.cap();
        self.rows().for_each(|row| row.set_cap(cap));
    }

    /// Charges so many bytes, if the limit lets it, and where there is none some credit along with
    /// them: little while the type is small, so that the high-water mark tells something.
    #[inline]
    pub fn draw(&self, bytes: u64) -> Result<Draw, AtLimit> {
        let mut held = self.held.load(SeqCst);
        loop {
            let limit = self.limit.load(SeqCst);
            let credit = match limit {
                UNLIMITED => (held / 8).min(BATCH),
                _ => 0,
            };
            let after = held.saturating_add(bytes + credit);
            if after > limit {
                return Err(AtLimit);
            }
            match self.held.compare_exchange_weak(held, after, SeqCst, SeqCst) {
                Ok(_) => {
                    return Ok(Draw {
                        credit,
                        held: after,
                    });
                }
                Err(now) => held = now,
            }
        }
    }

    /// The type held so much when something was drawn, without what was given back of that at once.
    /// What somebody else had drawn at that time and was not to be had counts, too.
    pub fn had(&self, held: u64) {
        self.high.fetch_max(held, Relaxed);
    }

    /// Charges bytes that are in use already, whatever the limit.
    pub fn adopt(&self, bytes: u64) {
        let before = self.held.fetch_add(bytes, SeqCst);
        self.high.fetch_max(before + bytes, Relaxed);
    }

    /// Takes back a charge, and wakes those who wait for that.
    pub fn refund<M: Machine>(&self, machine: &M, bytes: u64) {
        self.held.fetch_sub(bytes, SeqCst);
        if self.waiting.load(SeqCst) != 0 {
            self.wake(machine);
        }
    }

    /// Wakes those who wait at the limit.
    pub fn wake<M: Machine>(&self, machine: &M) {
        self.word.fetch_add(1, SeqCst);
        machine.wake(&self.word);
    }

    /// Draws as soon as the limit lets it: blocks until then, which is forever if nobody frees. More
    /// than the limit itself is refused at once.
    pub fn draw_waiting<M: Machine>(&self, machine: &M, bytes: u64) -> Result<Draw, AtLimit> {
        if let Ok(draw) = self.draw(bytes) {
            return Ok(draw);
        }
        self.waits.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, SeqCst);
        let result = loop {
            // Read before the draw: who frees after that draw changes it.
            let word = self.word.load(SeqCst);
            match self.draw(bytes) {
                Err(AtLimit) if bytes <= self.limit.load(Relaxed) => machine.wait(&self.word, word),
                result => break result,
            }
        };
        self.waiting.fetch_sub(1, SeqCst);
        result
    }

    /// Counts a request that was refused.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Relaxed);
    }

    /// Requests that were refused.
    pub fn failures(&self) -> u64 {
        self.failures.load(Relaxed)
    }

    /// Requests that waited at the limit.
    pub fn waits(&self) -> u64 {
        self.waits.load(Relaxed)
    }

    /// Panics where the counts contradict themselves. Nothing else may run meanwhile.
    pub fn check_invariants(&self, number: usize) {
        let sums = self.sums();
        let classes: u64 = (0..LAST).map(|bucket| sums.bytes(bucket, 0)).sum();
        let large = self.held() - sums.credit - classes;
        let least = sums.pieces(LAST) * PAGE_SIZE as u64;
        let good = large >= least && (large == 0) == (least == 0);
        assert!(good, "T1: {large} bytes in large pieces of type {number}");
        if self.ty().is_none() {
            assert_eq!(self.held(), 0, "T2: type {number} is nobody's");
        }
    }

    /// All counts. Exact while nobody uses the type.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums {
            taken: [0; Heap::BUCKETS],
            given: [0; Heap::BUCKETS],
            credit: 0,
        };
        for row in self.rows().chain([&self.shared]) {
            sums.credit += row.credit();
            for bucket in 0..Heap::BUCKETS {
                let (taken, given) = row.count(bucket);
                sums.taken[bucket] = sums.taken[bucket].wrapping_add(taken);
                sums.given[bucket] = sums.given[bucket].wrapping_add(given);
            }
        }
        sums
    }
}

impl Sums {
    /// Pieces in use of a bucket.
    pub fn pieces(&self, bucket: usize) -> u64 {
        // Of others' changes meanwhile only the freeing may have been seen.
        let pieces = self.taken[bucket].wrapping_sub(self.given[bucket]) as i64;
        pieces.max(0) as u64
    }

    /// Bytes in use of a bucket of a type with so many bytes charged. Those of the last bucket are
    /// what is left when all others and the credit are taken away.
    pub fn bytes(&self, bucket: usize, held: u64) -> u64 {
        if bucket < LAST {
            return self.pieces(bucket) * Heap::bucket_size(bucket) as u64;
        }
        if self.pieces(LAST) == 0 {
            // Not what others may be changing just now.
            return 0;
        }
        let others: u64 = (0..LAST).map(|bucket| self.bytes(bucket, held)).sum();
        held.saturating_sub(self.credit + others)
    }
}
