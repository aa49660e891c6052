//! Bringing back anons that were put back.
//!
//! From the compressor a page comes at once. From a swap device it comes with its neighbours in the
//! object, as far as their slots are neighbours too: putting back in order makes them so. How many
//! are read along is learned, for each object: the window doubles when the next page is asked for that
//! was not read yet, in either direction, and halves when another one is.
//!
//! An anon gets its page by one exchange of its `page` field, since several objects that share it may
//! bring it back at the same time, each with its own lock held: the first wins. From then on the
//! request alone decides about the page.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::Frame;
use crate::amap::SLOTS;
use crate::anon::{Anon, Stored};
use crate::error::OutOfMemory;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{ObjectBody, ObjectGuard};
use crate::page::{BUSY, Page, State};
use crate::pager::io::{Direction, Io, MOST};
use crate::pager::{Backing, Slot};
use crate::stats::Event;
use crate::vm::Vm;

/// log2 of the first window of an object (arbitrary: what is learned soon counts more).
pub(crate) const FIRST_WINDOW: u32 = 2;

/// How an anon comes back.
pub(crate) enum Return<'v, M: Machine> {
    /// It is here, or somebody changed it: look again.
    Here,
    /// It is on its way.
    Wait(Ticket<'v>),
    /// This read must be started.
    Read(SwapRead<'v, M>),
}

/// A read from a swap device that is ready to start: its pages are busy.
pub(crate) struct SwapRead<'v, M: Machine> {
    io: Io<M>,
    ticket: Ticket<'v>,
}

impl<'v, M: Machine> SwapRead<'v, M> {
    /// Starts it; no lock is held. The ticket is for the page that is wanted.
    pub fn start(self, vm: &'v Vm<M>) -> Ticket<'v> {
        let count = self.io.frames().len() as u64;
        vm.counters.add(vm.machine.cpu(), Event::SwapIn, count);
        vm.start_swap(self.io);
        self.ticket
    }
}

impl<M: Machine> Vm<M> {
    /// Begins to bring an anon back that lies at `index` of the object, which is locked.
    pub(crate) fn begin_return<'v>(
        &'v self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        anon: Ptr<Anon<M>>,
        index: u32,
    ) -> Result<Return<'v, M>, OutOfMemory> {
        guard.covers(object);
        if let Some(page) = anon.page.get() {
            return Ok(Return::Wait(Ticket::new(self, &page)));
        }
        match anon.backing() {
            Backing::None => Ok(Return::Here),
            Backing::Compressed(handle) => {
                let page = self.new_page(State::Anon)?;
                // The contents cannot change while the object is locked, so it does not matter if
                // somebody else has been quicker, or the copy has moved meanwhile.
                if !self.compressor.get(self, handle, anon, page) || !self.give_page(anon, page) {
                    self.let_go(page);
                } else {
                    self.count(Event::Decompressed);
                }
                Ok(Return::Here)
            }
            Backing::Zeros => {
                let page = self.zeroed_page()?;
                if !self.give_page(anon, page) {
                    self.let_go(page);
                }
                Ok(Return::Here)
            }
            Backing::Slot(slot) => self.begin_swap_in(object, anon, index, slot),
        }
    }

    fn begin_swap_in<'v>(
        &'v self,
        object: Ptr<ObjectBody<M>>,
        anon: Ptr<Anon<M>>,
        index: u32,
        slot: Slot,
    ) -> Result<Return<'v, M>, OutOfMemory> {
        let Some(page) = self.arriving(anon, slot)? else {
            return Ok(Return::Here);
        };
        let ticket = Ticket::new(self, &page);
        let mut frames = [Frame::NONE; MOST];
        let window = self.window(object, index);
        let wanted = (index % window) as usize;
        frames[wanted] = page.frame();
        let (mut begin, mut end) = (wanted, wanted + 1);
        while end < window as usize
            && let Some(page) = self.arriving_along(object, index, slot, (end - wanted) as i64)
        {
            frames[end] = page.frame();
            end += 1;
        }
        while begin > 0
            && let Some(page) =
                self.arriving_along(object, index, slot, begin as i64 - 1 - wanted as i64)
        {
            begin -= 1;
            frames[begin] = page.frame();
        }
        frames.copy_within(begin..end, 0);
        let before = (wanted - begin) as u32;
        object.last_return.0.set(index.wrapping_sub(before));
        object
            .last_return
            .1
            .set(index.wrapping_add((end - wanted) as u32));
        let first = slot.offset_by(begin as i64 - wanted as i64).unwrap_or(slot);
        let mut io = self.swap_io(Direction::In, first, frames, end - begin);
        io.wanted = wanted - begin;
        Ok(Return::Read(SwapRead { io, ticket }))
    }

    /// How many pages are read with this one of the object: a power of two, up to a request.
    fn window(&self, object: Ptr<ObjectBody<M>>, index: u32) -> u32 {
        const { assert!(MOST <= SLOTS && MOST.is_power_of_two()) };
        let (first, end) = (object.last_return.0.get(), object.last_return.1.get());
        let log = object.window.get();
        let log = if index == end || index.wrapping_add(1) == first {
            (log + 1).min(MOST.trailing_zeros())
        } else {
            log.saturating_sub(1)
        };
        object.window.set(log);
        1 << log
    }

    /// The page of a neighbour that is put back at the neighbouring slot.
    fn arriving_along(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        slot: Slot,
        distance: i64,
    ) -> Option<Ptr<Page>> {
        let index = index.wrapping_add(distance as u32);
        let slot = slot.offset_by(distance)?;
        let anon = object.amap.get()?.anon(index)?;
        if anon.page.get().is_some() || anon.backing() != Backing::Slot(slot) {
            return None;
        }
        let page = self.arriving(anon, slot).ok()??;
        page.set_flags(crate::page::AHEAD);
        self.count(Event::Ahead);
        Some(page)
    }

    /// A new, busy page for an anon whose copy is in `slot`; none if somebody else was quicker. It
    /// is held for the request that is to fill it.
    fn arriving(&self, anon: Ptr<Anon<M>>, slot: Slot) -> Result<Option<Ptr<Page>>, OutOfMemory> {
        let page = self.new_page(State::Anon)?;
        page.set_flags(BUSY);
        page.holds().fetch_add(1, Relaxed);
        if !self.give_page(anon, page) {
            self.let_go(page);
            self.let_go(page);
            return Ok(None);
        }
        // From now on the backing does not change; but it may have before.
        if anon.backing() != Backing::Slot(slot) {
            self.cut(page, anon, || Some(Stored::Before));
            self.unbusy(page);
            self.let_go(page);
            return Ok(None);
        }
        Ok(Some(page))
    }

    /// Gives an anon that is put back its page, unless it has one.
    fn give_page(&self, anon: Ptr<Anon<M>>, page: Ptr<Page>) -> bool {
        let identity = page.identify(&self.machine);
        let given = anon.take_page(page, &identity);
        drop(identity);
        if given && page.is_plain() {
            self.note(page);
        }
        given
    }
}
