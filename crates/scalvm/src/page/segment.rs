//! Segments: the ranges of frames that the manager was given, each with its page descriptors.
//!
//! The descriptors lie in the segment's first frames, which nobody else sees: a segment's *usable*
//! frames are those behind them. So between the usable frames of two segments there is always a
//! frame that is never free, and no block can be joined across.
//!
//! Segments are only ever added. Looking one up takes no lock: an entry is found once `len` is set,
//! last of all. The caller of `reserve` holds the lock of the free lists.
//!
//! 1. The ranges of reserved segments are disjoint.
//! 2. Once `len` is not zero, no word of the entry changes, and `pages` points to `len` descriptors
//!    of the frames from `first` on, whose bytes begin at `base`.

use core::mem::size_of;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

use super::Page;
use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::error::SegmentError;
use crate::kmem::Ptr;
use crate::machine::Machine;

/// The most segments.
const MAX_SEGMENTS: usize = 16;

/// The first frame that is too high: numbers of frames are 31 bits wide, so that the replacement
/// policies can number pages that were evicted in the same 32-bit words.
const FRAME_LIMIT: u64 = 1 << 31;

/// Descriptors in one frame.
const PAGES_PER_FRAME: u64 = (PAGE_SIZE / size_of::<Page>()) as u64;

/// All segments, in the order in which they came.
pub(crate) struct Segments {
    slots: [Segment; MAX_SEGMENTS],
    /// Reserved segments; those that are not ready yet have no `len`.
    count: AtomicUsize,
}

/// A range of frames and its descriptors.
pub(super) struct Segment {
    /// The first usable frame.
    first: AtomicU64,
    /// Usable frames.
    len: AtomicU64,
    pages: AtomicPtr<Page>,
    /// The address of the first usable frame's bytes.
    base: AtomicUsize,
    /// The whole range, with the descriptors' frames.
    start: AtomicU64,
    end: AtomicU64,
}

impl Segments {
    pub const fn new() -> Segments {
        Segments {
            slots: [const { Segment::new() }; MAX_SEGMENTS],
            count: AtomicUsize::new(0),
        }
    }

    /// The descriptor of a usable frame. Quickest for the segment that was added first.
    #[inline(always)]
    pub fn page(&self, frame: Frame) -> Option<Ptr<Page>> {
        match self.slots[0].page(frame) {
            None => self.find(|segment| segment.page(frame)),
            page => page,
        }
    }

    /// The descriptor of the usable frame to whose bytes `address` points, through the direct map.
    #[inline(always)]
    pub fn page_at(&self, address: usize) -> Option<Ptr<Page>> {
        match self.slots[0].page_at(address) {
            None => self.find(|segment| segment.page_at(address)),
            page => page,
        }
    }

    /// The same where the segment that was added first has the frame: calls nothing.
    #[inline(always)]
    pub fn page_at_quickly(&self, address: usize) -> Option<Ptr<Page>> {
        self.slots[0].page_at(address)
    }

    /// The descriptor of the frame that lies `n` frames after this one.
    ///
    /// # Safety
    ///
    /// That is a usable frame of the same segment.
    #[inline(always)]
    pub(super) unsafe fn after(page: Ptr<Page>, n: usize) -> Ptr<Page> {
        // SAFETY: a segment's descriptors lie in a row (invariant 2).
        unsafe { Ptr::new(page.as_non_null().add(n)) }
    }

    #[cold]
    fn find(&self, look: impl Fn(&Segment) -> Option<Ptr<Page>>) -> Option<Ptr<Page>> {
        self.ready().skip(1).find_map(look)
    }

