//! The heap: untyped pools for pieces of up to 64 KiB, runs of frames for larger ones.
//!
//! Locks: those of the pools and of [`Frames`], none of its own.

mod account;
mod classes;
mod piece;
mod runs;

use core::alloc::Layout;
use core::ptr::NonNull;

pub(crate) use account::Account;
use classes::{CLASSES, From, GRAIN, NAMES};
pub(crate) use piece::Piece;

use super::slab::{RawPool, Use};
use crate::addr::PAGE_SIZE;
use crate::machine::Machine;
use crate::page::Frames;
use crate::sync::Pinned;

/// Why there is no piece.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeapError {
    /// Memory has run out.
    OutOfMemory,
    /// The account refuses it.
    Refused,
    /// It is larger than the largest run of frames, or the direct map is not aligned as asked.
    TooLarge,
}

/// Memory for the kernel, by layout.
pub(crate) struct Heap {
    pools: [RawPool; CLASSES.len()],
}

impl Heap {
    /// How many kinds of pieces there are, by size: the classes, and last whatever is larger.
    pub const BUCKETS: usize = CLASSES.len() + 1;

    /// A heap that has allocated nothing.
    pub const fn new() -> Heap {
        let mut pools = [const { RawPool::new(GRAIN, Use::Heap(0)) }; CLASSES.len()];
        let mut class = 0;
        while class < CLASSES.len() {
            pools[class] = RawPool::new(CLASSES[class], Use::Heap(class as u8));
            class += 1;
        }
        Heap { pools }
    }

    /// Bytes in a piece of a bucket; 0 for the last one, where they differ.
    pub const fn bucket_size(bucket: usize) -> usize {
        if bucket < CLASSES.len() {
            CLASSES[bucket]
        } else {
            0
        }
    }

    /// A piece that the processor has at hand, if `account` agrees. Refused is also what only
    /// [`alloc`](Heap::alloc) can do. No call is made on the way but to the machine.
    #[inline(always)]
    pub fn alloc_quickly<M: Machine, A: Account>(
        &self,
        machine: &M,
        layout: Layout,
        account: &A,
    ) -> Result<NonNull<u8>, HeapError> {
        let From::Pool(class) = From::of(layout) else {
            return Err(HeapError::Refused);
        };
        let mut error = HeapError::Refused;
        // The machine is asked once for each piece: last, when nothing else stands in the way.
        let charge = |cpu| {
            let charged = account.charge(cpu, class, CLASSES[class]);
            if charged && !machine.may_allocate() {
                account.credit(cpu, class, CLASSES[class]);
                error = HeapError::OutOfMemory;
                return false;
            }
            charged
        };
        let slot = self.pools[class].alloc_quickly(machine, charge);
        slot.map(NonNull::cast).ok_or(error)
    }

    /// A piece with room and alignment for `layout`, of undefined contents. Does not block.
    #[inline]
    pub fn alloc<M: Machine, A: Account>(
        &self,
        machine: &M,
        frames: &Frames,
        layout: Layout,
        account: &A,
    ) -> Result<NonNull<u8>, HeapError> {
        let (bucket, bytes, count) = match From::of(layout) {
            From::Pool(class) => (class, CLASSES[class], 0),
            From::Frames(count) => {
                let count = runs::length(count).ok_or(HeapError::TooLarge)?;
                (Self::BUCKETS - 1, PAGE_SIZE * count as usize, count)
            }
        };
        let pinned = Pinned::new(machine);
        if !account.charge(pinned.cpu(), bucket, bytes) {
            return Err(HeapError::Refused);
        }
        let piece = match self.pools.get(bucket) {
            Some(_) if !machine.may_allocate() => Err(HeapError::OutOfMemory),
            Some(pool) => pool
                .alloc_slowly(&pinned, frames)
                .map(NonNull::cast)
                .ok_or(HeapError::OutOfMemory),
            None => runs::alloc(machine, frames, count, layout.align()),
        };
        if piece.is_err() {
            account.credit(pinned.cpu(), bucket, bytes);
        }
        piece
    }

