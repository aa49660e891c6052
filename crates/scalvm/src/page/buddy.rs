//! The buddy allocator: blocks of 2^order frames, aligned to their size, in one list for each
//! order.
//!
//! One lock ([`Rank::Frames`](crate::Rank::Frames)) protects everything here, and the states `Free`
//! and `Tail` of all descriptors.
//!
//! 1. A block in `lists[order]` begins with a `Free` frame of that order; its other frames are
//!    `Tail`.
//! 2. No two free blocks are buddies of each other, but for those of the highest order.
//! 3. A block lies in one segment: between usable frames of two there is a frame that is not
//!    usable.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{Page, PageList, Segments, State};
use crate::addr::Frame;
use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::sync::{SpinGuard, SpinLock};

/// The highest order: blocks of 4 MiB.
pub(crate) const MAX_ORDER: u32 = 10;

/// The free lists.
pub(super) struct Buddy {
    lock: SpinLock,
    lists: [PageList; MAX_ORDER as usize + 1],
    /// Frames in the lists.
    free: AtomicU64,
    /// Frames that were allocated less those that were freed as blocks, for each state; modulo
    /// 2^32.
    used: [AtomicU32; State::COUNT],
}

impl Buddy {
    pub const fn new() -> Buddy {
        Buddy {
            lock: SpinLock::new(),
            lists: [const { PageList::new() }; MAX_ORDER as usize + 1],
            free: AtomicU64::new(0),
            used: [const { AtomicU32::new(0) }; State::COUNT],
        }
    }

