//! Putting pages back: the vnode pager's put_pages.
//!
//! A page that is being put is claimed first: `WRITING` is set, in one step and only if the page is
//! not busy, since the page daemon makes pages busy without the object's lock.
//!
//! Pages that could not be written together are `LONE` until they can: each is written by itself, so
//! that one bad place on a disk does not keep its neighbours from theirs.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::Frame;
use crate::error::PagerError;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::MapEntry;
use crate::object::{Kind, ObjectBody, overlaps};
use crate::page::{BUSY, DIRTY, LONE, Page, WRITING};
use crate::pager::Pager;
use crate::pager::io::{Direction, Io, MOST};
use crate::pmap::{Clear, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

/// Entries of an object whose dirty bits are gathered while it is locked once (arbitrary: about a microsecond each; two
/// where tests are to meet what happens in between).
const TOGETHER: usize = if cfg!(debug_assertions) { 2 } else { 512 };
/// How often a walk of them is begun again, because they have changed while the object was not locked.
const RESTARTS: u32 = 2;

const DIRTY_ONLY: Clear = Clear {
    accessed: false,
    dirty: true,
};

/// What is done with pages that cannot be claimed now, and with too many requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Pages are waited for, and written as they are then; requests may be as many as it takes.
    All,
    /// Such pages are passed over; the number of requests that run is bounded, and waited for.
    Background,
}

/// What the next step is.
enum Next<'v, M: Machine> {
    Write(Io<M>),
    Wait(Ticket<'v>),
    Done,
}

/// A run of pages that are claimed.
pub(super) struct Run {
    pub first: u32,
    pub count: usize,
    pub frames: [Frame; MOST],
}

impl<M: Machine> Vm<M> {
    /// Writes what is dirty from page `first` to `last`, both included, in clusters, and waits
    /// until it is written, by whomever. A page that could not be written stays dirty, and the
    /// error is told to each sync that runs meanwhile, or else to the next one.
    pub(crate) fn sync_object(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
    ) -> Result<(), PagerError> {
        if !matches!(object.kind, Kind::Vnode(_)) {
            return Ok(());
        }
        let before = object.write_errors.count();
        self.put_range(object, first, last, Patience::All);
        self.await_put(object, first, last);
        let _guard = object.lock(self);
        object.write_errors.tell(before).map_or(Ok(()), Err)
    }

    /// The same without a word of how it ended: who syncs later is told.
    pub(crate) fn write_range(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        self.put_range(object, first, last, Patience::All);
        self.await_put(object, first, last);
    }

    /// Starts to write what is dirty in a range of pages and not on its way; waits for others to end if too many
    /// requests run.
    pub(crate) fn start_sync(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        self.put_range(object, first, last, Patience::Background);
    }

    /// Starts to write what is dirty in a range of pages, each page once.
    pub(super) fn put_range(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
        patience: Patience,
    ) {
        let Kind::Vnode(pager) = object.kind else {
            return;
        };
        self.harvest_dirty(object, first, last);
        let cluster = pager.cluster().clamp(1, MOST);
        let mut at = Some(first);
        while let Some(from) = at.filter(|from| *from <= last) {
            match self.next_put(object, from, last, cluster, patience) {
                Next::Write(io) => {
                    at = io.first.checked_add(io.count as u32);
                    self.start_put(pager, io);
                    if patience == Patience::Background {
                        self.dirty.wait_for_room(&self.machine);
                    }
                }
                Next::Wait(ticket) => ticket.wait(self),
                Next::Done => break,
            }
        }
    }

    /// Starts a request; no lock is held.
    pub(super) fn start_put(&self, pager: &'static dyn Pager<M>, io: Io<M>) {
        self.counters
            .add(self.machine.cpu(), Event::PageOut, io.count as u64);
        if io.background {
            self.dirty.one_more();
        }
        pager.write_pages(self, io);
    }

    /// Waits until no page of a range is being written.
    pub(super) fn await_put(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        let mut from = first;
        while let Some((index, ticket)) = self.being_written(object, from, last) {
            ticket.wait(self);
            from = index;
        }
    }

