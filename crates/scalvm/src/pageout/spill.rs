//! Moving the oldest compressed pages on to a disk, when the compressor is full.
//!
//! A page is decompressed into a frame of the reserve, written, and then its anon is told the slot in
//! place of the compressed copy; until then that copy is good. Those who want the page meanwhile find
//! it there.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::Frame;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::{BUSY, Page, State};
use crate::pager::{MOST, Slot, Spill};
use crate::stats::Event;
use crate::vm::Vm;

/// Pages that are moved, in frames of their own.
struct Move<M: Machine> {
    page: Ptr<Page>,
    spill: Spill<M>,
    slot: Option<Slot>,
}

impl<M: Machine> Vm<M> {
    /// Makes room in the compressor: by moving its contents together, or by moving some on to a disk.
    /// Tells whether it did. It is the caller's turn to reclaim; waits for the writes.
    pub(super) fn relieve_compressor(&self) -> bool {
        self.compressor.compact(self, MOST / 4) > 0 || self.spill() > 0
    }

    /// Moves the oldest pages; tells how many.
    fn spill(&self) -> usize {
        let mut moves = [const { None::<Move<M>> }; MOST];
        let mut count = 0;
        while count < MOST
            && !self.swap.is_full()
            && let Some(moved) = self.begin_spill()
        {
            moves[count] = Some(moved);
            count += 1;
        }
        let mut from = 0;
        while from < count
            && let Some((first, len)) = self.swap.alloc(&self.machine, count - from)
        {
            self.write_spill(&mut moves[from..from + len], first);
            from += len;
        }
        let moved = moves
            .into_iter()
            .flatten()
            .map(|moved| self.end_spill(moved));
        moved.filter(|moved| *moved).count()
    }

    fn begin_spill(&self) -> Option<Move<M>> {
        let page = self
            .frames
            .take_reserved_page(&self.machine, State::Kernel)?;
        page.holds().store(1, Relaxed);
        match self.compressor.oldest(self, page) {
            Some(spill) => Some(Move {
                page,
                spill,
                slot: None,
            }),
            None => {
                self.let_go(page);
                None
            }
        }
    }

    /// Writes pages to a run of slots.
    fn write_spill(&self, moves: &mut [Option<Move<M>>], first: Slot) {
        let mut frames = [Frame::NONE; MOST];
        for (i, moved) in moves.iter_mut().flatten().enumerate() {
            frames[i] = moved.page.frame();
            moved.page.set_flags(BUSY);
            moved.page.holds().fetch_add(1, Relaxed);
            moved.slot = first.offset_by(i as i64);
        }
        let count = moves.len();
        self.counters
            .add(self.machine.cpu(), Event::SwapOut, count as u64);
        self.put_to_swap(first, frames, count);
    }

    /// Waits for a write, and tells the anon where its copy is now. True if that is so.
    fn end_spill(&self, moved: Move<M>) -> bool {
        let Move { page, spill, slot } = moved;
        while page.test_flags(BUSY) != 0 {
            Ticket::new(self, &page).wait(self);
        }
        let written = slot.filter(|_| page.error().is_none());
        let told = match written {
            Some(slot) => self.compressor.spilled(self, &spill, slot),
            None => {
                self.compressor.keep(self, &spill);
                false
            }
        };
        if let Some(slot) = slot.filter(|_| !told) {
            self.swap.free(&self.machine, slot);
        }
        self.let_go(page);
        told
    }
}
