//! What the compressor counts.

use crate::machine::Machine;
use crate::pager::compress::store::Store;
use crate::sync::Field;

/// What is in the compressor, and what it did so far. `entries` pages take `frames` frames; data
/// alone was made `bytes / ((entries - same) * PAGE_SIZE)` of its size.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CompressorStats {
    /// Pages that are stored.
    pub entries: u64,
    /// Of these, pages of one repeated word, which take no room but that of the word.
    pub same: u64,
    /// Bytes of compressed data.
    pub bytes: u64,
    /// Frames that all of it takes.
    pub frames: u64,
    /// Pages that were stored, ever.
    pub stored: u64,
    /// Pages that did not become small enough, ever.
    pub incompressible: u64,
    /// Pages that were moved on to a swap device, ever.
    pub spilled: u64,
}

/// The counters; the lock of the compressor protects them.
pub(super) struct Counts {
    same: Field<u64>,
    bytes: Field<u64>,
    stored: Field<u64>,
    incompressible: Field<u64>,
    spilled: Field<u64>,
}

impl Counts {
    pub fn new() -> Counts {
        Counts {
            same: Field::new(0),
            bytes: Field::new(0),
            stored: Field::new(0),
            incompressible: Field::new(0),
            spilled: Field::new(0),
        }
    }

    /// A page was stored, in so many bytes; 0 for one of a repeated word.
    pub fn added(&self, len: usize) {
        self.stored.set(self.stored.get() + 1);
        self.bytes.set(self.bytes.get() + len as u64);
        self.same.set(self.same.get() + u64::from(len == 0));
    }

    /// An entry of so many bytes has ended.
    pub fn removed(&self, len: usize) {
        self.bytes.set(self.bytes.get() - len as u64);
        self.same.set(self.same.get() - u64::from(len == 0));
    }

    /// A page did not become small enough.
    pub fn refused(&self) {
        self.incompressible.set(self.incompressible.get() + 1);
    }

    /// A page has moved on.
    pub fn spilled(&self) {
        self.spilled.set(self.spilled.get() + 1);
    }
}

impl<M: Machine> Store<M> {
    pub(super) fn stats(&self) -> CompressorStats {
        let counts = &self.counts;
        CompressorStats {
            entries: self.entries.count(),
            same: counts.same.get(),
            bytes: counts.bytes.get(),
            frames: self.frames(),
            stored: counts.stored.get(),
            incompressible: counts.incompressible.get(),
            spilled: counts.spilled.get(),
        }
    }
}
