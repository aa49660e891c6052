//! Bringing pages in: the vnode pager's get_pages.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::error::OutOfMemory;
use crate::fault::Ticket;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, ObjectBody, ObjectGuard};
use crate::page::Page;
use crate::pager::io::{Direction, Io, MOST, Target};
use crate::pager::vnode::Vnode;
use crate::stats::Event;
use crate::vm::Vm;

/// A read that is ready to start: its pages are busy.
pub(crate) struct Bring<'v, M: Machine> {
    io: Io<M>,
    vnode: &'static dyn Vnode<M>,
    ticket: Ticket<'v>,
}

impl<'v, M: Machine> Bring<'v, M> {
    /// Starts it; no lock is held. The ticket is for the page that is wanted.
    pub fn start(self, vm: &'v Vm<M>) -> Ticket<'v> {
        vm.counters
            .add(vm.machine.cpu(), Event::PageIn, self.io.count as u64);
        self.vnode.read_pages(vm, self.io);
        self.ticket
    }
}

impl<M: Machine> Vm<M> {
    /// Makes a page for `index` of an object that lacks it, and for those around it that it lacks
    /// as well, as many as the cluster has room for and memory allows.
    pub(crate) fn begin_bring<'v>(
        &'v self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
    ) -> Result<Bring<'v, M>, OutOfMemory> {
        guard.covers(object);
        let Kind::Vnode(vnode) = object.kind else {
            return Err(OutOfMemory);
        };
        let cluster = vnode.cluster().clamp(1, MOST) as u32;
        let window = index - index % cluster;
        let room = object
            .pages()
            .saturating_sub(u64::from(window))
            .min(u64::from(cluster)) as usize;
        let page = self.insert_busy(object, index)?;
        let ticket = Ticket::new(self, &page);
        let wanted = (index - window) as usize;
        let mut frames = [Frame::NONE; MOST];
        frames[wanted] = self.hold_for_io(page);
        let (mut begin, mut end) = (wanted, wanted + 1);
        while end < room
            && let Some(page) = self.insert_if_absent(object, window + end as u32)
        {
            frames[end] = self.hold_for_io(page);
            end += 1;
        }
        while begin > 0
            && let Some(page) = self.insert_if_absent(object, window + begin as u32 - 1)
        {
            begin -= 1;
            frames[begin] = self.hold_for_io(page);
        }
        frames.copy_within(begin..end, 0);
        let (first, count) = (window + begin as u32, end - begin);
        object.retain();
        let offset = u64::from(first) << PAGE_SHIFT;
        let bytes = (object.size.get() - offset).min((count * PAGE_SIZE) as u64) as usize;
        let wanted = wanted - begin;
        let io = Io {
            target: Target::Object(object),
            direction: Direction::In,
            first,
            count,
            wanted,
            frames,
            bytes,
            background: false,
        };
        Ok(Bring { io, vnode, ticket })
    }

    fn hold_for_io(&self, page: Ptr<Page>) -> Frame {
        page.holds().fetch_add(1, Relaxed);
        page.frame()
    }

    fn insert_if_absent(&self, object: Ptr<ObjectBody<M>>, index: u32) -> Option<Ptr<Page>> {
        let absent = object
            .amap
            .get()
            .is_some_and(|amap| amap.anon(index).is_none());
        if absent {
            self.insert_busy(object, index).ok()
        } else {
            None
        }
    }
}
