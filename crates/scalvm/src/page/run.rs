//! Runs: frames in a row, as many as are asked for.
//!
//! A run is cut out of the smallest block that has room for it, and begins where that begins; what is
//! left over goes back to the free lists at once. So the run consists of blocks, one for each binary
//! digit of its length, the largest first: the first is in the state that was asked for, the others
//! are [`State::Rest`], and name the run's first frame in `next`.

use core::ptr::null_mut;
use core::sync::atomic::Ordering::Relaxed;

use super::buddy::{Buddy, MAX_ORDER};
use super::{Claim, Frames, Page, Segments, State};
use crate::addr::Frame;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::sync::SpinGuard;

impl Frames {
    /// Takes `count` frames in a row, at least one, aligned to the next power of two. The machine has
    /// been asked already.
    #[inline]
    pub fn take_run<M: Machine>(&self, machine: &M, count: u32, state: State) -> Option<Ptr<Page>> {
        debug_assert!(state.in_use() && count > 0);
        match count {
            1 => self.take_page(machine, state),
            _ => self.take_run_within(machine, count, 1, None, state),
        }
    }

    /// The same where the first frame's number is to be a multiple of `align`, a power of two, and all
    /// below a limit if there is one.
    pub fn take_run_within<M: Machine>(
        &self,
        machine: &M,
        count: u32,
        align: u64,
        below: Option<Frame>,
        state: State,
    ) -> Option<Ptr<Page>> {
        let order = count.checked_next_power_of_two()?.trailing_zeros();
        let order = order.max(align.trailing_zeros());
        if order > MAX_ORDER {
            return None;
        }
        // The limit of the block from which the run is cut.
        let limit = match below {
            Some(below) => Some(Frame(below.0.checked_sub(u64::from(count))? + (1 << order))),
            None => None,
        };
        self.cut_run(machine, count, order, limit, state)
    }

    /// Takes a block from the free lists and gives back what is too much of it.
    fn cut_run<M: Machine>(
        &self,
        machine: &M,
        count: u32,
        order: u32,
        limit: Option<Frame>,
        state: State,
    ) -> Option<Ptr<Page>> {
        let first = loop {
            let held = self.buddy.lock(machine);
            let enough = self.buddy.free_count() >= u64::from(count) + self.floor(Claim::of(state));
            if enough
                && let Some(first) = self.buddy.take(order, limit, state, &self.segments, &held)
            {
                self.buddy.cut(first, count, state, &self.segments, &held);
                break first;
            }
            drop(held);
            if self.drain_all(machine) == 0 {
                self.notice(machine, 0);
                return None;
            }
        };
        self.notice(machine, count);
        Some(first)
    }

    /// Frees a run of this length.
    #[inline]
    pub fn free_run<M: Machine>(&self, machine: &M, first: Ptr<Page>, count: u32) {
        if count == 1 {
            return self.free_page(machine, first);
        }
        let held = self.buddy.lock(machine);
        let mut block = first;
        let mut left = count;
        while left != 0 {
            let order = left.ilog2();
            let state = block.state();
            debug_assert!(block.is_idle(), "run at {:?} freed in use", first.frame());
            debug_assert!(
                block.order() == order && (block == first || state == State::Rest),
                "run at {:?} freed wrongly",
                first.frame()
            );
            left -= 1 << order;
            // SAFETY: within the run, and so within its segment; or right behind it, and then not
            // looked at.
            let next = unsafe { Segments::after(block, 1 << order) };
            self.buddy.count_given(order, state, &held);
            self.buddy.give(block, state, &self.segments, &held);
            block = next;
        }
    }

    /// The first frame of the block or run in use of which a frame is a part; none for a free one.
    #[inline]
    pub fn first_of(&self, page: Ptr<Page>) -> Option<Ptr<Page>> {
        let mut block = page;
        let mut order = 0;
        while block.state() == State::Tail && order < MAX_ORDER {
            order += 1;
            block = self.page(Frame(page.frame().0 >> order << order))?;
        }
        if block.state() == State::Rest {
            block = self.page(Frame(u64::from(block.next.get())))?;
        }
        block.state().in_use().then_some(block)
    }
}

impl Buddy {
    /// Cuts a block that was just taken down to a run.
    fn cut<M: Machine>(
        &self,
        first: Ptr<Page>,
        count: u32,
        state: State,
        segments: &Segments,
        held: &SpinGuard<'_, M>,
    ) {
        let (mut block, mut order, mut left) = (first, first.order(), count);
        let mut whole = state;
        while left != 1 << order {
            order -= 1;
            // SAFETY: within the block, and so within its segment.
            let upper = unsafe { Segments::after(block, 1 << order) };
            upper.move_state(State::Tail, State::Free);
            if left <= 1 << order {
                self.give_back(upper, order, segments, held);
                continue;
            }
            block.set_order(order);
            self.count_taken(order, whole, held);
            upper.move_state(State::Free, State::Rest);
            upper.owner_raw().store(null_mut(), Relaxed);
            upper.next.set(first.number());
            whole = State::Rest;
            block = upper;
            left -= 1 << order;
        }
        block.set_order(order);
        self.count_taken(order, whole, held);
        first.owner_raw().store(null_mut(), Relaxed);
    }
}
