//! Lists of page descriptors, linked both ways by frame numbers.
//!
//! The lock of the list's owner protects the list and the links of all pages in it.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use super::{Page, Segments};
use crate::addr::Frame;
use crate::kmem::Ptr;

/// The frame number that ends a list.
pub(super) const NONE: u32 = u32::MAX;

/// A list of pages, which knows its length.
pub(crate) struct PageList {
    first: AtomicU32,
    len: AtomicU32,
}

impl PageList {
    pub const fn new() -> PageList {
        PageList {
            first: AtomicU32::new(NONE),
            len: AtomicU32::new(0),
        }
    }

    /// How many pages are in the list.
    pub fn len(&self) -> u32 {
        self.len.load(Relaxed)
    }

    #[inline]
    pub fn first(&self, segments: &Segments) -> Option<Ptr<Page>> {
        resolve(self.first.load(Relaxed), segments)
    }

    /// Adds a page at the front.
    #[inline]
    pub fn push(&self, page: Ptr<Page>, segments: &Segments) {
        let first = self.first.load(Relaxed);
        page.next.set(first);
        page.prev.set(NONE);
        if let Some(first) = resolve(first, segments) {
            first.prev.set(page.number());
        }
        self.first.store(page.number(), Relaxed);
        self.len.store(self.len.load(Relaxed) + 1, Relaxed);
    }

    /// Takes out a page that is in this list.
    #[inline]
    pub fn remove(&self, page: Ptr<Page>, segments: &Segments) {
        let (next, prev) = (page.next.get(), page.prev.get());
        match resolve(prev, segments) {
            Some(prev) => prev.next.set(next),
            None => self.first.store(next, Relaxed),
        }
        if let Some(next) = resolve(next, segments) {
            next.prev.set(prev);
        }
        self.len.store(self.len.load(Relaxed) - 1, Relaxed);
    }

    /// All pages, the first first.
    pub fn iter<'a>(&self, segments: &'a Segments) -> impl Iterator<Item = Ptr<Page>> + 'a {
        let mut next = self.first.load(Relaxed);
        core::iter::from_fn(move || {
            let page = resolve(next, segments)?;
            next = page.next.get();
            Some(page)
        })
    }

    /// Panics where links and length contradict each other.
    pub fn check_invariants(&self, segments: &Segments) {
        let (mut len, mut prev) = (0, NONE);
        for page in self.iter(segments) {
            assert_eq!(
                page.prev.get(),
                prev,
                "back link of frame {:#x}",
                page.number()
            );
            prev = page.number();
            len += 1;
            assert!(len <= self.len(), "a list is longer than it says");
        }
        assert_eq!(len, self.len(), "the length of a list");
    }
}

#[inline(always)]
fn resolve(number: u32, segments: &Segments) -> Option<Ptr<Page>> {
    if number == NONE {
        None
    } else {
        segments.page(Frame(u64::from(number)))
    }
}
