//! Freed pieces that are not used again yet, from the oldest to the youngest.

use super::record::Record;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::sync::{Field, SpinGuard};

/// So many pieces are kept, however large they are: what was freed just now is most likely to be
/// freed again (arbitrary).
pub(super) const LEAST: usize = 16;

/// A queue; the lock of the watch protects it.
pub(crate) struct Quarantine {
    first: Field<Option<Ptr<Record>>>,
    last: Field<Option<Ptr<Record>>>,
    count: Field<usize>,
    bytes: Field<usize>,
}

impl Quarantine {
    /// Empty.
    pub fn new() -> Quarantine {
        Quarantine {
            first: Field::new(None),
            last: Field::new(None),
            count: Field::new(0),
            bytes: Field::new(0),
        }
    }

    /// Pieces in it, and their bytes.
    pub fn size(&self) -> (usize, usize) {
        (self.count.get(), self.bytes.get())
    }

    /// A piece has been freed.
    pub fn push<M: Machine>(&self, record: Ptr<Record>, _held: &SpinGuard<'_, M>) {
        record.behind.set(None);
        match self.last.get() {
            Some(last) => last.behind.set(Some(record)),
            None => self.first.set(Some(record)),
        }
        self.last.set(Some(record));
        self.count.set(self.count.get() + 1);
        self.bytes.set(self.bytes.get() + record.piece.bytes);
    }

    /// The oldest piece, if there are more than `least` of them with more than `most` bytes.
    pub fn pop<M: Machine>(
        &self,
        least: usize,
        most: usize,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Ptr<Record>> {
        if self.count.get() <= least || self.bytes.get() <= most {
            return None;
        }
        let record = self.first.get()?;
        self.first.set(record.behind.get());
        if record.behind.get().is_none() {
            self.last.set(None);
        }
        self.count.set(self.count.get() - 1);
        self.bytes.set(self.bytes.get() - record.piece.bytes);
        Some(record)
    }
}
