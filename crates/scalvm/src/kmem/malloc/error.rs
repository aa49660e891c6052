//! Why there is no piece.

use core::fmt;

use crate::kmem::{HeapError, TypeError};

/// Why [`Vm::malloc`](crate::Vm::malloc) gave no memory. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MallocError {
    /// Memory has run out; if waiting was allowed, nothing could be made to leave it.
    OutOfMemory,
    /// The type would have more in use than it may.
    Limit,
    /// More than any piece has, or an alignment beyond that of the direct map.
    TooLarge,
    /// The type is dynamic and not attached.
    NotAttached,
    /// What was to be resized is no piece.
    BadPointer,
}

impl From<TypeError> for MallocError {
    fn from(error: TypeError) -> MallocError {
        match error {
            TypeError::OutOfMemory => MallocError::OutOfMemory,
            _ => MallocError::NotAttached,
        }
    }
}

impl From<HeapError> for MallocError {
    fn from(error: HeapError) -> MallocError {
        match error {
            HeapError::OutOfMemory => MallocError::OutOfMemory,
            HeapError::Refused => MallocError::Limit,
            HeapError::TooLarge => MallocError::TooLarge,
        }
    }
}

impl fmt::Display for MallocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MallocError::OutOfMemory => "out of memory",
            MallocError::Limit => "at the limit of the type",
            MallocError::TooLarge => "larger than any piece",
            MallocError::NotAttached => "the type is not attached",
            MallocError::BadPointer => "no piece begins there",
        })
    }
}

impl core::error::Error for MallocError {}
