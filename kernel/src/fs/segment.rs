//! [`Segment`]: bytes on their way through a stream, in one page: the kernel's own, or one that is lent.
//!
//! Streams move segments, not bytes, where they can: from a file's or a program's page into a pipe, from pipe to
//! pipe. A lent page keeps its bytes, whatever becomes of where it came from.

use core::mem::MaybeUninit;

use scalvm::{PAGE_SIZE, malloc_type};
use scalvm_alloc::{KBox, typed_alloc};

use crate::linux::Errno;
use crate::mm::{Loan, VM};

malloc_type!(M_PIPE, "pipe", "bytes in pipes");
typed_alloc!(pub PipeMemory, VM, M_PIPE);

/// Where bytes lie; what has not been written yet is nothing.
pub type Page = KBox<MaybeUninit<[u8; PAGE_SIZE]>, PipeMemory>;

/// A page of the kernel's own. ENOMEM if there is none.
pub fn new_page() -> Result<Page, Errno> {
    KBox::try_new_with(PipeMemory, MaybeUninit::uninit).map_err(|_| Errno::ENOMEM)
}

enum Memory {
    Own(Page),
    Lent(Loan),
}

/// Bytes in one page.
pub struct Segment {
    memory: Memory,
    start: usize,
    len: usize,
}

impl Segment {
    /// No bytes yet, but room for a page of them.
    pub fn empty(page: Page) -> Segment {
        Segment {
            memory: Memory::Own(page),
            start: 0,
            len: 0,
        }
    }

    /// Bytes of a page that is lent.
    pub fn lent(loan: Loan, start: usize, len: usize) -> Segment {
        debug_assert!(start + len <= PAGE_SIZE);
        Segment {
            memory: Memory::Lent(loan),
            start,
            len,
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where they are. They stay as long as the segment does and they are not consumed.
    pub fn as_ptr(&self) -> *const u8 {
        let page = match &self.memory {
            Memory::Own(page) => page.as_ptr().cast::<u8>(),
            Memory::Lent(loan) => loan.as_ptr(),
        };
        page.wrapping_add(self.start)
    }

    /// How many bytes may be added.
    pub fn room(&self) -> usize {
        match self.memory {
            Memory::Own(_) => PAGE_SIZE - self.start - self.len,
            Memory::Lent(_) => 0,
        }
    }

    /// Where they go to; none for a page that is lent.
    pub fn end(&mut self) -> Option<*mut u8> {
        match &mut self.memory {
            Memory::Own(page) => {
                let page = page.as_mut_ptr().cast::<u8>();
                Some(page.wrapping_add(self.start + self.len))
            }
            Memory::Lent(_) => None,
        }
    }

    /// So many bytes were written there.
    pub fn grow(&mut self, count: usize) {
        debug_assert!(count <= self.room());
        self.len += count;
    }

    /// Takes the first bytes away.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        self.start += count;
        self.len -= count;
    }

    /// A segment with the first bytes of this one, at most `count`: of a lent page the same page, else a copy.
    pub fn duplicate(&self, count: usize) -> Result<Segment, Errno> {
        let len = self.len.min(count);
        match &self.memory {
            Memory::Lent(loan) => Ok(Segment::lent(loan.clone(), self.start, len)),
            Memory::Own(_) => {
                let mut copy = Segment::empty(new_page()?);
                if let Some(to) = copy.end() {
                    // SAFETY: both are pages of the kernel's own, of which `len` bytes at these places are ours.
                    unsafe { core::ptr::copy_nonoverlapping(self.as_ptr(), to, len) };
                    copy.grow(len);
                }
                Ok(copy)
            }
        }
    }

    /// The page, to be used again; none if it is not the kernel's own.
    pub fn into_page(self) -> Option<Page> {
        match self.memory {
            Memory::Own(page) => Some(page),
            Memory::Lent(_) => None,
        }
    }
}
