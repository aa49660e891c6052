//! Bringing pages in: the vnode pager's get_pages.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::Frame;
use crate::error::OutOfMemory;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, ObjectBody, ObjectGuard};
use crate::pager::Pager;
use crate::pager::ahead::Ahead;
use crate::pager::io::{Io, MOST};
use crate::pager::tracks::Span;
use crate::request::Advice;
use crate::stats::Event;
use crate::vm::Vm;

/// A read that is ready to start: its pages are busy.
pub(crate) struct Bring<'v, M: Machine> {
    io: Io<M>,
    pager: &'static dyn Pager<M>,
    ticket: Ticket<'v>,
    /// What is to be read ahead beyond it.
    beyond: Option<Ahead<M>>,
}

impl<'v, M: Machine> Bring<'v, M> {
    /// Starts it; no lock is held. The ticket is for the page that is wanted.
    pub fn start(self, vm: &'v Vm<M>) -> Ticket<'v> {
        vm.start_bring(self.pager, self.io);
        if let Some(beyond) = self.beyond {
            beyond.start(vm);
        }
        self.ticket
    }
}

impl<M: Machine> Vm<M> {
    /// Makes a page for `index` of an object that lacks it, and for those behind it that are likely
    /// to be needed next, as far as the object lacks them as well and memory allows.
    pub(crate) fn begin_bring<'v>(
        &'v self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        advice: Advice,
    ) -> Result<Bring<'v, M>, OutOfMemory> {
        guard.covers(object);
        let Kind::Vnode(pager) = object.kind else {
            return Err(OutOfMemory);
        };
        let page = self.insert_busy(object, index)?;
        let ticket = Ticket::new(self, &page);
        page.holds().fetch_add(1, Relaxed);
        let mut frames = [Frame::NONE; MOST];
        frames[0] = page.frame();
        let plan = self.plan(object, index, advice);
        let rest = object.pages().saturating_sub(u64::from(index));
        let all = u64::from(plan.count).min(rest) as usize;
        let room = all.min(pager.cluster().clamp(1, MOST));
        let mut count = 1;
        if room > 1 {
            count += self.bring_ahead(guard, object, index + 1, &mut frames[1..room]);
        }
        // Where the request stops short of its room, a page is there already, or memory is short.
        let beyond = (all > count && count == room).then(|| {
            let span = Span {
                first: index + count as u32,
                count: (all - count) as u32,
            };
            Ahead::new(object, span)
        });
        Ok(Bring {
            io: self.make_bring(object, index, count, 0, frames),
            pager,
            ticket,
            beyond,
        })
    }

    /// Starts a request; no lock is held.
    pub(super) fn start_bring(&self, pager: &'static dyn Pager<M>, io: Io<M>) {
        self.counters
            .add(self.machine.cpu(), Event::PageIn, io.count as u64);
        pager.read_pages(self, io);
    }
}
