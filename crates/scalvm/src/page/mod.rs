//! Physical memory: page descriptors, segments, the buddy allocator and the per-processor caches.
//!
//! [`Frames`] is the face: single frames come from the cache of the processor that asks, blocks
//! from the free lists; caches are refilled and drained in batches. A frame's state is set by
//! allocating and freeing alone, see [`State`].
//!
//! Locks: a cache's ([`Rank::FrameCache`](crate::Rank::FrameCache)), inside of it the free lists'
//! ([`Rank::Frames`](crate::Rank::Frames)). Descriptors are found without one.

mod buddy;
mod bytes;
mod cache;
mod check;
mod list;
#[expect(
    clippy::module_inception,
    reason = "one type per file, and the type is Page"
)]
mod page;
mod row;
mod run;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod r#use;

pub(crate) use buddy::MAX_ORDER;
pub(crate) use list::PageList;
pub(crate) use page::{Page, UNLINKED};
pub(crate) use row::Row;
pub(crate) use segment::Segments;
pub(crate) use state::State;
pub(crate) use r#use::Identity;
pub(crate) use r#use::{AHEAD, BUSY, DIRTY, KNOWN, LONE, TOUCHED, TRIMMED, WRITING};

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use buddy::Buddy;
use cache::{BATCH, FrameCache, HIGH};

use crate::addr::Frame;
use crate::error::SegmentError;
use crate::kmem::Ptr;
use crate::machine::{MAX_CPUS, Machine};
use crate::sync::SpinGuard;

/// All physical memory that the manager has.
pub(crate) struct Frames {
    segments: Segments,
    buddy: Buddy,
    caches: [FrameCache; MAX_CPUS],
    /// The last frames of the free lists, which programs do not get.
    reserve: AtomicU32,
    /// Fewer frames in the free lists than this are pressure.
    low: AtomicU32,
    /// 1 under pressure; who sets it wakes the page daemon, who sleeps on it.
    pressure: AtomicU32,
    /// So many frames are still to be taken before pressure is told of again.
    patience: AtomicU32,
}

/// What is left of the reserve for whoever asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Claim {
    /// Programs' pages: nothing of it.
    Program,
    /// The kernel's structures: half of it.
    Kernel,
    /// Page-out: all of it.
    Pageout,
}

impl Claim {
    fn of(state: State) -> Claim {
        match state {
            State::Anon | State::File => Claim::Program,
            _ => Claim::Kernel,
        }
    }
}

impl Frames {
    /// No memory yet.
    pub const fn new() -> Frames {
        Frames {
            segments: Segments::new(),
            buddy: Buddy::new(),
            caches: [const { FrameCache::new() }; MAX_CPUS],
            reserve: AtomicU32::new(0),
            low: AtomicU32::new(0),
            pressure: AtomicU32::new(0),
            patience: AtomicU32::new(0),
        }
    }

    /// Sets how many frames are kept from programs, and below how many free ones is pressure.
    pub fn set_marks(&self, reserve: u64, low: u64) {
        let word = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        self.reserve.store(word(reserve), Relaxed);
        self.low.store(word(low), Relaxed);
    }

    /// Below how many free frames is pressure; 0 if that is not known.
    pub fn low(&self) -> u64 {
        u64::from(self.low.load(Relaxed))
    }

    /// Whether there are far more free frames than the mark of pressure: more than the page daemon ever
    /// leaves.
    pub fn is_plenty(&self) -> bool {
        self.buddy.free_count() > 4 * u64::from(self.low.load(Relaxed))
    }

    /// 1 under pressure, until somebody sets it to 0.
    pub fn pressure(&self) -> &AtomicU32 {
        &self.pressure
    }

    /// How many frames must stay in the free lists.
    fn floor(&self, claim: Claim) -> u64 {
        let reserve = self.reserve.load(Relaxed);
        u64::from(match claim {
            Claim::Program => reserve,
            Claim::Kernel => reserve / 2,
            Claim::Pageout => 0,
        })
    }

    /// From now on pressure is not told of, until so many pages have come, or [`renew`] is called:
    /// what may leave memory is looked for, or was just looked for in vain.
    ///
    /// [`renew`]: Frames::renew
    pub fn forbear(&self, pages: u32) {
        self.patience.swap(pages, AcqRel);
    }

    /// Whether pressure is not told of now.
    #[inline(always)]
    pub fn is_forbearing(&self) -> bool {
        self.patience.load(Relaxed) > 0
    }

    /// Shortens the time for which pressure is not told of. What has come since it began does not
    /// count; if it has ended it stays so.
    pub fn forbear_no_longer_than(&self, pages: u32) {
        self.patience.fetch_min(pages, AcqRel);
    }