    /// All reserved segments; those that are not ready yet have no usable frames.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Segment> {
        self.slots[..self.count.load(Acquire)].iter()
    }

    /// Whether any frame from `start` to `end`, exclusive, lies in a segment.
    pub fn have_any(&self, start: Frame, end: Frame) -> bool {
        self.ready()
            .any(|other| start.0 < other.end.load(Relaxed) && other.start.load(Relaxed) < end.0)
    }

    /// Usable frames of all segments.
    #[inline]
    pub fn total(&self) -> u64 {
        self.ready().map(|segment| segment.len.load(Relaxed)).sum()
    }

    /// Calls `f` for every descriptor: for checks.
    pub fn for_each(&self, f: impl FnMut(Ptr<Page>)) {
        self.ready().flat_map(|segment| segment.pages()).for_each(f);
    }

    /// Takes an entry for a range of frames that is good as a segment. The lock of the free lists
    /// is held.
    pub(super) fn reserve(&self, start: Frame, end: Frame) -> Result<&Segment, SegmentError> {
        if end.0 > FRAME_LIMIT {
            return Err(SegmentError::TooHigh);
        }
        if start.0 >= end.0 || usable(end.0 - start.0) == 0 {
            return Err(SegmentError::TooSmall);
        }
        if self.have_any(start, end) {
            return Err(SegmentError::Overlap);
        }
        let count = self.count.load(Relaxed);
        let segment = self.slots.get(count).ok_or(SegmentError::TooMany)?;
        segment.start.store(start.0, Relaxed);
        segment.end.store(end.0, Relaxed);
        self.count.store(count + 1, Release);
        Ok(segment)
    }
}

impl Segment {
    const fn new() -> Segment {
        Segment {
            first: AtomicU64::new(0),
            len: AtomicU64::new(0),
            pages: AtomicPtr::new(core::ptr::null_mut()),
            base: AtomicUsize::new(0),
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn page(&self, frame: Frame) -> Option<Ptr<Page>> {
        let len = self.len.load(Acquire);
        let index = frame.0.wrapping_sub(self.first.load(Relaxed));
        // SAFETY: invariant 2: one of the descriptors, which live as long as the manager.
        (index < len).then(|| unsafe { self.descriptor(index) })
    }

    #[inline(always)]
    fn page_at(&self, address: usize) -> Option<Ptr<Page>> {
        let len = self.len.load(Acquire);
        let index = (address.wrapping_sub(self.base.load(Relaxed)) >> PAGE_SHIFT) as u64;
        // SAFETY: as in `page`.
        (index < len).then(|| unsafe { self.descriptor(index) })
    }

    /// # Safety
    ///
    /// `index < len`, and `len` was loaded with Acquire.
    #[inline(always)]
    unsafe fn descriptor(&self, index: u64) -> Ptr<Page> {
        // SAFETY: within the array by the caller's word; `pages` is not null once `len` is set.
        unsafe {
            Ptr::new(core::ptr::NonNull::new_unchecked(
                self.pages.load(Relaxed).add(index as usize),
            ))
        }
    }

    /// All usable frames.
    pub(super) fn pages(&self) -> impl Iterator<Item = Ptr<Page>> + '_ {
        // SAFETY: below `len`.
        (0..self.len.load(Acquire)).map(|index| unsafe { self.descriptor(index) })
    }

    /// Writes the descriptors of a reserved segment and lets it be found. Gives its usable frames:
    /// the first, and the end.
    ///
    /// # Safety
    ///
    /// Nobody else uses the frames. Called once for each segment.
    pub(super) unsafe fn publish<M: Machine>(&self, machine: &M) -> (Frame, Frame) {
        let (start, end) = (self.start.load(Relaxed), self.end.load(Relaxed));
        let len = usable(end - start);
        let first = end - len;
        let pages = machine.frame_ptr(Frame(start)).cast::<Page>();
        for index in 0..len {
            // SAFETY: the frames from `start` to `first` hold `len` descriptors (see `usable`), are
            // one piece in the direct map (the machine's duty 1) and ours alone.
            unsafe {
                pages
                    .add(index as usize)
                    .write(Page::new((first + index) as u32))
            };
        }
        self.first.store(first, Relaxed);
        self.pages.store(pages, Relaxed);
        self.base
            .store(machine.frame_ptr(Frame(first)).addr(), Relaxed);
        self.len.store(len, Release);
        (Frame(first), Frame(end))
    }
}

/// How many of `frames` frames are left when the descriptors of those are taken from them.
const fn usable(frames: u64) -> u64 {
    frames - frames.div_ceil(PAGES_PER_FRAME + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_fit_before_usable_frames() {
        for frames in 1..100_000 {
            let len = usable(frames);
            assert!(len.div_ceil(PAGES_PER_FRAME) <= frames - len);
            assert!(
                frames - len <= len / PAGES_PER_FRAME + 1,
                "a frame is wasted"
            );
        }
        assert_eq!(usable(1), 0);
        assert_eq!(usable(2), 1);
        assert_eq!(usable(103), 102);
    }
}
