//! Emptying a swap device that is to be removed while in use.
//!
//! Each slot knows its anon, and the anon lives as long as it has the slot, so with the slots locked
//! it can be looked at. What is put back there is brought back, and parts from its slot; memory that
//! this needs is made as for everyone, on other devices or by the compressor. With it come those in the
//! slots behind, as far as memory for them is free. What cannot be read together with others is read
//! alone; if something cannot be brought back, the device stays, and everything is still there.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::addr::Frame;
use crate::anon::{Anon, Stored};
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::{BUSY, DIRTY, Page, State};
use crate::pager::{Backing, Direction, MOST, Slot, SwapError, SwapId};
use crate::stats::Event;
use crate::vm::Vm;

/// What a slot of the device needs next.
enum Need<'v> {
    /// Nothing: it is free.
    Nothing,
    Wait(Ticket<'v>),
    /// Something is being written there, or has just changed.
    Again,
    /// It could not be read.
    Failed,
}

impl<M: Machine> Vm<M> {
    /// Takes a swap device away: everything that is there is brought back first. If memory is too
    /// short for that, or something cannot be read, nothing changes. Blocks.
    pub fn remove_swap(&self, id: SwapId) -> Result<(), SwapError> {
        self.swap.begin_remove(&self.machine, id)?;
        let emptied = self.empty(id);
        match emptied.and_then(|()| self.swap.finish_remove(&self.machine, &self.frames, id)) {
            Ok(()) => Ok(()),
            Err(error) => {
                self.swap.cancel_remove(&self.machine, id);
                self.more_may_leave();
                Err(error)
            }
        }
    }

    fn empty(&self, id: SwapId) -> Result<(), SwapError> {
        let mut at = 0;
        let mut most = MOST;
        while let Some(slot) = self.swap.next_used(&self.machine, id, at) {
            let progress = self.pageout.progress.load(Acquire);
            match self.empty_slot(slot, most)? {
                Need::Nothing => {
                    at = u64::from(slot.page()) + 1;
                    most = MOST;
                }
                Need::Failed if most > 1 => most = 1,
                Need::Failed => return Err(SwapError::Io),
                Need::Wait(ticket) => ticket.wait(self),
                Need::Again if self.swapping_out() > 0 => {
                    self.machine.wait(&self.pageout.progress, progress);
                }
                Need::Again => self.machine.relax(),
            }
        }
        Ok(())
    }

    /// Does the next thing for a slot. If it must be read, up to `most` are read together.
    fn empty_slot(&self, slot: Slot, most: usize) -> Result<Need<'_>, SwapError> {
        let Some((anon, page)) = self
            .swap
            .with_owner(&self.machine, slot, |anon| anon.page.get())
        else {
            return Ok(if self.swap.is_used(&self.machine, slot) {
                Need::Again
            } else {
                Need::Nothing
            });
        };
        match page {
            Some(page) => Ok(self.part_from_slot(slot, anon, page)),
            None => self.bring_for(slot, most),
        }
    }

    /// Frees the slot of an anon that has a page.
    fn part_from_slot(&self, slot: Slot, anon: Ptr<Anon<M>>, page: Ptr<Page>) -> Need<'_> {
        let identity = page.identify(&self.machine);
        // Only if the page still names it is the anon known to live.
        if page.owner() != Some(anon) || anon.backing() != Backing::Slot(slot) {
            return Need::Again;
        }
        if page.error().is_some() {
            drop(identity);
            self.cut(page, anon, || Some(Stored::Before));
            return Need::Failed;
        }
        if page.test_flags(BUSY) != 0 {
            return Need::Wait(Ticket::new(self, &page));
        }
        page.set_flags(DIRTY);
        // The anon may be ending, and have parted from the slot by itself.
        let parted = anon.backing.replace(Backing::Slot(slot).pack(), 0);
        drop(identity);
        if !parted {
            return Need::Again;
        }
        self.swap.free(&self.machine, slot);
        Need::Nothing
    }

    /// Begins to bring back what is in a slot, and in those behind it, up to `most` in all.
    fn bring_for(&self, slot: Slot, most: usize) -> Result<Need<'_>, SwapError> {
        let page = self
            .with_room(|| self.new_page(State::Anon), |_| true)
            .map_err(|_| SwapError::NoRoom)?;
        if !self.arrives_from(slot, page) {
            return Ok(Need::Again);
        }
        let ticket = Ticket::new(self, &page);
        let mut frames = [Frame::NONE; MOST];
        frames[0] = page.frame();
        let mut count = 1;
        while count < most
            && let Some(next) = slot.offset_by(count as i64)
            && self.has_put_back(next)
            && let Ok(page) = self.new_page(State::Anon)
            && self.arrives_from(next, page)
        {
            frames[count] = page.frame();
            count += 1;
        }
        self.counters
            .add(self.machine.cpu(), Event::SwapIn, count as u64);
        let io = self.swap_io(Direction::In, slot, frames, count);
        self.start_swap(io);
        Ok(Need::Wait(ticket))
    }

    /// Whether the anon of a slot, if there is one, has no page.
    fn has_put_back(&self, slot: Slot) -> bool {
        let is_away = |anon: Ptr<Anon<M>>| anon.page.get().is_none();
        let owner = self.swap.with_owner(&self.machine, slot, is_away);
        owner.is_some_and(|(_, is_away)| is_away)
    }

    /// Gives a new page to the anon of a slot, busy and held for the request that is to fill it; or lets
    /// go of it, if that anon has got one meanwhile, or there is none.
    fn arrives_from(&self, slot: Slot, page: Ptr<Page>) -> bool {
        page.set_flags(BUSY);
        page.holds().fetch_add(1, Relaxed);
        let identity = page.identify(&self.machine);
        let take = |anon: Ptr<Anon<M>>| anon.take_page(page, &identity);
        let given = self.swap.with_owner(&self.machine, slot, take);
        drop(identity);
        let given = matches!(given, Some((_, true)));
        if !given {
            self.let_go(page);
            self.let_go(page);
        }
        given
    }
}
