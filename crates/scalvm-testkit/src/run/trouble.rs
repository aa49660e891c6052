//! Errors that come of failures which the runner arranged.

use scalvm::{FaultError, MapError, OutOfMemory, PagerError, SwapError, Unfinished};

/// What kind of arranged failure an error tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// An allocation failed.
    Allocation,
    /// I/O failed.
    Io,
}

/// An error that may tell of one.
pub trait Error: Copy + PartialEq + std::fmt::Debug {
    /// The failure, if it is not the caller's fault.
    fn cause(self) -> Option<Cause>;
}

impl Error for OutOfMemory {
    fn cause(self) -> Option<Cause> {
        Some(Cause::Allocation)
    }
}

impl Error for PagerError {
    fn cause(self) -> Option<Cause> {
        Some(Cause::Io)
    }
}

impl Error for MapError {
    fn cause(self) -> Option<Cause> {
        match self {
            MapError::OutOfMemory => Some(Cause::Allocation),
            MapError::Pager(_) => Some(Cause::Io),
            _ => None,
        }
    }
}

impl Error for FaultError {
    fn cause(self) -> Option<Cause> {
        match self {
            FaultError::OutOfMemory => Some(Cause::Allocation),
            FaultError::Pager(_) => Some(Cause::Io),
            _ => None,
        }
    }
}

impl Error for Unfinished {
    fn cause(self) -> Option<Cause> {
        self.error.cause()
    }
}

impl Error for SwapError {
    fn cause(self) -> Option<Cause> {
        match self {
            SwapError::OutOfMemory | SwapError::NoRoom => Some(Cause::Allocation),
            SwapError::Io => Some(Cause::Io),
            _ => None,
        }
    }
}
