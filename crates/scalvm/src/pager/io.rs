//! A request to a pager.

use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
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

/// Whose pages they are.
pub(crate) enum Target<M: Machine> {
    /// Neighbours in a vnode object, which the request holds.
    Object(Ptr<ObjectBody<M>>),
    /// Whoever has them: they are neighbours only on the swap device, which has this number among
    /// the manager's and this cookie.
    Swap { device: u32, cookie: usize },
}

/// A request to bring or to put a run of pages. It is handed to the pager, which gives it back to
/// [`Vm::io_done`](crate::Vm::io_done) exactly once, when and on whichever thread it likes. If it
/// is dropped instead, the pages stay busy for ever: who keeps requests makes each a
/// [`Request`](crate::Request), for which that cannot happen.
#[must_use = "a request must be given back to Vm::io_done"]
pub struct Io<M: Machine> {
    pub(crate) target: Target<M>,
    pub(crate) direction: Direction,
    pub(crate) first: u32,
    pub(crate) count: usize,
    /// Which of the pages somebody waits for: an error is kept for them. Beyond the last for none.
    pub(crate) wanted: usize,
    pub(crate) frames: [Frame; MOST],
    pub(crate) bytes: usize,
    /// Counted among those that nobody waits for, whose number is bounded.
    pub(crate) background: bool,
}

impl<M: Machine> Io<M> {
    /// The cookie with which the object was made, or the swap device was added.
    pub fn cookie(&self) -> usize {
        match self.target {
            Target::Object(object) => object.cookie.get(),
            Target::Swap { cookie, .. } => cookie,
        }
    }

    /// The number of the first page in the object, or on the swap device: its offset divided by the
    /// page size.
    pub fn index(&self) -> u64 {
        u64::from(self.first)
    }

    /// The frames of the pages, which follow each other in the object or on the swap device. Whoever
    /// serves the request may read or write them through the machine's direct map until it is done.
    pub fn frames(&self) -> &[Frame] {
        &self.frames[..self.count]
    }

    /// How many bytes of them lie within the object: less than all where the last page is the
    /// object's last, all on a swap device. A pager that brings pages need not care, the rest is filled with zeros when
    /// it is done.
    pub fn len_bytes(&self) -> usize {
        self.bytes
    }

    /// A request for pages that follow each other in an object, for which it has been retained. The
    /// caller has marked each page and holds it.
    pub(super) fn for_object(
        object: Ptr<ObjectBody<M>>,
        direction: Direction,
        first: u32,
        count: usize,
        wanted: usize,
        frames: [Frame; MOST],
    ) -> Io<M> {
        let begin = u64::from(first) << PAGE_SHIFT;
        let bytes = (object.size.get() - begin).min((count * PAGE_SIZE) as u64) as usize;
        Io {
            target: Target::Object(object),
            direction,
            first,
            count,
            wanted,
            frames,
            bytes,
            background: false,
        }
    }

    /// A request for pages, all whole, that follow each other on a swap device from `first` on. The
    /// caller has marked each page and holds it: [`Vm::io_done`](crate::Vm::io_done) lets go of it.
    /// No more than [`MOST`] are taken.
    pub(crate) fn for_swap(
        direction: Direction,
        device: u32,
        cookie: usize,
        first: u32,
        pages: &[Frame],
    ) -> Io<M> {
        debug_assert!(!pages.is_empty() && pages.len() <= MOST);
        let count = pages.len().min(MOST);
        let mut frames = [Frame::NONE; MOST];
        frames[..count].copy_from_slice(&pages[..count]);
        Io {
            target: Target::Swap { device, cookie },
            direction,
            first,
            count,
            wanted: 0,
            frames,
            bytes: count * PAGE_SIZE,
            background: false,
        }
    }

    /// Of so many bytes in all, those that lie in page `i` of the request.
    pub(crate) fn valid(&self, bytes: usize, i: usize) -> usize {
        bytes.saturating_sub(i * PAGE_SIZE).min(PAGE_SIZE)
    }
}
