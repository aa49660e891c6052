//! Locks that spin, and the cells they protect.
//!
//! No lock is held across I/O or a wait, so all of them spin; [`Machine::relax`] is called
//! meanwhile. A lock has no fixed rank: the one who takes it says as what (an object may be locked
//! in its own right or as the one underneath another), and [`Machine::lock_event`] is told, so that
//! tests check the order that stands at the head of the crate.
//!
//! What a lock protects lies in [`Field`]s: relaxed atomics, as cheap as plain memory, which make
//! every access defined even where the lock was forgotten. The locks give the ordering.

mod field;
mod owner;
mod pin;
mod rw;
mod spin;

use core::sync::atomic;

pub(crate) use field::Field;
pub(crate) use owner::{OwnerGuard, OwnerLock};
pub(crate) use pin::Pinned;
pub(crate) use rw::{ReadGuard, RwLock, WriteGuard};
pub use spin::{SpinGuard, SpinLock};

use crate::machine::{LockEvent, Machine, Rank};

impl OwnerLock {
    /// A lock that nobody holds.
    pub const fn new() -> OwnerLock {
        OwnerLock {
            busy: atomic::AtomicBool::new(false),
            stolen: atomic::AtomicBool::new(false),
        }
    }
}
