//! [`Ring`]: the bytes of a pipe.
//!
//! Pages are taken when bytes come to lie in them and given back when the last byte has left, but
//! for one: a pipe that passes small messages uses the same page again and again.
//!
//! Invariants: `len <= CAPACITY`; the `len` bytes from `start` on lie in pages that are there; when
//! the ring is empty, `start` is 0.

use core::mem::MaybeUninit;
use core::ptr;

use scalvm::{PAGE_SIZE, malloc_type};
use scalvm_alloc::{KBox, typed_alloc};

use crate::linux::Errno;
use crate::mm::VM;

malloc_type!(M_PIPE, "pipe", "bytes in pipes");
typed_alloc!(PipeMemory, VM, M_PIPE);

/// Where bytes lie; what has not been produced yet is nothing.
type Page = KBox<MaybeUninit<[u8; PAGE_SIZE]>, PipeMemory>;

const PAGES: usize = 16;
/// The most bytes in a ring: what Linux's pipes hold.
pub const CAPACITY: usize = PAGES * PAGE_SIZE;

/// A ring of bytes.
pub struct Ring {
    start: usize,
    len: usize,
    pages: [Option<Page>; PAGES],
}

impl Ring {
    /// No bytes, no pages.
    pub const fn new() -> Ring {
        Ring {
            start: 0,
            len: 0,
            pages: [const { None }; PAGES],
        }
    }

    /// The bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first bytes that lie one behind the other: where, and how many. They stay until they are
    /// consumed.
    pub fn front(&self) -> (*const u8, usize) {
        let offset = self.start % PAGE_SIZE;
        match &self.pages[self.start / PAGE_SIZE] {
            Some(page) if self.len > 0 => {
                let base = page.as_ptr().cast::<u8>();
                (base.wrapping_add(offset), self.len.min(PAGE_SIZE - offset))
            }
            _ => (ptr::dangling(), 0),
        }
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
        let room = (CAPACITY - self.len).min(PAGE_SIZE - offset);
        let page = match &mut self.pages[end / PAGE_SIZE] {
            Some(page) => page,
            none => {
                let page = KBox::try_new_with(PipeMemory, MaybeUninit::uninit);
                none.insert(page.map_err(|_| Errno::ENOMEM)?)
            }
        };
        let base = page.as_mut_ptr().cast::<u8>();
        Ok((base.wrapping_add(offset), room))
    }

    /// Appends the `count` bytes that were written where [`back`](Ring::back) said.
    pub fn produce(&mut self, count: usize) {
        self.len += count;
    }

    /// Drops all bytes and pages.
    pub fn clear(&mut self) {
        *self = Ring::new();
    }

    /// The last byte has left this page: it goes, but the first page stays.
    fn release(&mut self, page: usize) {
        if page != 0 {
            self.pages[page] = None;
        }
    }
}