    #[inline]
    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::Frames)
    }

    /// Frames in the lists.
    pub fn free_count(&self) -> u64 {
        self.free.load(Relaxed)
    }

    /// Frames in use in blocks that came from here for this state, modulo 2^32.
    pub fn used(&self, state: State) -> u32 {
        self.used[state as usize].load(Relaxed)
    }

    /// Takes a block, for `limit` one whose frames all lie below that. Its first frame becomes
    /// `state`.
    pub fn take<M: Machine>(
        &self,
        order: u32,
        limit: Option<Frame>,
        state: State,
        segments: &Segments,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Ptr<Page>> {
        for from in order..=MAX_ORDER {
            let list = &self.lists[from as usize];
            let found = match limit {
                None => list.first(segments),
                Some(limit) => list
                    .iter(segments)
                    .find(|page| page.frame().0 + (1 << order) <= limit.0),
            };
            let Some(page) = found else { continue };
            list.remove(page, segments);
            self.split(page, from, order, segments);
            page.set_order(order);
            page.move_state(State::Free, state);
            self.free
                .store(self.free.load(Relaxed) - (1 << order), Relaxed);
            return Some(page);
        }
        None
    }

    /// Gives back all of a block but its first 2^`to` frames.
    fn split(&self, page: Ptr<Page>, from: u32, to: u32, segments: &Segments) {
        for order in (to..from).rev() {
            // SAFETY: within the block, and so within its segment (invariant 3).
            let upper = unsafe { Segments::after(page, 1 << order) };
            upper.move_state(State::Tail, State::Free);
            self.insert(upper, order, segments);
        }
    }

    /// Takes up to `most` single frames, in a row where that breaks up no larger block, and hands
    /// them to `sink`, the highest of a row first. They are `Cached`.
    pub fn take_singles<M: Machine>(
        &self,
        most: u32,
        mut sink: impl FnMut(Ptr<Page>),
        segments: &Segments,
        held: &SpinGuard<'_, M>,
    ) {
        let mut left = most;
        while left != 0 {
            let smallest = (0..=MAX_ORDER).find(|order| self.lists[*order as usize].len() != 0);
            let Some(smallest) = smallest else { return };
            let order = smallest.min(left.ilog2());
            let Some(first) = self.take(order, None, State::Cached, segments, held) else {
                return;
            };
            for n in (1..1 << order).rev() {
                // SAFETY: within the block, and so within its segment (invariant 3).
                let page = unsafe { Segments::after(first, n) };
                page.move_state(State::Tail, State::Cached);
                page.set_order(0);
                sink(page);
            }
            first.set_order(0);
            sink(first);
            left -= 1 << order;
        }
    }

    /// Gives `Cached` frames back until `source` has no more; tells how many there were. Those that
    /// make a block among themselves are joined before the lists are touched: frames mostly come
    /// back in the order in which they went.
    pub fn give_singles<M: Machine>(
        &self,
        mut source: impl FnMut() -> Option<Ptr<Page>>,
        segments: &Segments,
        held: &SpinGuard<'_, M>,
    ) -> u32 {
        let mut count = 0;
        // A stack of blocks through `owner`, no two neighbours of which can be joined.
        let mut top: Option<Ptr<Page>> = None;
        while let Some(mut page) = source() {
            count += 1;
            while let Some(other) = top
                && let order = other.order()
                && order == page.order()
                && other.number() ^ page.number() == 1 << order
                && order < MAX_ORDER
            {
                top = other.owner();
                let (lower, upper) = if other.number() < page.number() {
                    (other, page)
                } else {
                    (page, other)
                };
                upper.move_state(State::Cached, State::Tail);
                lower.set_order(order + 1);
                page = lower;
            }
            page.set_owner(top);
            top = Some(page);
        }
        while let Some(page) = top {
            top = page.owner();
            self.give(page, State::Cached, segments, held);
        }
        count
    }

    /// Gives a block back, of its own order; its first frame is in `state`.
    pub fn give<M: Machine>(
        &self,
        page: Ptr<Page>,
        state: State,
        segments: &Segments,
        _held: &SpinGuard<'_, M>,
    ) {
        let mut order = page.order();
        let mut page = page;
        self.free
            .store(self.free.load(Relaxed) + (1 << order), Relaxed);
        page.move_state(state, State::Free);
        while order < MAX_ORDER {
            let buddy = Frame(page.frame().0 ^ (1 << order));
            let Some(buddy) = segments.page(buddy) else {
                break;
            };
            if buddy.state() != State::Free || buddy.order() != order {
                break;
            }
            self.lists[order as usize].remove(buddy, segments);
            let (lower, upper) = if buddy.number() < page.number() {
                (buddy, page)
            } else {
                (page, buddy)
            };
            upper.move_state(State::Free, State::Tail);
            page = lower;
            order += 1;
        }
        self.insert(page, order, segments);
    }

    /// Gives frames of a new segment, all of which are `Tail`, as the largest blocks that they
    /// make.
    pub fn give_range<M: Machine>(
        &self,
        first: Frame,
        end: Frame,
        segments: &Segments,
        machine: &M,
    ) {
        let mut frame = first.0;
        while let Some(page) = (frame < end.0)
            .then(|| segments.page(Frame(frame)))
            .flatten()
        {
            let room = (end.0 - frame).ilog2();
            let order = frame.trailing_zeros().min(room).min(MAX_ORDER);
            let held = self.lock(machine);
            page.set_order(order);
            self.free
                .store(self.free.load(Relaxed) + (1 << order), Relaxed);
            page.move_state(State::Tail, State::Free);
            self.insert(page, order, segments);
            drop(held);
            frame += 1 << order;
        }
    }

    /// Puts the upper part of a block that was taken in the free lists; it is `Free` already.
    pub fn give_back<M: Machine>(
        &self,
        page: Ptr<Page>,
        order: u32,
        segments: &Segments,
        _held: &SpinGuard<'_, M>,
    ) {
        self.free
            .store(self.free.load(Relaxed) + (1 << order), Relaxed);
        self.insert(page, order, segments);
    }

    #[inline]
    fn insert(&self, page: Ptr<Page>, order: u32, segments: &Segments) {
        page.set_order(order);
        self.lists[order as usize].push(page, segments);
    }

    /// Counts a block that is in use now.
    pub fn count_taken<M: Machine>(&self, order: u32, state: State, _held: &SpinGuard<'_, M>) {
        let used = &self.used[state as usize];
        used.store(used.load(Relaxed).wrapping_add(1 << order), Relaxed);
    }

    /// Counts a block that was in use.
    pub fn count_given<M: Machine>(&self, order: u32, state: State, _held: &SpinGuard<'_, M>) {
        let used = &self.used[state as usize];
        used.store(used.load(Relaxed).wrapping_sub(1 << order), Relaxed);
    }

    /// Panics where the lists contradict the invariants. (That a block's other frames are `Tail` is
    /// for [`Frames`](super::Frames) to check, which walks the descriptors.)
    pub fn check_invariants<M: Machine>(&self, segments: &Segments, _held: &SpinGuard<'_, M>) {
        let mut free = 0;
        for (order, list) in self.lists.iter().enumerate() {
            list.check_invariants(segments);
            for page in list.iter(segments) {
                let first = page.frame().0;
                assert_eq!(page.state(), State::Free, "frame {first:#x} in a free list");
                assert_eq!(
                    page.order() as usize,
                    order,
                    "order of free frame {first:#x}"
                );
                assert_eq!(
                    first % (1 << order),
                    0,
                    "alignment of free block {first:#x}"
                );
                if order < MAX_ORDER as usize {
                    let buddy = segments.page(Frame(first ^ (1 << order)));
                    let joined = buddy
                        .is_none_or(|b| b.state() != State::Free || b.order() as usize != order);
                    assert!(joined, "block {first:#x} was not joined to its buddy");
                }
                free += 1u64 << order;
            }
        }
        assert_eq!(free, self.free_count(), "free frames");
    }
}