    /// Takes a piece back where the processor has room for it, if `account` agrees; tells whether it
    /// did. No call is made on the way but to the machine.
    ///
    /// # Safety
    ///
    /// It came from [`alloc`](Heap::alloc) of this heap for the same layout, or one that leads to
    /// pieces of the same size, and is used no more.
    #[inline(always)]
    pub unsafe fn free_quickly<M: Machine, A: Account>(
        &self,
        machine: &M,
        frames: &Frames,
        bytes: NonNull<u8>,
        layout: Layout,
        account: &A,
    ) -> bool {
        let From::Pool(class) = From::of(layout) else {
            return false;
        };
        // SAFETY: the caller's word; the layout leads to the same pool.
        unsafe { self.free_in_class(machine, frames, bytes, class, account) }
    }

    /// The same of a piece whose class is known.
    ///
    /// # Safety
    ///
    /// It came from this class, which is not the last bucket, and is used no more.
    #[inline(always)]
    pub unsafe fn free_in_class<M: Machine, A: Account>(
        &self,
        machine: &M,
        frames: &Frames,
        bytes: NonNull<u8>,
        class: usize,
        account: &A,
    ) -> bool {
        let credit = |cpu| account.credit_quickly(cpu, class, CLASSES[class]);
        // SAFETY: the caller's word.
        unsafe { self.pools[class].free_quickly(machine, frames, bytes.cast(), credit) }
    }

    /// Takes a piece back by its layout.
    ///
    /// # Safety
    ///
    /// As for [`free_quickly`](Heap::free_quickly).
    #[cfg(test)]
    pub unsafe fn free<M: Machine, A: Account>(
        &self,
        machine: &M,
        frames: &Frames,
        bytes: NonNull<u8>,
        layout: Layout,
        account: &A,
    ) {
        let piece = Self::piece_for(layout).expect("what was allocated is a piece");
        // SAFETY: the caller's word; the layout leads to the same piece.
        unsafe { self.free_piece(machine, frames, bytes, piece, account) }
    }

    /// Takes a piece back that is known.
    ///
    /// # Safety
    ///
    /// It came from [`alloc`](Heap::alloc) of this heap, `piece` is what
    /// [`piece_at`](Heap::piece_at) told of it, or [`piece_for`](Heap::piece_for) of its layout, and
    /// it is used no more.
    #[inline(always)]
    pub unsafe fn free_piece<M: Machine, A: Account>(
        &self,
        machine: &M,
        frames: &Frames,
        bytes: NonNull<u8>,
        piece: Piece,
        account: &A,
    ) {
        let pinned = Pinned::new(machine);
        match self.pools.get(piece.bucket) {
            // SAFETY: the caller's word.
            Some(pool) => unsafe { pool.free_slowly(&pinned, frames, bytes.cast()) },
            None => runs::free(machine, frames, bytes),
        }
        account.credit(pinned.cpu(), piece.bucket, piece.bytes);
    }

    /// The pools by the size of their slots, with their names.
    pub fn named_pools(&self) -> impl Iterator<Item = (&'static str, &RawPool)> {
        NAMES.into_iter().zip(&self.pools)
    }

    /// The pools, by the size of their slots.
    pub fn pools(&self) -> &[RawPool] {
        &self.pools
    }

    /// Pieces in use that came from pools. Exact while nobody allocates or frees.
    #[cfg(test)]
    pub fn in_use(&self) -> u64 {
        self.pools.iter().map(RawPool::in_use).sum()
    }

    /// Panics where a pool contradicts itself.
    pub fn check_invariants<M: Machine>(&self, machine: &M, frames: &Frames) {
        for pool in &self.pools {
            pool.check_invariants(machine, frames);
        }
    }
}