    /// Something may leave memory that could not before: pressure is told of again, if there is any.
    /// Whoever has begun to look just before has seen it, or is told.
    pub fn renew<M: Machine>(&self, machine: &M) {
        if self.patience.swap(0, AcqRel) != 0 {
            self.notice(machine, 0);
        }
    }

    /// So many pages may leave memory that could not before: tells of pressure if there is any,
    /// unless that is of no use yet.
    pub fn notice<M: Machine>(&self, machine: &M, pages: u32) {
        if self.buddy.free_count() >= u64::from(self.low.load(Relaxed)) {
            return;
        }
        let patience = self.patience.load(Relaxed);
        if patience > 0 {
            let left = patience.saturating_sub(pages);
            // Where others change it at this moment, these pages are not counted.
            let changed = self
                .patience
                .compare_exchange(patience, left, AcqRel, Relaxed);
            if left > 0 || changed.is_err() {
                return;
            }
        }
        if self.pressure.swap(1, Release) == 0 {
            machine.wake(&self.pressure);
        }
    }

    /// One frame that page-out needs to free others: from the reserve if need be.
    pub fn take_reserved_page<M: Machine>(&self, machine: &M, state: State) -> Option<Ptr<Page>> {
        if !machine.may_allocate() {
            return None;
        }
        self.refill(machine, state, Claim::Pageout)
    }

    /// Adds the frames from `start` to `end`, exclusive, at any time. The first of them, one for
    /// each 102 of the rest, hold the page descriptors. Lookups are quickest in the segment that
    /// was added first.
    ///
    /// # Safety
    ///
    /// Nobody else uses the frames, ever.
    pub unsafe fn add_segment<M: Machine>(
        &self,
        machine: &M,
        start: Frame,
        end: Frame,
    ) -> Result<(), SegmentError> {
        let held = self.buddy.lock(machine);
        let segment = self.segments.reserve(start, end)?;
        drop(held);
        // SAFETY: the caller's word; it has just been reserved.
        let (first, end) = unsafe { segment.publish(machine) };
        self.buddy.give_range(first, end, &self.segments, machine);
        Ok(())
    }

    /// The segments, for lists of pages.
    #[inline(always)]
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The descriptor of a frame, if the manager owns it and it does not hold descriptors.
    #[inline(always)]
    pub fn page(&self, frame: Frame) -> Option<Ptr<Page>> {
        self.segments.page(frame)
    }

    /// The descriptor of the frame to whose bytes `address` points, through the direct map.
    #[inline(always)]
    pub fn page_at(&self, address: usize) -> Option<Ptr<Page>> {
        self.segments.page_at(address)
    }

    /// The same where the segment that was added first has the frame: calls nothing.
    #[inline(always)]
    pub fn page_at_quickly(&self, address: usize) -> Option<Ptr<Page>> {
        self.segments.page_at_quickly(address)
    }

    /// Allocates one frame for this use. Its bytes are whatever they were.
    #[inline]
    pub fn alloc_page<M: Machine>(&self, machine: &M, state: State) -> Option<Ptr<Page>> {
        if machine.may_allocate() {
            self.take_page(machine, state)
        } else {
            None
        }
    }

    /// The same where the machine has been asked already.
    #[inline]
    pub fn take_page<M: Machine>(&self, machine: &M, state: State) -> Option<Ptr<Page>> {
        debug_assert!(state.in_use());
        let cache = self.cache(machine);
        let held = cache.lock(machine);
        let Some(page) = cache.pop(&held) else {
            drop(held);
            return self.refill(machine, state, Claim::of(state));
        };
        cache.count_taken(state, &held);
        page.owner_raw().store(core::ptr::null_mut(), Relaxed);
        page.move_state(State::Cached, state);
        Some(page)
    }

    /// Frees one frame, which [`alloc_page`](Frames::alloc_page) gave or `alloc_block` for order 0.
    #[inline]
    pub fn free_page<M: Machine>(&self, machine: &M, page: Ptr<Page>) {
        debug_assert!(
            page.is_idle() && page.order() == 0,
            "frame {:?} freed in use",
            page.frame()
        );
        let state = page.state();
        debug_assert!(state.in_use(), "frame {:?} freed twice", page.frame());
        let cache = self.cache(machine);
        let held = cache.lock(machine);
        page.move_state(state, State::Cached);
        cache.count_given(state, &held);
        cache.push(page, &held);
        if cache.count() >= HIGH {
            self.drain(machine, cache, BATCH, held);
        }
    }

    /// Allocates 2^order frames in a row, aligned to their number, whose numbers are all below
    /// `limit` if there is one.
    #[inline]
    pub fn alloc_block<M: Machine>(
        &self,
        machine: &M,
        order: u32,
        limit: Option<Frame>,
        state: State,
    ) -> Option<Ptr<Page>> {
        debug_assert!(state.in_use());
        if order == 0 && limit.is_none() {
            return self.alloc_page(machine, state);
        }
        if machine.may_allocate() {
            self.take_block(machine, order, limit, state)
        } else {
            None
        }
    }

