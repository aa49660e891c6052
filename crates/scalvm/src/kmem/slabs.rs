//! The slabs of a pool: single frames, divided into slots.
//!
//! What there is to know of a slab stands in its page descriptor, so that the whole frame is slots:
//! `owner` is the head of the chain of free slots, `holds` the number of slots that are not in it,
//! `mapped` the [`SlabTag`]: the size of a slot, and whose it is.
//!
//! One lock ([`Rank::PoolSlabs`]) protects all slabs of a pool and the links of their descriptors.
//! Frames are allocated and freed under it.
//!
//! 1. The slabs in `partial` are those with a slot in their chain.
//! 2. `used` is the sum of `holds` over all slabs, `spare` the number of slabs whose `holds` is
//!    zero, at most one while the lock is free.

use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{Ptr, magazine, poison};
use crate::addr::PAGE_SIZE;
use crate::machine::{Machine, Rank};
use crate::page::{Frames, Page, PageList, State};
use crate::sync::{SpinGuard, SpinLock};

/// Whom a slab's slots are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// The manager's own structures.
    Own,
    /// Pieces of the heap.
    Heap,
}

/// What a slab's descriptor says of its slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlabTag(u32);

impl SlabTag {
    /// Set in tags of the heap's slabs.
    const HEAP: u32 = 1 << 31;

    const fn new(size: usize, user: Use) -> SlabTag {
        SlabTag(match user {
            Use::Own => size as u32,
            Use::Heap => size as u32 | Self::HEAP,
        })
    }

    /// The tag of a frame in state [`State::Slab`].
    #[inline(always)]
    pub fn of(slab: Ptr<Page>) -> SlabTag {
        SlabTag(slab.mapped.load(Relaxed))
    }

    /// Bytes in a slot.
    #[inline(always)]
    const fn size(self) -> usize {
        (self.0 & !Self::HEAP) as usize
    }

    /// Bytes in a slot, if it is the heap's.
    #[inline(always)]
    pub const fn heap_slot(self) -> Option<usize> {
        if self.0 & Self::HEAP == 0 {
            None
        } else {
            Some(self.size())
        }
    }
}

/// The slabs of one pool.
pub(super) struct Slabs {
    lock: SpinLock,
    tag: SlabTag,
    /// Slots in a slab.
    capacity: u32,
    partial: PageList,
    slabs: AtomicU32,
    spare: AtomicU32,
    used: AtomicU64,
}

impl Slabs {
    /// No slabs yet, of slots with `size` bytes: a multiple of the alignment that they need, with
    /// room for two pointers.
    pub const fn new(size: usize, user: Use) -> Slabs {
        assert!(size >= 2 * size_of::<usize>() && size <= PAGE_SIZE);
        Slabs {
            lock: SpinLock::new(),
            tag: SlabTag::new(size, user),
            capacity: (PAGE_SIZE / size) as u32,
            partial: PageList::new(),
            slabs: AtomicU32::new(0),
            spare: AtomicU32::new(0),
            used: AtomicU64::new(0),
        }
    }

    /// Bytes in a slot.
    #[inline(always)]
    pub fn size(&self) -> usize {
        self.tag.size()
    }

