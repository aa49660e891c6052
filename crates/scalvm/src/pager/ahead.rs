//! Reading ahead: requests that nobody waits for.
//!
//! Pages brought ahead carry `AHEAD` until their first use, through a page table as far as anyone
//! finds out. Where that use pulls a trigger (see `tracks`), what it asks for is noted with the
//! object, and whoever used the page starts it when it has let go of its locks ([`Ahead`]).
//!
//! Reading ahead never waits for memory nor takes the last of it: it is given up silently.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Frame, PAGE_SHIFT};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, Object, ObjectBody, ObjectGuard};
use crate::page::{AHEAD, Page};
use crate::pager::io::{Direction, Io, MOST};
use crate::pager::stream::Stream;
use crate::pager::tracks::{Span, Tracks};
use crate::pager::{Backing, Return};
use crate::request::Advice;
use crate::stats::Event;
use crate::vm::Vm;

/// What is brought for a miss in an object whose accesses cannot be followed, as memory is short.
const UNKNOWN: u32 = 4;

/// One frame of so many is left free by reading ahead where nothing leaves memory (arbitrary).
const LEFT_FREE: u64 = 32;

/// Pages to be read ahead once no lock is held. It holds the object.
#[must_use]
pub(crate) struct Ahead<M: Machine> {
    object: Ptr<ObjectBody<M>>,
    span: Span,
}

impl<M: Machine> Ahead<M> {
    /// The same pages, of an object that is locked.
    pub(super) fn new(object: Ptr<ObjectBody<M>>, span: Span) -> Ahead<M> {
        object.retain();
        Ahead { object, span }
    }

    /// Starts it; no lock is held.
    #[cold]
    pub fn start(self, vm: &Vm<M>) {
        vm.read_span(self.object, self.span);
        vm.release_object(self.object);
    }
}

impl<M: Machine> Vm<M> {
    /// What to read for a page of a vnode object, which is locked and lacks it.
    pub(super) fn plan(&self, object: Ptr<ObjectBody<M>>, index: u32, advice: Advice) -> Span {
        let alone = |count| Span {
            first: index,
            count,
        };
        if advice == Advice::Random {
            return alone(1);
        }
        if object.tracks.get().is_none() {
            let (machine, frames) = (&self.machine, &self.frames);
            let tracks = self.tracks.alloc_with(machine, frames, Tracks::new);
            object.tracks.set(tracks.ok());
        }
        let tracks = object.tracks.get();
        tracks.map_or(alone(UNKNOWN), |tracks| tracks.miss(index, advice))
    }

    /// Notes that a page which was brought ahead has been found by whoever needs it. The object is
    /// locked.
    #[cold]
    pub(crate) fn use_ahead(&self, object: Ptr<ObjectBody<M>>, index: u32, page: &Page) {
        self.ahead_used(page);
        self.await_ahead(object, index);
    }

    /// Notes that somebody waits for a page which is being brought ahead. The object is locked.
    pub(crate) fn await_ahead(&self, object: Ptr<ObjectBody<M>>, index: u32) {
        if let Some(tracks) = object.tracks.get() {
            tracks.used(index);
        }
    }

    /// Notes that a page which was brought ahead is used.
    #[cold]
    pub(crate) fn ahead_used(&self, page: &Page) {
        if page.clear_flags(AHEAD) & AHEAD != 0 {
            self.count(Event::AheadHit);
        }
    }

    /// Whether the first use of a page that was brought ahead must be seen, and so the page not be
    /// entered in page tables before. The object is locked.
    pub(crate) fn is_trigger(&self, object: Ptr<ObjectBody<M>>, index: u32, page: &Page) -> bool {
        page.test_flags(AHEAD) != 0
            && object
                .tracks
                .get()
                .is_some_and(|tracks| tracks.is_trigger(index))
    }

    /// What the pages that were found just now ask for. The object is locked by the guard.
    #[inline]
    pub(crate) fn take_ahead(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
    ) -> Option<Ahead<M>> {
        guard.covers(object);
        let span = object.tracks.get()?.take_pending()?;
        Some(Ahead::new(object, span))
    }

    /// Starts to read what is lacking of some pages, in clusters.
    pub(super) fn read_span(&self, object: Ptr<ObjectBody<M>>, span: Span) {
        let Kind::Vnode(vnode) = object.kind else {
            return;
        };
        let last = span.first.saturating_add(span.count - 1);
        let cluster = vnode.cluster().clamp(1, MOST);
        let mut at = Some(span.first);
        while let Some(from) = at.filter(|from| *from <= last)
            && let Some(io) = self.next_ahead(object, from, last, cluster)
        {
            at = io.first.checked_add(io.count as u32);
            self.start_bring(vnode, io);
        }
    }