    /// Takes a block from the free lists, to which the caches give theirs back where there is none.
    fn take_block<M: Machine>(
        &self,
        machine: &M,
        order: u32,
        limit: Option<Frame>,
        state: State,
    ) -> Option<Ptr<Page>> {
        loop {
            let held = self.buddy.lock(machine);
            let enough = self.buddy.free_count() >= (1 << order) + self.floor(Claim::of(state));
            if enough
                && let Some(page) = self.buddy.take(order, limit, state, &self.segments, &held)
            {
                self.buddy.count_taken(order, state, &held);
                page.owner_raw().store(core::ptr::null_mut(), Relaxed);
                return Some(page);
            }
            drop(held);
            if self.drain_all(machine) == 0 {
                return None;
            }
        }
    }

    /// Frees a block, named by its first frame, which knows its order.
    #[inline]
    pub fn free_block<M: Machine>(&self, machine: &M, page: Ptr<Page>) {
        match page.order() {
            0 => self.free_page(machine, page),
            order => self.give_block(machine, page, order),
        }
    }

    fn give_block<M: Machine>(&self, machine: &M, page: Ptr<Page>, order: u32) {
        let state = page.state();
        debug_assert!(page.is_idle(), "block {:?} freed in use", page.frame());
        debug_assert!(state.in_use(), "block {:?} freed twice", page.frame());
        let held = self.buddy.lock(machine);
        self.buddy.count_given(order, state, &held);
        self.buddy.give(page, state, &self.segments, &held);
    }

    /// Free frames, in the lists and in the caches. Exact while nobody allocates or frees.
    pub fn free_count(&self) -> u64 {
        self.buddy.free_count()
            + self
                .caches
                .iter()
                .map(|cache| u64::from(cache.count()))
                .sum::<u64>()
    }

    /// All frames of all segments, without those of the descriptors.
    #[inline]
    pub fn total(&self) -> u64 {
        self.segments.total()
    }

    /// Frames in use for this state. Exact while nobody allocates or frees.
    pub fn count(&self, state: State) -> u64 {
        debug_assert!(state.in_use());
        let sum = self
            .caches
            .iter()
            .map(|cache| cache.used(state))
            .fold(0, u32::wrapping_add);
        u64::from(sum.wrapping_add(self.buddy.used(state)))
    }

    #[inline(always)]
    fn cache<M: Machine>(&self, machine: &M) -> &FrameCache {
        &self.caches[machine.cpu() % MAX_CPUS]
    }

    /// Fills the cache of this processor from the free lists, and takes one frame. When those are
    /// empty, the caches of all processors give theirs back; fails only when they had none either.
    #[cold]
    fn refill<M: Machine>(&self, machine: &M, state: State, claim: Claim) -> Option<Ptr<Page>> {
        loop {
            let mut taken = 0;
            let cache = self.cache(machine);
            let held = cache.lock(machine);
            if claim != Claim::Pageout || cache.count() == 0 {
                let lists = self.buddy.lock(machine);
                let spare = self.buddy.free_count().saturating_sub(self.floor(claim));
                let batch = if claim == Claim::Pageout { 1 } else { BATCH };
                let room = batch.saturating_sub(cache.count()).min(spare as u32);
                let sink = |page| cache.push(page, &held);
                taken = room;
                self.buddy.take_singles(room, sink, &self.segments, &lists);
            }
            if let Some(page) = cache.pop(&held) {
                cache.count_taken(state, &held);
                page.owner_raw().store(core::ptr::null_mut(), Relaxed);
                page.move_state(State::Cached, state);
                drop(held);
                self.notice(machine, taken);
                return Some(page);
            }
            drop(held);
            self.notice(machine, taken);
            if self.drain_all(machine) == 0 {
                return None;
            }
        }
    }

    /// Moves up to `most` frames from a cache to the free lists; tells how many.
    #[cold]
    fn drain<M: Machine>(
        &self,
        machine: &M,
        cache: &FrameCache,
        most: u32,
        held: SpinGuard<'_, M>,
    ) -> u32 {
        let mut left = most;
        let source = || {
            left = left.checked_sub(1)?;
            cache.pop(&held)
        };
        let lists = self.buddy.lock(machine);
        self.buddy.give_singles(source, &self.segments, &lists)
    }

    /// Moves all cached frames to the free lists, where they can be joined; tells how many there
    /// were.
    fn drain_all<M: Machine>(&self, machine: &M) -> u32 {
        let mut drained = 0;
        for cache in self.caches.iter().filter(|cache| cache.count() != 0) {
            let held = cache.lock(machine);
            drained += self.drain(machine, cache, u32::MAX, held);
        }
        drained
    }
}
