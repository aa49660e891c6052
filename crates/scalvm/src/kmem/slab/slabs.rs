//! The slabs of a pool: runs of frames, divided into slots.
//!
//! What there is to know of a slab stands in the descriptor of its first frame, so that the frames
//! are slots but for what is left over: `owner` is the head of the chain of free slots, `holds` the
//! number of slots that are not in it, `mapped` the [`SlabTag`].
//!
//! One lock ([`Rank::PoolSlabs`]) protects all slabs of a pool, the links of their descriptors, and
//! the pool's depot. Frames are allocated and freed under it.
//!
//! 1. A slab is in `partial` if it has slots both in its chain and out of it, in `empty` if all are
//!    in its chain, and in no list if none is.
//! 2. `used` is the sum of `holds` over all slabs, `slabs` their number.
//! 3. While the lock is free `empty` has at most one slab, unless all of them are needed for
//!    `reserve` slots.

use core::mem::size_of;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::chain::{self, Chain};
use super::geometry::Geometry;
use super::poison;
use super::tag::{SlabTag, Use};
use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::error::OutOfMemory;
use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::page::{Frames, Page, PageList, State};
use crate::sync::{Field, SpinGuard, SpinLock};

/// The slabs of one pool.
pub(super) struct Slabs {
    lock: SpinLock,
    form: Geometry,
    user: Use,
    /// Where a free slot has its link.
    link: usize,
    partial: PageList,
    empty: PageList,
    slabs: Field<u32>,
    /// How many slots there must be, used or not.
    reserve: Field<u32>,
    used: Field<u64>,
    /// Which colour the next slab has.
    colour: Field<u32>,
}

impl Slabs {
    /// No slabs yet, of slots with `size` bytes: a multiple of the alignment that they need. A free
    /// one has its link at `link`; where that is zero, it has room for two words at least.
    pub const fn new(size: usize, link: usize, user: Use) -> Slabs {
        assert!(link.is_multiple_of(size_of::<usize>()) && link + size_of::<usize>() <= size);
        assert!(link != 0 || size >= 2 * size_of::<usize>());
        Slabs {
            lock: SpinLock::new(),
            form: Geometry::of(size),
            user,
            link,
            partial: PageList::new(),
            empty: PageList::new(),
            slabs: Field::<u32>::constant(0),
            reserve: Field::<u32>::constant(0),
            used: Field::<u64>::constant(0),
            colour: Field::<u32>::constant(0),
        }
    }

    /// Bytes in a slot.
    #[inline(always)]
    pub fn size(&self) -> usize {
        self.form.size
    }

    /// Where a free slot has its link.
    #[inline(always)]
    pub fn link(&self) -> usize {
        self.link
    }

    /// Whom the slots are for.
    pub fn user(&self) -> Use {
        self.user
    }

    /// Slots that are not free here: in use, in a magazine or in the depot.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Slabs.
    pub fn slabs(&self) -> u64 {
        u64::from(self.slabs.get())
    }

    /// Frames of all slabs.
    pub fn frames(&self) -> u64 {
        self.slabs() * u64::from(self.form.frames)
    }

    /// Slots of all slabs.
    pub fn slots(&self) -> u64 {
        self.slabs() * u64::from(self.form.capacity)
    }

    /// See the field.
    pub fn reserve(&self) -> u64 {
        u64::from(self.reserve.get())
    }