    /// A request for the first run of pages at or above `from` that the object lacks.
    fn next_ahead(
        &self,
        object: Ptr<ObjectBody<M>>,
        from: u32,
        last: u32,
        cluster: usize,
    ) -> Option<Io<M>> {
        let guard = object.lock(self);
        let end = object.pages().min(u64::from(last) + 1);
        let amap = object.amap.get()?;
        let first = (from..=last)
            .take_while(|index| u64::from(*index) < end)
            .find(|index| amap.anon(*index).is_none())?;
        let mut frames = [Frame::NONE; MOST];
        let room = cluster.min((end - u64::from(first)) as usize);
        let count = self.bring_ahead(&guard, object, first, &mut frames[..room]);
        (count > 0).then(|| self.make_bring(object, first, count, MOST, frames))
    }

    /// Makes busy pages from `first` on, for as many frames, up to the first that is there; how
    /// many.
    pub(super) fn bring_ahead(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        frames: &mut [Frame],
    ) -> usize {
        guard.covers(object);
        let mut count = 0;
        let room = self.room_ahead();
        for (i, frame) in frames.iter_mut().enumerate().take(room as usize) {
            let index = first + i as u32;
            let amap = object.amap.get();
            if amap.is_none_or(|amap| amap.anon(index).is_some()) {
                break;
            }
            let Ok(page) = self.insert_busy(object, index) else {
                break;
            };
            page.set_flags(AHEAD);
            page.holds().fetch_add(1, Relaxed);
            *frame = page.frame();
            count += 1;
        }
        self.counters
            .add(self.machine.cpu(), Event::Ahead, count as u64);
        count
    }

    /// How many frames may be taken for what is read ahead.
    fn room_ahead(&self) -> u64 {
        // Between the marks the page daemon makes room for it as for all else.
        let left = match self.frames.low() {
            0 => self.frames.total() / LEFT_FREE,
            low => low / 2,
        };
        self.frames.free_count().saturating_sub(left)
    }

    /// Begins to bring what an object shows from index `first` to `last` and is not in memory.
    pub(crate) fn bring_range(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        let count = last.saturating_sub(first).saturating_add(1);
        let below = object.under.unwrap_or(object);
        self.read_span(below, Span { first, count });
        self.return_range(object, first, last);
        if let Some(below) = object.under {
            self.return_range(below, first, last);
        }
    }

    /// Begins to bring back what was put back of an object's own pages.
    fn return_range(&self, object: Ptr<ObjectBody<M>>, first: u32, last: u32) {
        let mut at = Some(first);
        while let Some(from) = at.filter(|from| *from <= last && self.room_ahead() > 0) {
            let guard = object.lock(self);
            let mut away = None;
            if let Some(amap) = object.amap.get() {
                amap.any(from, last, |index, anon| {
                    let is_away = anon.page.get().is_none()
                        && !matches!(anon.backing(), Backing::None | Backing::Zeros);
                    away = is_away.then_some((index, anon));
                    is_away
                });
            }
            let Some((index, anon)) = away else {
                return;
            };
            at = index.checked_add(1);
            match self.begin_return(&guard, object, anon, index) {
                Ok(Return::Read(read)) => {
                    drop(guard);
                    read.start(self);
                }
                Ok(Return::Here | Return::Wait(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// A request for a run of pages, which are busy and held. The object is locked. Of an error the
    /// page `wanted` is told; beyond the last for none.
    pub(super) fn make_bring(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        count: usize,
        wanted: usize,
        frames: [Frame; MOST],
    ) -> Io<M> {
        object.retain();
        Io::for_object(object, Direction::In, first, count, wanted, frames)
    }
}

impl<M: Machine> Object<'_, M> {
    /// Starts to read `count` pages from `index` on that a reader is about to
    /// [`hold`](Object::hold), and some ahead, if it reads the file from front to back. Does
    /// nothing for objects without a pager. Does not wait, as long as the [`Pager`](crate::Pager)
    /// does not; gives up silently when memory is short.
    pub fn read_ahead(&self, stream: &mut Stream, index: u64, count: u64) {
        if let Some(span) = stream.access(index, count) {
            self.vm.read_span(self.body, span);
        }
    }

    /// Starts to read a range of bytes that will be needed soon, as `posix_fadvise` and `madvise`
    /// advise. Does not wait, as long as the [`Pager`](crate::Pager) does not; gives up silently
    /// when memory is short.
    pub fn will_need(&self, offset: u64, len: u64) {
        let end = offset.saturating_add(len).min(self.size());
        if offset >= end {
            return;
        }
        let first = (offset >> PAGE_SHIFT) as u32;
        let last = ((end - 1) >> PAGE_SHIFT) as u32;
        let count = (last - first).saturating_add(1);
        self.vm.read_span(self.body, Span { first, count });
    }
}
