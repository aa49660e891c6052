//! Giving pages up: their contents may go when memory is short.
//!
//! Such a page is like one of which there is a copy somewhere, only that the copy is zeros and needs no
//! place ([`Backing::Zeros`]). So all that is true of clean pages is true of it: it is mapped nowhere to be
//! written, its first write parts it from its copy and so keeps it (A4), and the page daemon, which stores no
//! page that has a copy and is not dirty, drops it. Who needs it later gets zeros. No step of a fault or of
//! the daemon knows more of it than that.
//!
//! Whether a page is written or dropped first is settled where it is for each clean page: the write has the
//! object locked, and the daemon has marked the page busy before it visits the object.

use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::amap::{SLOTS, Way};
use crate::anon::Anon;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{ObjectBody, ObjectGuard};
use crate::page::{DIRTY, Page};
use crate::pager::Backing;
use crate::pmap::{Clear, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Gives up the pages from `first` to `last` that a private object, which stands on nothing, has to
    /// itself. Its lock is taken for one chunk at a time.
    pub(crate) fn give_up_range(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        self.each_chunk(object, first, last, |guard, from, to| {
            self.give_up_chunk(guard, from, to);
        });
    }

    /// The same within one chunk.
    fn give_up_chunk(&self, guard: &ObjectGuard<'_, M>, first: u32, last: u32) {
        let object = guard.object();
        let Some(amap) = object.amap.get() else {
            return;
        };
        let Way::Own(_) = amap.own_way(first) else {
            return;
        };
        self.end_writes(guard, first, last);
        let (mut pages, mut away) = (0, 0u64);
        amap.for_each(first, last, |index, anon| {
            if anon.refs() != 1 {
                return;
            }
            match anon.page.get() {
                Some(page) => pages += u64::from(self.give_up(anon, page)),
                None => away |= 1 << (index % SLOTS as u32),
            }
        });
        self.counters.add(self.machine.cpu(), Event::GiveUp, pages);
        if pages > 0 {
            self.pageout.some_given_up.store(true, Relaxed);
            self.more_may_leave();
        }
        while away != 0 {
            let index = first - first % SLOTS as u32 + away.trailing_zeros();
            away &= away - 1;
            self.wipe_amap(amap, index, index);
        }
    }

    /// Takes the right to write some pages of an object, and notes which were written until now.
    fn end_writes(&self, guard: &ObjectGuard<'_, M>, first: u32, last: u32) {
        let pages = u64::from(last - first) + 1;
        self.each_range(guard, guard.object(), first, pages, |map, range| {
            let debt = map
                .pmap
                .protect(&self.machine, self, range.clone(), crate::addr::Prot::RX);
            self.pay(debt, &map.target().pmap);
            let clear = Clear {
                accessed: true,
                dirty: true,
            };
            let debt = map.pmap.harvest(&self.machine, self, range, clear, |seen| {
                self.keep_dirty(seen)
            });
            self.pay(debt, &map.target().pmap);
        });
    }

    /// Gives one page up, unless somebody uses it or it is on its way. It is nobody else's, its object is
    /// locked, and nobody can write it.
    fn give_up(&self, anon: Ptr<Anon<M>>, page: Ptr<Page>) -> bool {
        let identity = page.identify(&self.machine);
        let idle =
            anon.page.get() == Some(page) && page.is_plain() && page.holds().load(Acquire) == 1;
        if idle {
            self.release_backing(anon);
            page.clear_flags(DIRTY);
            anon.backing.set(Backing::Zeros.pack());
            self.pageout.given_up.fetch_add(1, Relaxed);
        }
        drop(identity);
        if idle {
            self.leaves_next(page);
        }
        idle
    }
}
