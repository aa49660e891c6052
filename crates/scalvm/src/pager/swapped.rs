//! Requests to swap devices: making and starting them, and what is done when they end.
//!
//! Nobody's object is locked when such a request ends, since several may have the page. What changes
//! then changes with the page's identity locked, and whoever waits for the page reads the word to wait
//! on before the flags, see [`Ticket`](crate::Ticket).
//!
//! A page that could not be written stays in memory. If it was written together with others it will be
//! tried alone, since any of them may be to blame; a slot that fails alone is retired.

use core::sync::atomic::Ordering::{AcqRel, Acquire};

use crate::addr::Frame;
use crate::anon::{Anon, Cut, Stored};
use crate::error::PagerError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::{DIRTY, LONE, Page, State};
use crate::pager::io::{Direction, Io, MOST, Target};
use crate::pager::{Backing, Slot};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// A request for pages, all busy and held for it, that go to or come from a run of slots.
    pub(crate) fn swap_io(
        &self,
        direction: Direction,
        first: Slot,
        frames: [Frame; MOST],
        count: usize,
    ) -> Io<M> {
        let cookie = self.swap.cookie(first);
        Io::for_swap(
            direction,
            first.device(),
            cookie,
            first.page(),
            &frames[..count],
        )
    }

    /// Writes pages, all busy, unmapped and held for it, to a run of slots.
    pub(crate) fn put_to_swap(&self, first: Slot, frames: [Frame; MOST], count: usize) {
        self.pageout.busy.fetch_add(count as u32, AcqRel);
        let io = self.swap_io(Direction::Out, first, frames, count);
        self.seal(&io, true);
        self.start_swap(io);
    }

    /// Hands a request to its device. No lock is held.
    pub(crate) fn start_swap(&self, io: Io<M>) {
        let Target::Swap { device, .. } = io.target else {
            return;
        };
        match (self.swap.pager(device), io.direction) {
            (Some(pager), Direction::In) => pager.read_pages(self, io),
            (Some(pager), Direction::Out) => pager.write_pages(self, io),
            (None, _) => self.swap_done(&io, Err(PagerError::Gone)),
        }
    }

    /// Enciphers or deciphers the pages of a request where its device wants that. They are busy, so
    /// nobody sees them meanwhile.
    fn seal(&self, io: &Io<M>, close: bool) {
        let Target::Swap { device, .. } = io.target else {
            return;
        };
        let Some(cipher) = self.swap.cipher(device) else {
            return;
        };
        for (i, &frame) in io.frames().iter().enumerate() {
            let slot = Slot::new(device, io.first + i as u32).number();
            self.frames.with_bytes(&self.machine, frame, |bytes| {
                if close {
                    cipher.encrypt(slot, bytes);
                } else {
                    cipher.decrypt(slot, bytes);
                }
            });
        }
    }

    /// Tells how a request to a swap device ended.
    pub(crate) fn swap_done(&self, io: &Io<M>, result: Result<(), PagerError>) {
        let Target::Swap { device, .. } = io.target else {
            return;
        };
        if io.direction == Direction::In && result.is_ok()
            || io.direction == Direction::Out && result.is_err()
        {
            self.seal(io, false);
        }
        for (i, &frame) in io.frames().iter().enumerate() {
            let Some(page) = self.page(frame) else {
                continue;
            };
            match io.direction {
                Direction::In => {
                    if let Err(error) = result {
                        self.has_not_come(page, error, i == io.wanted);
                    }
                }
                Direction::Out => {
                    let slot = Slot::new(device, io.first + i as u32);
                    let alone = io.frames().len() == 1;
                    self.has_been_put(page, slot, result, alone);
                }
            }
            self.unbusy(page);
            if io.direction == Direction::In && result.is_ok() {
                self.note(page);
            }
            self.let_go(page);
        }
        if io.direction == Direction::Out {
            let count = io.frames().len() as u32;
            self.pageout.busy.fetch_sub(count, AcqRel);
            self.progressed();
        } else if result.is_ok() {
            self.more_may_leave();
        }
    }

    /// What becomes of one page that could not be read: whoever wants it is told, the others are put
    /// back as they were.
    fn has_not_come(&self, page: Ptr<Page>, error: PagerError, wanted: bool) {
        match page.owner::<Anon<M>>() {
            Some(anon) if !wanted => {
                self.cut(page, anon, || Some(Stored::Before));
            }
            _ => page.fail(error),
        }
    }

    /// What becomes of one page that was to be put back.
    fn has_been_put(
        &self,
        page: Ptr<Page>,
        slot: Slot,
        result: Result<(), PagerError>,
        alone: bool,
    ) {
        if page.state() == State::Kernel {
            // A page of the compressor's: whoever spills it looks at it when it is not busy any more.
            if let Err(error) = result {
                page.fail(error);
            }
            return;
        }
        if result.is_ok() {
            let put = match page.owner::<Anon<M>>() {
                Some(anon) => self.cut(page, anon, || {
                    self.swap.set_owner(&self.machine, slot, anon);
                    Some(Stored::Anew(Backing::Slot(slot)))
                }),
                None => Cut::Gone,
            };
            match put {
                Cut::Done => self.count(crate::stats::Event::Evict),
                Cut::Gone | Cut::Refused => self.swap.free(&self.machine, slot),
            }
            return;
        }
        page.set_flags(DIRTY);
        if alone {
            self.swap.mark_bad(&self.machine, slot);
            page.clear_flags(LONE);
        } else {
            self.swap.free_failed(&self.machine, slot);
            page.set_flags(LONE);
        }
        self.readmit(page);
    }

    /// Pages that are on their way to swap.
    pub(crate) fn swapping_out(&self) -> u32 {
        self.pageout.busy.load(Acquire)
    }
}