    /// Slots that are not free here: in use or in a magazine.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    #[inline]
    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::PoolSlabs)
    }

    /// Takes up to `most` slots, from the slabs that have some free and from new ones, and hands
    /// them to `sink`. Fewer, down to none, only where no frame is to be had.
    pub fn take<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        most: u32,
        mut sink: impl FnMut(NonNull<()>),
        held: &SpinGuard<'_, M>,
    ) {
        let mut left = most;
        while left != 0 {
            let first = self.partial.first(frames.segments());
            // A new frame is asked for only where there would be nothing else.
            let new = || {
                if left == most {
                    self.add_slab(machine, frames, held)
                } else {
                    None
                }
            };
            let Some(slab) = first.or_else(new) else {
                break;
            };
            let used = slab.holds.load(Relaxed);
            let count = left.min(self.capacity - used);
            for _ in 0..count {
                // SAFETY: the chain of free slots, ours while the lock is held.
                let slot = unsafe { magazine::pop(slab.owner_raw()) };
                sink(slot.expect("a slab has fewer free slots than it counts"));
            }
            slab.holds.store(used + count, Relaxed);
            self.used.store(self.used() + u64::from(count), Relaxed);
            if used == 0 {
                self.spare.store(self.spare.load(Relaxed) - 1, Relaxed);
            }
            if used + count == self.capacity {
                self.partial.remove(slab, frames.segments());
            }
            left -= count;
        }
    }

    /// Gives slots back until `source` has no more. Slabs that are free altogether go where they
    /// came from, but for one.
    ///
    /// # Safety
    ///
    /// The slots came from [`take`](Slabs::take) of these slabs and are used no more.
    pub unsafe fn give<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        mut source: impl FnMut() -> Option<NonNull<()>>,
        _held: &SpinGuard<'_, M>,
    ) {
        // Slots mostly come back together with others of their slab: its number is looked up once.
        let (mut last, mut slab) = (0, None);
        let mut given = 0;
        while let Some(slot) = source() {
            let number = slot.addr().get() / PAGE_SIZE;
            if number != last {
                (last, slab) = (number, frames.page_at(slot.addr().get()));
            }
            let slab = slab.expect("a slot outside of all segments");
            let used = slab.holds.load(Relaxed);
            // SAFETY: the chain of free slots, ours while the lock is held; the caller's word for
            // the slot.
            unsafe { magazine::push(slab.owner_raw(), slot) };
            slab.holds.store(used - 1, Relaxed);
            given += 1;
            if used == self.capacity {
                self.partial.push(slab, frames.segments());
            }
            if used == 1 {
                self.retire(machine, frames, slab);
            }
        }
        self.used.store(self.used() - given, Relaxed);
    }

    /// Gives back a slab that has become free altogether, unless it is the only one.
    #[cold]
    fn retire<M: Machine>(&self, machine: &M, frames: &Frames, slab: Ptr<Page>) {
        if self.spare.load(Relaxed) == 0 {
            self.spare.store(1, Relaxed);
        } else {
            self.partial.remove(slab, frames.segments());
            self.slabs.store(self.slabs.load(Relaxed) - 1, Relaxed);
            slab.mapped.store(0, Relaxed);
            frames.free_page(machine, slab);
        }
    }

    /// Divides a new frame into slots.
    fn add_slab<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Ptr<Page>> {
        let slab = frames.take_page(machine, State::Slab)?;
        slab.mapped.store(self.tag.0, Relaxed);
        let bytes = NonNull::new(machine.frame_ptr(slab.frame()))?;
        for index in (0..self.capacity).rev() {
            // SAFETY: within the frame, which is ours.
            let slot = unsafe { bytes.byte_add(index as usize * self.size()) }.cast();
            // SAFETY: a new slot: aligned, because `size` is a multiple of a pointer's alignment.
            unsafe {
                poison::fresh(slot, self.size());
                magazine::push(slab.owner_raw(), slot);
            }
        }
        self.partial.push(slab, frames.segments());
        self.slabs.store(self.slabs.load(Relaxed) + 1, Relaxed);
        self.spare.store(self.spare.load(Relaxed) + 1, Relaxed);
        Some(slab)
    }

    /// Panics if `slot` is not one of a slab with slots of this size. (Debug builds.)
    pub fn check_slot(&self, frames: &Frames, slot: NonNull<()>) {
        let slab = frames.page_at(slot.addr().get());
        let slab = slab.expect("freed a pointer outside of all segments");
        let offset = slot.addr().get() % PAGE_SIZE;
        let ours = slab.state() == State::Slab
            && SlabTag::of(slab) == self.tag
            && offset.is_multiple_of(self.size())
            && offset / self.size() < self.capacity as usize;
        assert!(ours, "freed {slot:?}, which is not a slot of this pool");
    }

    /// Panics where slabs contradict the invariants.
    pub fn check_invariants<M: Machine>(&self, frames: &Frames, _held: &SpinGuard<'_, M>) {
        self.partial.check_invariants(frames.segments());
        let (mut used, mut spare) = (0, 0);
        for slab in self.partial.iter(frames.segments()) {
            let holds = slab.holds.load(Relaxed);
            assert_eq!(
                slab.state(),
                State::Slab,
                "state of slab {:?}",
                slab.frame()
            );
            assert_eq!(
                SlabTag::of(slab),
                self.tag,
                "tag of slab {:?}",
                slab.frame()
            );
            assert!(
                holds < self.capacity,
                "a full slab in the list of partial ones"
            );
            // SAFETY: the chain of free slots, ours while the lock is held.
            let free = unsafe { magazine::len(slab.owner_raw(), self.capacity) };
            assert_eq!(
                free + holds,
                self.capacity,
                "slots of slab {:?}",
                slab.frame()
            );
            used += u64::from(holds);
            spare += u32::from(holds == 0);
        }
        let full = u64::from(self.slabs.load(Relaxed) - self.partial.len());
        assert_eq!(
            used + full * u64::from(self.capacity),
            self.used(),
            "slots in use"
        );
        assert_eq!(spare, self.spare.load(Relaxed), "spare slabs");
        assert!(spare <= 1, "more than one spare slab");
    }
}
