//! A request to a pager.

use crate::addr::{Frame, PAGE_SIZE};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::ObjectBody;

/// The most pages in one request.
pub(crate) const MOST: usize = 16;

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    In,
    Out,
}

/// A request to bring or to put a run of pages. It is handed to the pager, which gives it back to
/// [`Vm::io_done`](crate::Vm::io_done) exactly once, when and on whichever thread it likes. If it
/// is dropped instead, the pages stay busy for ever.
#[must_use = "a request must be given back to Vm::io_done"]
pub struct Io<M: Machine> {
    /// The request holds the object.
    pub(crate) object: Ptr<ObjectBody<M>>,
    pub(crate) direction: Direction,
    pub(crate) first: u32,
    pub(crate) count: usize,
    /// Which of the pages somebody waits for: an error is kept for them.
    pub(crate) wanted: usize,
    pub(crate) frames: [Frame; MOST],
    pub(crate) bytes: usize,
}

impl<M: Machine> Io<M> {
    /// The cookie with which the object was made.
    pub fn cookie(&self) -> usize {
        self.object.cookie.get()
    }

    /// The number of the first page in the object: its offset divided by the page size.
    pub fn index(&self) -> u64 {
        u64::from(self.first)
    }

    /// The frames of the pages, which follow each other in the object. Whoever serves the request
    /// may read or write them through the machine's direct map until it is done.
    pub fn frames(&self) -> &[Frame] {
        &self.frames[..self.count]
    }

    /// How many bytes of them lie within the object: less than all where the last page is the
    /// object's last. A pager that brings pages need not care, the rest is filled with zeros when
    /// it is done.
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// Of so many bytes in all, those that lie in page `i` of the request.
    pub(crate) fn valid(&self, bytes: usize, i: usize) -> usize {
        bytes.saturating_sub(i * PAGE_SIZE).min(PAGE_SIZE)
    }
}
