//! Errors and outcomes: one small enum each, which names what happened.

use core::fmt;

use crate::fault::WatchedFault;

/// No memory for what was asked; or, of a new object, no more may be promised ([`Vm::set_commit`]).
/// Nothing was changed.
///
/// [`Vm::set_commit`]: crate::Vm::set_commit
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfMemory;

/// Why an operation on a range of an address space was refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MapError {
    /// An address is not at the start of a page, a length is zero or wraps around, or the range
    /// lies outside of the address space.
    BadRange,
    /// No gap of this size is left.
    NoSpace,
    /// The place asked for is taken.
    Occupied,
    /// A part of the range is not mapped.
    NotMapped,
    /// More rights were asked for than the mapping may ever have.
    Protection,
    /// The offset is not at the start of a page, or the range of the object wraps around.
    BadOffset,
    /// What is mapped there cannot be watched ([`Map::watch`](crate::Map::watch)), or is not watched for
    /// what is asked.
    NotWatchable,
    /// A page cannot be brought in before its watcher has been told.
    Watched(WatchedFault),
    /// A page is lost ([`Map::poison`](crate::Map::poison)).
    Poisoned,
    /// The pager failed to bring or to put a page.
    Pager(PagerError),
    /// A part of the range lies beyond the end of its object.
    BeyondEnd,
    /// No memory, though room may be made for it.
    OutOfMemory,
    /// No more may be promised ([`Vm::set_commit`](crate::Vm::set_commit)), however much memory is free.
    NotPromised,
    /// The address space would become larger than it may ([`Map::set_limits`](crate::Map::set_limits)).
    OverLimit(Limit),
    /// A part of the range is sealed ([`Map::seal`](crate::Map::seal)).
    Sealed,
    /// Memory may not be written and executed, or become executable
    /// ([`Map::set_refuse_exec_gain`](crate::Map::set_refuse_exec_gain)).
    ExecGain,
}

/// Why a range is not mapped by one large leaf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotLarge {
    /// Nothing is mapped at the address.
    NotMapped,
    /// It cannot be, as long as the mapping is what it is: not all of the range is private anonymous memory
    /// of one entry, which has something in it, may be accessed, and whose address space alone has it.
    Unsuitable,
    /// Somebody uses one of its pages right now.
    InUse,
    /// No row of free frames, or no memory for what else it takes.
    OutOfMemory,
}

/// Which limit of an address space would be exceeded; see [`MapLimits`](crate::MapLimits).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// That of all entries.
    Mapped,
    /// That of private entries that may be written.
    Data,
    /// That of wired entries.
    Wired,
    /// That of what grows by itself.
    Stack,
}

/// No more may be promised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotPromised;

/// Why a pager could not bring a page, or put it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PagerError {
    /// The device failed.
    Io,
    /// There is no room for the page on the backing store.
    NoRoom,
    /// The backing store is gone.
    Gone,
}

/// Why an access to memory cannot succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// There is no mapping at the address, or a guard.
    NoMapping,
    /// The mapping does not allow this access.
    Protection,
    /// The address lies beyond the end of the object that is mapped there.
    BeyondEnd,
    /// No memory, and none to be had.
    OutOfMemory,
    /// The pager failed.
    Pager(PagerError),
    /// Somebody watches the range, and is to be told first ([`Map::watch`](crate::Map::watch)).
    Watched(WatchedFault),
    /// The page is lost ([`Map::poison`](crate::Map::poison)).
    Poisoned,
}

/// Why a watcher could not do what it wanted to a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is not at the start of a page, or nobody watches what is mapped there for this.
    NotWatched,
    /// There is a page already, or a guard.
    Present,
    /// There is no page.
    Absent,
    /// The address lies beyond the end of the object that is mapped there.
    BeyondEnd,
    /// The two places cannot exchange pages: they are not private anonymous memory of the same rights.
    Unlike,
    /// The page is not this address space's alone.
    Shared,
    /// The kernel holds the page, to write it.
    Held,
    /// The page that is to move is lost ([`Map::poison`](crate::Map::poison)).
    Poisoned,
    /// No memory, and none to be had.
    OutOfMemory,
    /// The pager failed to bring the page.
    Pager(PagerError),
}