    #[inline]
    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::PoolSlabs)
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub fn try_lock<'a, M: Machine>(&'a self, machine: &'a M) -> Option<SpinGuard<'a, M>> {
        self.lock.try_lock(machine, Rank::PoolSlabs)
    }

    /// Takes up to `most` slots, from the slabs that have some free or else from a new one. Fewer,
    /// down to none, only where those had no more and no frame is to be had.
    pub fn take<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        most: u32,
        held: &SpinGuard<'_, M>,
    ) -> Chain {
        let mut taken = Chain::empty();
        let segments = frames.segments();
        while taken.count < most {
            let partial = self.partial.first(segments);
            let slab = match partial.or_else(|| self.empty.first(segments)) {
                Some(slab) => slab,
                // A new slab is asked for only where there would be nothing else.
                None if taken.count == 0 => match self.add_slab(machine, frames, held) {
                    Some(slab) => slab,
                    None => break,
                },
                None => break,
            };
            let used = slab.holds.load(Relaxed);
            let count = (most - taken.count).min(self.form.capacity - used);
            for _ in 0..count {
                // SAFETY: the chain of free slots, ours while the lock is held; what was in it is
                // the caller's from now on.
                unsafe {
                    let slot = chain::pop(slab.owner_raw(), self.link);
                    let slot = slot.expect("a slab has fewer free slots than it counts");
                    taken.push(slot, self.link);
                }
            }
            self.count(slab, used, used + count, frames);
        }
        taken
    }

    /// Takes slots back. Slabs that become free altogether go where they came from, but for one and
    /// for the reserve.
    ///
    /// # Safety
    ///
    /// The slots came from [`take`](Slabs::take) of these slabs and are used no more.
    pub unsafe fn give<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        mut chain: Chain,
        held: &SpinGuard<'_, M>,
    ) {
        // Slots mostly come back together with others of their slab: it is looked up once.
        let (mut last, mut slab) = (usize::MAX, None);
        // SAFETY: a chain of free slots, ours.
        while let Some(slot) = unsafe { chain.pop(self.link) } {
            let number = slot.addr().get() >> PAGE_SHIFT;
            if number != last {
                (last, slab) = (number, self.slab_of(frames, slot));
            }
            let slab = slab.expect("a slot outside of all slabs");
            let used = slab.holds.load(Relaxed);
            // SAFETY: the chain of free slots, ours while the lock is held; the caller's word for
            // the slot.
            unsafe { chain::push(slab.owner_raw(), slot, self.link) };
            self.count(slab, used, used - 1, frames);
            if used == 1 && self.empty.len() > 1 {
                self.trim(machine, frames, 1, held);
                last = usize::MAX;
            }
        }
    }

    /// Gives empty slabs back until `keep` are left, or as many as the reserve needs. Returns how
    /// many frames that were.
    pub fn trim<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        keep: u32,
        _held: &SpinGuard<'_, M>,
    ) -> u64 {
        let mut given = 0;
        while self.empty.len() > keep
            && self.slots() - u64::from(self.form.capacity) >= self.reserve()
            && let Some(slab) = self.empty.first(frames.segments())
        {
            self.empty.remove(slab, frames.segments());
            self.slabs.set(self.slabs.get() - 1);
            slab.mapped.store(0, Relaxed);
            frames.free_run(machine, slab, self.form.frames);
            given += u64::from(self.form.frames);
        }
        given
    }

    /// Makes sure that there are `slots` slots, used or not, from now on: those that there are not
    /// yet are made now.
    pub fn set_reserve<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        slots: u32,
        held: &SpinGuard<'_, M>,
    ) -> Result<(), OutOfMemory> {
        let before = self.reserve.get();
        while self.slots() < u64::from(slots) {
            if self.add_slab(machine, frames, held).is_none() {
                self.trim(machine, frames, 1, held);
                return Err(OutOfMemory);
            }
        }
        self.reserve.set(slots);
        if slots < before {
            self.trim(machine, frames, 1, held);
        }
        Ok(())
    }

    /// The slab's `holds` changes from `used` to `now`: so may its list.
    #[inline]
    fn count(&self, slab: Ptr<Page>, used: u32, now: u32, frames: &Frames) {
        slab.holds.store(now, Relaxed);
        self.used
            .set((self.used.get() + u64::from(now)).wrapping_sub(u64::from(used)));
        let list = |holds| match holds {
            0 => Some(&self.empty),
            holds if holds == self.form.capacity => None,
            _ => Some(&self.partial),
        };
        let (from, to) = (list(used), list(now));
        if from.map(core::ptr::from_ref) != to.map(core::ptr::from_ref) {
            if let Some(from) = from {
                from.remove(slab, frames.segments());
            }
            if let Some(to) = to {
                to.push(slab, frames.segments());
            }
        }
    }

    /// Divides new frames into slots.
    fn add_slab<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Ptr<Page>> {
        let form = &self.form;
        let slab = frames.take_run(machine, form.frames, State::Slab)?;
        let colour = self.colour.get();
        self.colour.set((colour + 1) % form.colours);
        let start = colour as usize * form.colour;
        SlabTag::new(form.size, start, self.user).set(slab);
        let bytes = NonNull::new(machine.frame_ptr(slab.frame()))?;
        for index in (0..form.capacity as usize).rev() {
            // SAFETY: within the frames, which are ours.
            let slot = unsafe { bytes.byte_add(start + index * form.size) }.cast();
            // SAFETY: a new slot: aligned, because its size and `start` are multiples of a pointer's
            // alignment.
            unsafe {
                if self.link == 0 {
                    poison::fresh(slot, form.size);
                }
                chain::push(slab.owner_raw(), slot, self.link);
            }
        }
        self.empty.push(slab, frames.segments());
        self.slabs.set(self.slabs.get() + 1);
        Some(slab)
    }

    /// The first frame of the slab that a slot of this pool lies in.
    #[inline]
    fn slab_of(&self, frames: &Frames, slot: NonNull<()>) -> Option<Ptr<Page>> {
        let page = frames.page_at(slot.addr().get())?;
        match self.form.mask() {
            0 => Some(page),
            mask => frames.page(Frame(page.frame().0 & !mask)),
        }
    }

    /// Panics if `slot` is not one of a slab with slots of this size. (Debug builds.)
    pub fn check_slot<M: Machine>(&self, machine: &M, frames: &Frames, slot: NonNull<()>) {
        let page = frames.page_at(slot.addr().get());
        page.expect("freed a pointer outside of all segments");
        let ours = self.slab_of(frames, slot).is_some_and(|slab| {
            let offset = slot.addr().get() - machine.frame_ptr(slab.frame()).addr();
            slab.state() == State::Slab && SlabTag::of(slab).is_slot(&self.form, self.user, offset)
        });
        assert!(ours, "freed {slot:?}, which is not a slot of this pool");
    }

    /// Panics where slabs contradict the invariants.
    pub fn check_invariants<M: Machine>(&self, frames: &Frames, _held: &SpinGuard<'_, M>) {
        let form = &self.form;
        let (mut used, mut listed) = (0, 0);
        for (list, empty) in [(&self.partial, false), (&self.empty, true)] {
            list.check_invariants(frames.segments());
            for slab in list.iter(frames.segments()) {
                let (name, holds) = (slab.frame(), slab.holds.load(Relaxed));
                assert_eq!(slab.state(), State::Slab, "state of slab {name:?}");
                let tag = SlabTag::of(slab);
                let good = tag.is_slot(form, self.user, tag.start());
                let end = tag.start() + form.capacity as usize * form.size;
                let good = good && end <= form.frames as usize * PAGE_SIZE;
                assert!(good, "tag of slab {name:?}");
                let right = if empty { holds == 0 } else { holds > 0 };
                let right = right && holds < form.capacity;
                assert!(right, "1: {holds} slots of slab {name:?} are out");
                // SAFETY: the chain of free slots, ours while the lock is held.
                let free =
                    unsafe { chain::len(slab.owner_raw().load(Relaxed), self.link, form.capacity) };
                assert_eq!(free + holds, form.capacity, "slots of slab {name:?}");
                used += u64::from(holds);
                listed += 1;
            }
        }
        let full = self.slabs() - listed;
        assert_eq!(
            used + full * u64::from(form.capacity),
            self.used(),
            "2: slots in use"
        );
        let without = self.slots().saturating_sub(u64::from(form.capacity));
        assert!(
            self.empty.len() <= 1 || without < self.reserve(),
            "3: {} empty slabs",
            self.empty.len()
        );
        assert!(self.slots() >= self.reserve(), "3: the reserve is there");
    }
}
