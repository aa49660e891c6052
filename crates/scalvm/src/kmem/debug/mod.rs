//! Debug mode: what watches over the pieces that malloc gives out, to find those who use them
//! wrongly, and who leaks.
//!
//! ```text
//!   malloc ─► zone │ bytes, filled │ zone      free ─► zones whole? poison ─► quarantine ─► poison
//!               └── record: type, size, where ──────────┘    whose type? freed before?      whole?
//! ```
//!
//! It is chosen when the kernel starts ([`Vm::set_debug`](crate::Vm::set_debug)), and off else; then
//! a load and a branch when memory is freed are all that it costs. While it is on, no processor has
//! a row of any type: so each piece goes the slow way of `malloc/`, which ends here. A piece is made
//! larger by its red zones, and what the type is charged is the larger one.
//!
//! What is wrong is told to the hook that the options name, as a [`Complaint`], with no lock held.
//! If the hook returns, a free of what is not allocated is ignored, a piece with broken zones or
//! freed under a wrong type or layout is freed under its own, and a free piece that was written to
//! is used again.
//!
//! A piece that is freed stays in quarantine until more have come after it than the options allow,
//! but `LEAST` pieces at least: so long a second free of it, and writes to it, are
//! recognised. Before memory runs out the quarantine is given up.
//!
//! Invariants:
//! - **D1** each piece that is in use while the mode is on has one record in the chain of its
//!   address, and so has each in quarantine; no other piece has one.
//! - **D2** `freed` of a record is set if and only if its piece is in quarantine; `count` and `bytes`
//!   are those of the quarantine.
//! - **D3** the pieces of a type, by its state, are as many as the records in use with its number; but
//!   what came from the kernel map has guards in place of a record.
//! - **D4** no processor has a row at hand.
//!
//! Locks: one ([`Rank::Types`](crate::Rank::Types)) for the chains, the quarantine and what records
//! say. Records are allocated and freed without it.

mod check;
mod complaint;
mod leaks;
mod options;
mod quarantine;
mod record;
#[cfg(test)]
mod tests;
mod verbs;
mod watch;
mod zones;

pub use complaint::{Complaint, Wrong};
pub use options::DebugOptions;

use record::Record;
use watch::Watch;

use super::slab::RawPool;
use super::{Pool, Ptr};
use crate::sync::Field;

/// Debug mode, on or off.
pub(crate) struct Debug {
    watch: Field<Option<Ptr<Watch>>>,
    watches: Pool<Watch>,
    records: Pool<Record>,
}

impl Debug {
    /// Off.
    pub const fn new() -> Debug {
        Debug {
            watch: Field::nothing(),
            watches: Pool::new(),
            records: Pool::new(),
        }
    }

    /// The pool of what is known of pieces.
    pub fn records(&self) -> &RawPool {
        self.records.raw()
    }

    /// What watches, if the mode is on.
    #[inline(always)]
    pub fn watch(&self) -> Option<Ptr<Watch>> {
        self.watch.get()
    }
}
