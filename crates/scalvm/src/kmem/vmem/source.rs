//! Where an arena gets spans from when it has none left.

use super::{Arena, ArenaError, Fit};
use crate::machine::Machine;

/// What an arena imports from: another arena, or something that does more with each range than
/// number it, such as mapping memory there.
///
/// No lock of the manager is held when these are called.
pub trait Source: Sync {
    /// The first number of a range of this size, a multiple of the importing arena's quantum. The
    /// range overlaps none that was taken and not given back, and begins at a multiple of that
    /// quantum; otherwise the arena gives it back at once and is full.
    fn take(&self, size: u64) -> Result<u64, ArenaError>;

    /// Takes a range back that [`take`](Source::take) gave, whole.
    fn give(&self, start: u64, size: u64);
}

impl<M: Machine> Source for Arena<'_, M> {
    fn take(&self, size: u64) -> Result<u64, ArenaError> {
        self.alloc(size, Fit::Instant)
    }

    fn give(&self, start: u64, size: u64) {
        let freed = self.free(start, size);
        debug_assert!(freed.is_ok(), "an arena gives back what it took");
    }
}
