//! Why an arena refused.

use core::fmt;

use crate::error::OutOfMemory;

/// Why an arena did not do what was asked. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ArenaError {
    /// No memory for the arena's own records.
    OutOfMemory,
    /// No free segment is large enough, or none that meets the constraints.
    Full,
    /// A size is zero, or its quanta are more than 2^64 - 1 numbers.
    BadSize,
    /// A range wraps around, is not of whole quanta, or overlaps a span; or it is not one that was
    /// allocated from this arena, with this size, and not freed since.
    BadRange,
    /// Constraints that are not as [`Constraints`](crate::Constraints) says.
    BadConstraints,
}

impl From<OutOfMemory> for ArenaError {
    fn from(_: OutOfMemory) -> ArenaError {
        ArenaError::OutOfMemory
    }
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ArenaError::OutOfMemory => "out of memory",
            ArenaError::Full => "no free segment is large enough",
            ArenaError::BadSize => "bad size",
            ArenaError::BadRange => "not a range of this arena",
            ArenaError::BadConstraints => "bad constraints",
        })
    }
}

impl core::error::Error for ArenaError {}
