//! What is known of one piece.

use core::panic::Location;
use core::ptr::NonNull;

use crate::kmem::{Piece, Ptr};
use crate::sync::Field;

/// A piece in use or in quarantine.
pub(crate) struct Record {
    /// What was given out.
    pub memory: NonNull<u8>,
    /// Bytes that were asked for.
    pub size: usize,
    /// And their alignment.
    pub align: usize,
    /// Bytes before `memory` that are the piece's.
    pub front: usize,
    /// What the heap gave.
    pub piece: Piece,
    /// The number of its type, or that of the orphans if that is gone.
    pub number: Field<usize>,
    /// Where it was allocated.
    pub allocated: &'static Location<'static>,
    /// Where it was freed; null while it is in use. A `&'static Location` else.
    pub freed: Field<Option<Ptr<Location<'static>>>>,
    /// The next in the chain.
    pub next: Field<Option<Ptr<Record>>>,
    /// The next in quarantine.
    pub behind: Field<Option<Ptr<Record>>>,
}

// SAFETY: names memory, which who has the record may use, on any thread.
unsafe impl Send for Record {}
// SAFETY: what changes are fields; the rest is read.
unsafe impl Sync for Record {}

impl Record {
    /// Where it was freed.
    pub fn freed_at(&self) -> Option<&'static Location<'static>> {
        self.freed.get().map(Ptr::target)
    }

    /// It was freed there.
    pub fn set_freed(&self, site: &'static Location<'static>) {
        // SAFETY: a static is never freed.
        let site = unsafe { Ptr::new(NonNull::from(site)) };
        self.freed.set(Some(site));
    }

    /// Whether the piece is in use.
    pub fn is_in_use(&self) -> bool {
        self.freed.get().is_none()
    }

    /// Where the heap's piece begins.
    pub fn base(&self) -> NonNull<u8> {
        // SAFETY: `front` bytes before it the piece begins.
        unsafe { self.memory.sub(self.front) }
    }
}
