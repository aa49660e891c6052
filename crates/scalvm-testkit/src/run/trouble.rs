//! Errors that come of failures which the runner arranged.

use scalvm::{
    DeviceError, FaultError, MapError, OutOfMemory, PagerError, ServeError, SwapError, Unfinished,
    WatchedFault,
};

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

    /// The access that a watcher must be told of first.
    fn watched(self) -> Option<WatchedFault> {
        None
    }
}

impl Error for OutOfMemory {
    fn cause(self) -> Option<Cause> {
        Some(Cause::Allocation)
    }
}

impl Error for DeviceError {
    fn cause(self) -> Option<Cause> {
        (self == DeviceError::OutOfMemory).then_some(Cause::Allocation)
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

    fn watched(self) -> Option<WatchedFault> {
        match self {
            MapError::Watched(watched) => Some(watched),
            _ => None,
        }
    }
}

impl Error for ServeError {
    fn cause(self) -> Option<Cause> {
        match self {
            ServeError::OutOfMemory => Some(Cause::Allocation),
            ServeError::Pager(_) => Some(Cause::Io),
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

    fn watched(self) -> Option<WatchedFault> {
        match self {
            FaultError::Watched(watched) => Some(watched),
            _ => None,
        }
    }
}

impl Error for Unfinished {
    fn cause(self) -> Option<Cause> {
        self.error.cause()
    }

    fn watched(self) -> Option<WatchedFault> {
        self.error.watched()
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