/// Why a device object cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DeviceError {
    /// It would be too large, or there are no such frames.
    BadRange,
    /// Some of the frames are the manager's.
    Memory,
    /// There is, or is mapped still, another object with some of the frames that has them treated otherwise by
    /// caches.
    OtherCache,
    /// No memory.
    OutOfMemory,
}

impl From<OutOfMemory> for DeviceError {
    fn from(_: OutOfMemory) -> DeviceError {
        DeviceError::OutOfMemory
    }
}

/// Why a range of frames cannot be a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentError {
    /// The range is empty, or too small to hold its own page descriptors.
    TooSmall,
    /// It overlaps a segment that is there already.
    Overlap,
    /// There are as many segments as the manager can have.
    TooMany,
    /// It ends above 8 TiB, the highest that the manager can number.
    TooHigh,
}

impl From<OutOfMemory> for MapError {
    fn from(_: OutOfMemory) -> MapError {
        MapError::OutOfMemory
    }
}

impl From<NotPromised> for MapError {
    fn from(_: NotPromised) -> MapError {
        MapError::NotPromised
    }
}

impl From<OutOfMemory> for ServeError {
    fn from(_: OutOfMemory) -> ServeError {
        ServeError::OutOfMemory
    }
}

impl From<OutOfMemory> for FaultError {
    fn from(_: OutOfMemory) -> FaultError {
        FaultError::OutOfMemory
    }
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MapError::BadRange => "bad range of addresses",
            MapError::NoSpace => "no room in the address space",
            MapError::Occupied => "the place is taken",
            MapError::NotMapped => "not mapped",
            MapError::Protection => "more rights than the mapping may have",
            MapError::BadOffset => "bad offset into the object",
            MapError::NotWatchable => "cannot be watched, or is not",
            MapError::Watched(_) => "a watcher is to be told first",
            MapError::Poisoned => "a page is lost",
            MapError::Pager(_) => "the pager failed",
            MapError::BeyondEnd => "beyond the end of the object",
            MapError::OutOfMemory => "out of memory",
            MapError::NotPromised => "no more memory may be promised",
            MapError::OverLimit(_) => "larger than the address space may be",
            MapError::Sealed => "sealed",
            MapError::ExecGain => "memory may not become executable",
        })
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultError::NoMapping => "no mapping at this address",
            FaultError::Protection => "the mapping does not allow this access",
            FaultError::BeyondEnd => "beyond the end of the mapped object",
            FaultError::OutOfMemory => "out of memory",
            FaultError::Pager(_) => "the pager failed",
            FaultError::Watched(_) => "a watcher is to be told first",
            FaultError::Poisoned => "the page is lost",
        })
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServeError::NotWatched => "nobody watches this page",
            ServeError::Present => "there is a page already",
            ServeError::Absent => "there is no page",
            ServeError::BeyondEnd => "beyond the end of the mapped object",
            ServeError::Unlike => "the two places are not alike",
            ServeError::Shared => "the page is shared",
            ServeError::Held => "the page is held",
            ServeError::Poisoned => "the page is lost",
            ServeError::OutOfMemory => "out of memory",
            ServeError::Pager(_) => "the pager failed",
        })
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceError::BadRange => "no such frames",
            DeviceError::Memory => "frames of ordinary memory",
            DeviceError::OtherCache => "frames that caches treat otherwise for another object",
            DeviceError::OutOfMemory => "out of memory",
        })
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SegmentError::TooSmall => "too few frames for a segment",
            SegmentError::TooHigh => "frames beyond 8 TiB",
            SegmentError::Overlap => "frames of another segment",
            SegmentError::TooMany => "too many segments",
        })
    }
}

impl fmt::Display for PagerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PagerError::Io => "the device failed",
            PagerError::NoRoom => "no room on the backing store",
            PagerError::Gone => "the backing store is gone",
        })
    }
}

impl core::error::Error for OutOfMemory {}
impl core::error::Error for PagerError {}
impl core::error::Error for DeviceError {}
impl core::error::Error for SegmentError {}
impl core::error::Error for MapError {}
impl core::error::Error for FaultError {}
impl core::error::Error for ServeError {}