    /// Gathers the dirty bits of all page tables into the pages, so that a write from now on sets
    /// them again. Where many entries map the object, it lets go of it and pauses now and then.
    pub(crate) fn harvest_dirty(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        let pages = u64::from(last - first) + 1;
        let mut guard = object.lock(self);
        // Nobody may have written it (W1).
        if !object.dirty.is_listed() {
            return;
        }
        let mut harvest = |entry: Ptr<MapEntry<M>>| {
            for (from, to) in overlaps(&entry, first, pages).into_iter().flatten() {
                let map = entry.map();
                let range = from..to;
                let debt = map
                    .pmap
                    .harvest(&self.machine, self, range, DIRTY_ONLY, |seen| {
                        self.keep_dirty(seen)
                    });
                self.pay(debt, &map.target().pmap);
            }
        };
        // Private objects on top are left out: nobody writes this one's pages through their entries.
        let (mut from, mut count, mut restarts) = (None, TOGETHER, 0);
        while let Some(rest) = object.entries.some(from.as_ref(), count, &mut harvest) {
            drop(guard);
            self.machine.pause();
            guard = object.lock(self);
            from = object.entries.has(&rest).then_some(rest);
            if from.is_none() {
                restarts += 1;
            }
            if restarts == RESTARTS {
                // Where others change the entries each time, it is done at once.
                count = usize::MAX;
            }
        }
    }

    /// Claims the next run of dirty pages at or above `from` and makes a request of it.
    fn next_put<'v>(
        &'v self,
        object: Ptr<ObjectBody<M>>,
        from: u32,
        last: u32,
        cluster: usize,
        patience: Patience,
    ) -> Next<'v, M> {
        let _guard = object.lock(self);
        let Some(amap) = object.amap.get() else {
            return Next::Done;
        };
        let end = object.pages();
        let mut run = Run {
            first: 0,
            count: 0,
            frames: [Frame::NONE; MOST],
        };
        let mut again: Option<Ptr<Page>> = None;
        amap.any(from, last, |index, anon| {
            if u64::from(index) >= end {
                return true;
            }
            let apart = run.count > 0 && run.first + run.count as u32 != index;
            if apart || run.count == cluster {
                return true;
            }
            let Some(page) = anon.page.get().filter(|page| page.test_flags(DIRTY) != 0) else {
                return false;
            };
            let lone = page.test_flags(LONE) != 0;
            if lone && run.count > 0 {
                return true;
            }
            if page.claim_to_put() {
                if run.count == 0 {
                    run.first = index;
                }
                run.frames[run.count] = page.frame();
                run.count += 1;
                return lone;
            }
            // Changed while it is being written, or about to leave: to be looked at again.
            if run.count == 0 && patience == Patience::All {
                again = Some(page);
            }
            run.count > 0 || again.is_some()
        });
        if let Some(page) = again {
            return Next::Wait(Ticket::new(self, &page));
        }
        if run.count == 0 {
            return Next::Done;
        }
        Next::Write(self.make_put(object, run, patience == Patience::Background))
    }

    /// A request for a run of pages that are claimed. The object is locked.
    pub(super) fn make_put(&self, object: Ptr<ObjectBody<M>>, run: Run, background: bool) -> Io<M> {
        object.retain();
        let Run {
            first,
            count,
            frames,
        } = run;
        Io {
            background,
            ..Io::for_object(object, Direction::Out, first, count, MOST, frames)
        }
    }

    /// The first page of a range that is still being written.
    fn being_written(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
    ) -> Option<(u32, Ticket<'_>)> {
        let _guard = object.lock(self);
        let mut found = None;
        object.amap.get()?.any(first, last, |index, anon| {
            let page = anon.page.get().filter(|page| page.test_flags(WRITING) != 0);
            found = page.map(|page| (index, Ticket::new(self, &page)));
            found.is_some()
        });
        found
    }
}

impl Page {
    /// Claims a dirty page of an object, which is locked, to be written: holds it, and clears
    /// `DIRTY`, so that a change from now on sets it again. Tells whether it could.
    pub(super) fn claim_to_put(&self) -> bool {
        let claimed = self.try_flag(WRITING, BUSY | WRITING);
        if claimed {
            self.clear_flags(DIRTY);
            self.holds().fetch_add(1, Relaxed);
        }
        claimed
    }
}
