//! Writing back what is dirty without being asked for it by name: for sync(2) and unmounting, for a
//! thread that does it now and then, and for the page daemon.
//!
//! What could not be written stays dirty and in memory, and the next pass tries again; the error is
//! kept for a sync of the object.

use crate::addr::Frame;
use crate::error::PagerError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, ObjectBody};
use crate::page::{DIRTY, LONE, Page};
use crate::pager::io::MOST;
use crate::pager::put::{Patience, Run};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Writes everything that is dirty in any vnode object to its backing store, and waits for it,
    /// as sync(2) does. An error of one object does not stop the others; the first is returned, and
    /// yet told to the next [`Object::sync`](crate::Object::sync) of that object. Blocks for I/O.
    pub fn sync_all(&self) -> Result<(), PagerError> {
        // All are started before the first is waited for.
        self.each_dirty(|object| {
            self.put_range(object, 0, u32::MAX, Patience::All);
            false
        });
        let mut result = Ok(());
        self.each_dirty(|object| {
            self.await_put(object, 0, u32::MAX);
            let guard = object.lock(self);
            let error = object.write_errors.untold();
            drop(guard);
            result = result.and(error.map_or(Ok(()), Err));
            true
        });
        result
    }

    /// Starts to write everything that is dirty in vnode objects which have been dirty, or were
    /// written back last, `age` nanoseconds ago or longer (see [`Machine::now`]); for a thread that
    /// calls it every few seconds. Pages that are busy are left to the next pass. Does not wait for
    /// the end, but at times for others to end: the number of requests that run is bounded.
    pub fn write_back(&self, age: u64) {
        self.each_dirty(|object| {
            let now = self.machine.now();
            if object.dirty.age(now) < age {
                return false;
            }
            self.put_range(object, 0, u32::MAX, Patience::Background);
            object.dirty.written_back(now);
            true
        });
    }

    /// Starts to write a dirty page of a vnode object, and the dirty ones next to it, as many as
    /// make a cluster: for the page daemon, which may drop such a page when it meets it again and
    /// finds it clean. Tells how many pages that are; none if the page is not dirty, or busy, or if
    /// as many requests run as may. The caller holds the object, has no lock, and has not made the
    /// page busy. Does not wait, as long as the vnode does not.
    pub(crate) fn clean_cluster(&self, object: Ptr<ObjectBody<M>>, index: u32) -> usize {
        let Kind::Vnode(vnode) = object.kind else {
            return 0;
        };
        if self.dirty.is_full() {
            return 0;
        }
        let cluster = vnode.cluster().clamp(1, MOST) as u32;
        let base = index - index % cluster;
        let last = base.saturating_add(cluster - 1);
        self.harvest_dirty(object, base, last);
        let guard = object.lock(self);
        let (room, wanted) = ((last - base) as usize + 1, (index - base) as usize);
        let mut frames = [Frame::NONE; MOST];
        let mut claim = |i: usize| {
            let page = self.dirty_page(object, base + i as u32);
            let claimed = page.filter(|page| page.claim_to_put());
            if let Some(page) = claimed {
                frames[i] = page.frame();
            }
            claimed.is_some()
        };
        let lone = |i: usize| {
            let page = self.dirty_page(object, base + i as u32);
            page.is_some_and(|page| page.test_flags(LONE) != 0)
        };
        let alone = lone(wanted);
        if !claim(wanted) {
            return 0;
        }
        let (mut begin, mut end) = (wanted, wanted + 1);
        while !alone && end < room && !lone(end) && claim(end) {
            end += 1;
        }
        while !alone && begin > 0 && !lone(begin - 1) && claim(begin - 1) {
            begin -= 1;
        }
        frames.copy_within(begin..end, 0);
        let run = Run {
            first: base + begin as u32,
            count: end - begin,
            frames,
        };
        let count = run.count;
        let io = self.make_put(object, run, true);
        drop(guard);
        self.start_put(vnode, io);
        count
    }

    /// The page at an index of an object, which is locked, if it is dirty.
    fn dirty_page(&self, object: Ptr<ObjectBody<M>>, index: u32) -> Option<Ptr<Page>> {
        if !object.has_page(index) {
            return None;
        }
        let page = object.amap.get()?.anon(index)?.page.get()?;
        (page.test_flags(DIRTY) != 0).then_some(page)
    }
}
