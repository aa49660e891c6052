//! Second chance: a queue whose oldest page leaves, unless it was used since it came to the end; then
//! it begins again.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use crate::addr::Frame;
use crate::kmem::Ptr;
use crate::page::{Page, Segments};
use crate::pageout::policy::Verdict;

/// In `newer` of a page that is in no queue.
const NONE: u32 = u32::MAX;
/// The end of the queue, in place of a frame's number, which is smaller.
const END: u32 = FILE - 2;
/// Set in `newer` of the pages in the queue of file pages: a frame that was freed in one queue and has
/// a page of the other kind now must be found in the right one.
const FILE: u32 = 1 << 31;

/// The queue.
pub(super) struct Clock {
    /// `FILE` or 0.
    kind: u32,
    oldest: AtomicU32,
    newest: AtomicU32,
    len: AtomicU32,
}

fn page(segments: &Segments, frame: u32) -> Option<Ptr<Page>> {
    segments.page(Frame(u64::from(frame)))
}

impl Clock {
    pub const fn new(file: bool) -> Clock {
        Clock {
            kind: if file { FILE } else { 0 },
            oldest: AtomicU32::new(END),
            newest: AtomicU32::new(END),
            len: AtomicU32::new(0),
        }
    }

    pub fn len(&self) -> u32 {
        self.len.load(Relaxed)
    }

    pub fn insert(&self, segments: &Segments, frame: u32) {
        self.remove(segments, frame);
        let newest = self.newest.load(Relaxed);
        if let Some(page) = page(segments, frame) {
            page.older.set(newest);
            page.newer.set(END | self.kind);
        }
        match page(segments, newest) {
            Some(newest) => newest.newer.set(frame | self.kind),
            None => self.oldest.store(frame, Relaxed),
        }
        self.newest.store(frame, Relaxed);
        self.len.fetch_add(1, Relaxed);
    }

    pub fn cool(&self, segments: &Segments, frame: u32) {
        self.remove(segments, frame);
        let oldest = self.oldest.load(Relaxed);
        if let Some(page) = page(segments, frame) {
            page.newer.set(oldest | self.kind);
            page.older.set(END);
        }
        match page(segments, oldest) {
            Some(oldest) => oldest.older.set(frame),
            None => self.newest.store(frame, Relaxed),
        }
        self.oldest.store(frame, Relaxed);
        self.len.fetch_add(1, Relaxed);
    }

    pub fn remove(&self, segments: &Segments, frame: u32) {
        let Some(it) = page(segments, frame) else {
            return;
        };
        let (older, newer) = (it.older.get(), it.newer.get());
        if newer == NONE || newer & FILE != self.kind {
            return;
        }
        let newer = newer & !FILE;
        match page(segments, older) {
            Some(older) => older.newer.set(newer | self.kind),
            None => self.oldest.store(newer, Relaxed),
        }
        match page(segments, newer) {
            Some(newer) => newer.older.set(older),
            None => self.newest.store(older, Relaxed),
        }
        it.older.set(NONE);
        it.newer.set(NONE);
        self.len.fetch_sub(1, Relaxed);
    }

    pub fn candidate(&self) -> Option<u32> {
        let oldest = self.oldest.load(Relaxed);
        (oldest != END).then_some(oldest)
    }

    pub fn judge(&self, segments: &Segments, frame: u32, used: bool) -> Verdict {
        if used {
            self.insert(segments, frame);
            Verdict::Keep
        } else {
            self.remove(segments, frame);
            Verdict::Evict
        }
    }
}
