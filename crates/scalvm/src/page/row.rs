//! Rows: frames that follow each other, as many as a large leaf maps and aligned to that, each of which
//! is a page of its own from the beginning and is freed by itself.
//!
//! A row is taken only where that leaves more free frames than the mark of pressure: whoever asks for one
//! can do with single frames as well.

use core::ptr::null_mut;
use core::sync::atomic::Ordering::Relaxed;

use super::{Claim, Frames, MAX_ORDER, Page, Segments, State};
use crate::kmem::Ptr;
use crate::machine::Machine;

/// Pages in a row, each with one hold, which is that of whoever took the row.
pub(crate) struct Row {
    first: Ptr<Page>,
    len: usize,
}

impl Row {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// One of them.
    pub fn page(&self, n: usize) -> Ptr<Page> {
        assert!(n < self.len);
        // SAFETY: within the block that was taken, and so within its segment.
        unsafe { Segments::after(self.first, n) }
    }
}

impl Frames {
    /// Takes a row of so many frames, a power of two, for pages of programs. The machine has been asked
    /// already.
    pub fn take_row<M: Machine>(&self, machine: &M, len: usize, state: State) -> Option<Row> {
        let order = len.trailing_zeros();
        if order > MAX_ORDER {
            return None;
        }
        let held = self.buddy.lock(machine);
        let left = self.buddy.free_count().checked_sub(len as u64)?;
        if left < self.low().max(self.floor(Claim::of(state))) {
            return None;
        }
        let taken = State::Cached;
        let first = self.buddy.take(order, None, taken, &self.segments, &held)?;
        self.buddy.count_taken(order, state, &held);
        let row = Row { first, len };
        for n in 0..len {
            let page = row.page(n);
            if n > 0 {
                page.move_state(State::Tail, taken);
            }
            page.set_order(0);
            page.owner_raw().store(null_mut(), Relaxed);
            page.move_state(taken, state);
            page.holds().store(1, Relaxed);
        }
        Some(row)
    }
}
