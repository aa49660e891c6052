//! [`Ring`]: the bytes of a pipe.
//!
//! Pages are taken when bytes come to lie in them and given back when the last byte has left, but
//! for one: a pipe that passes small messages uses the same page again and again.
//!
//! Invariants: `len <= CAPACITY`; the `len` bytes from `start` on lie in pages that are there; when
//! the ring is empty, `start` is 0.

use core::ptr;

use scalvm::{Frame, FrameLimits, Machine, PAGE_SIZE};

use crate::linux::Errno;
use crate::mm::VM;

const PAGES: usize = 16;
/// The most bytes in a ring: what Linux's pipes hold.
pub const CAPACITY: usize = PAGES * PAGE_SIZE;

/// A ring of bytes.
pub struct Ring {
    start: usize,
    len: usize,
    pages: [Frame; PAGES],
}

impl Ring {
    /// No bytes, no pages.
    pub const fn new() -> Ring {
        Ring {
            start: 0,
            len: 0,
            pages: [Frame::NONE; PAGES],
        }
    }

    /// The bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first bytes that lie one behind the other: where, and how many. They stay until they are
    /// consumed.
    pub fn front(&self) -> (*const u8, usize) {
        if self.len == 0 {
            return (ptr::dangling(), 0);
        }
        let offset = self.start % PAGE_SIZE;
        let base = VM.machine().frame_ptr(self.pages[self.start / PAGE_SIZE]);
        (base.wrapping_add(offset), self.len.min(PAGE_SIZE - offset))
    }

    /// Takes the first `count` bytes away.
    pub fn consume(&mut self, count: usize) {
        let page = self.start / PAGE_SIZE;
        self.len -= count;
        if self.len == 0 {
            self.start = 0;
            self.release(page);
            return;
        }
        self.start = (self.start + count) % CAPACITY;
        // Of a ring that is nearly full the last bytes may lie in the page that the first ones left.
        if self.start / PAGE_SIZE != page && self.len <= CAPACITY - PAGE_SIZE {
            self.release(page);
        }
    }

    /// The first free bytes that lie one behind the other: where, and how many. They stay free until
    /// they are produced. ENOMEM if there is no page.
    pub fn back(&mut self) -> Result<(*mut u8, usize), Errno> {
        let end = (self.start + self.len) % CAPACITY;
        let offset = end % PAGE_SIZE;
        let page = &mut self.pages[end / PAGE_SIZE];
        if !page.is_some() {
            *page = VM
                .alloc_frames(1, &FrameLimits::NONE)
                .map_err(|_| Errno::ENOMEM)?;
        }
        let room = (CAPACITY - self.len).min(PAGE_SIZE - offset);
        Ok((VM.machine().frame_ptr(*page).wrapping_add(offset), room))
    }

    /// Appends the `count` bytes that were written where [`back`](Ring::back) said.
    pub fn produce(&mut self, count: usize) {
        self.len += count;
    }

    /// Drops all bytes and pages.
    pub fn clear(&mut self) {
        self.start = 0;
        self.len = 0;
        for page in 0..PAGES {
            self.free(page);
        }
    }

    /// The last byte has left this page: it goes, but the first page stays.
    fn release(&mut self, page: usize) {
        if page != 0 {
            self.free(page);
        }
    }

    fn free(&mut self, page: usize) {
        let frame = core::mem::replace(&mut self.pages[page], Frame::NONE);
        if frame.is_some() {
            // SAFETY: it came from alloc_frames(1), and with no byte in it nobody looks there.
            unsafe { VM.free_frames(frame, 1) };
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.clear();
    }
}
