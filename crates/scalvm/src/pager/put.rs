//! Putting pages back: the vnode pager's put_pages.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::error::PagerError;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, ObjectBody};
use crate::page::{BUSY, DIRTY, Page, WRITING};
use crate::pager::io::{Direction, Io, MOST, Target};
use crate::pmap::{Clear, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

/// What the next step of a sync is.
enum Next<'v, M: Machine> {
    Write(Io<M>),
    Wait(Ticket<'v>),
    Done,
}

/// A run of dirty pages.
struct Run {
    first: u32,
    count: usize,
    frames: [Frame; MOST],
}

impl<M: Machine> Vm<M> {
    /// Writes what is dirty from page `first` to `last`, both included, in clusters, and waits
    /// until it is written, by whomever. A page that could not be written stays dirty, and the
    /// error is told once, to whoever syncs the object first after it.
    pub(crate) fn sync_object(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
    ) -> Result<(), PagerError> {
        let Kind::Vnode(vnode) = object.kind else {
            return Ok(());
        };
        self.harvest_dirty(object, first, last);
        let mut at = first;
        loop {
            match self.next_put(object, &mut at, last, vnode.cluster().clamp(1, MOST)) {
                Next::Write(io) => {
                    self.counters
                        .add(self.machine.cpu(), Event::PageOut, io.count as u64);
                    vnode.write_pages(self, io);
                }
                Next::Wait(ticket) => ticket.wait(self),
                Next::Done => break,
            }
        }
        while let Some(ticket) = self.being_written(object, first, last) {
            ticket.wait(self);
        }
        let guard = object.lock(self);
        let error = guard.object().take_write_error();
        drop(guard);
        error.map_or(Ok(()), Err)
    }

    /// Gathers the dirty bits of all page tables into the pages, so that a write from now on sets
    /// them again.
    fn harvest_dirty(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        let guard = object.lock(self);
        let pages = u64::from(last - first) + 1;
        self.each_range(&guard, object, first, pages, |map, range| {
            let clear = Clear {
                accessed: false,
                dirty: true,
            };
            let debt = map.pmap.harvest(&self.machine, self, range, clear, |seen| {
                if seen.dirty
                    && !self.is_zero_frame(seen.frame)
                    && let Some(page) = self.page(seen.frame)
                {
                    page.set_flags(DIRTY);
                }
            });
            self.pay(debt, &map.target().pmap);
        });
    }

    /// Finds the next run of dirty pages at or above `at` and makes a request of it.
    fn next_put<'v>(
        &'v self,
        object: Ptr<ObjectBody<M>>,
        at: &mut u32,
        last: u32,
        cluster: usize,
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
        let mut full = false;
        amap.for_each(*at, last, |index, anon| {
            let Some(page) = anon.page.get().filter(|_| u64::from(index) < end) else {
                return;
            };
            if full || again.is_some() || page.test_flags(DIRTY) == 0 {
                return;
            }
            if run.count == 0 {
                run.first = index;
            }
            full = run.count == cluster || run.first + run.count as u32 != index;
            if full {
                return;
            }
            if !page.try_flag(WRITING, BUSY | WRITING) {
                // Changed while it is being written: to be written again.
                if run.count == 0 {
                    again = Some(page);
                }
                full = true;
                return;
            }
            run.frames[run.count] = page.frame();
            run.count += 1;
        });
        if let Some(page) = again {
            return Next::Wait(Ticket::new(self, &page));
        }
        if run.count == 0 {
            return Next::Done;
        }
        *at = run.first + run.count as u32;
        Next::Write(self.make_put(object, run))
    }

    /// A request for a run of pages, which are marked as being written.
    fn make_put(&self, object: Ptr<ObjectBody<M>>, run: Run) -> Io<M> {
        for &frame in &run.frames[..run.count] {
            if let Some(page) = self.page(frame) {
                page.clear_flags(DIRTY);
                page.holds().fetch_add(1, Relaxed);
            }
        }
        object.retain();
        let begin = u64::from(run.first) << PAGE_SHIFT;
        let bytes = (object.size.get() - begin).min((run.count * PAGE_SIZE) as u64) as usize;
        Io {
            target: Target::Object(object),
            direction: Direction::Out,
            first: run.first,
            count: run.count,
            wanted: 0,
            frames: run.frames,
            bytes,
        }
    }

    /// A page of the range that is still being written.
    fn being_written(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
    ) -> Option<Ticket<'_>> {
        let _guard = object.lock(self);
        let mut found: Option<Ptr<Page>> = None;
        object.amap.get()?.for_each(first, last, |_, anon| {
            if found.is_none() {
                found = anon.page.get().filter(|page| page.test_flags(WRITING) != 0);
            }
        });
        found.map(|page| Ticket::new(self, &page))
    }
}
