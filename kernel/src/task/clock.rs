//! Times and limits of processes.

use linux_raw_sys::general::{
    RLIM_INFINITY, RLIM_NLIMITS, RLIMIT_CORE, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NICE,
    RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_RTPRIO, RLIMIT_STACK,
};

use super::stack;
use crate::fs::table::MAX_FILES;

/// The processor time of a process, in nanoseconds: the program's and the kernel's for it together,
/// since nobody looks at the clock on the way in and out. Where Linux tells them apart, all of it
/// is shown as the program's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// Of its threads.
    pub own_ns: u64,
    /// Of its children that have been waited for, and of theirs.
    pub children_ns: u64,
}

/// An alarm, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// Until it rings, 0 if it does not.
    pub left: u64,
    /// From then on until it rings again, 0 if it does not.
    pub interval: u64,
}

/// Soft and hard limits, by RLIMIT number.
pub type Limits = [[u64; 2]; RLIM_NLIMITS as usize];

/// The limits of the first process.
pub(super) fn default_limits() -> Limits {
    const NONE: u64 = RLIM_INFINITY as u64;
    let mut limits = [[NONE; 2]; RLIM_NLIMITS as usize];
    limits[RLIMIT_MEMLOCK as usize] = [8 << 20; 2];
    limits[RLIMIT_STACK as usize] = [stack::SIZE as u64, NONE];
    limits[RLIMIT_NOFILE as usize] = [MAX_FILES as u64; 2];
    limits[RLIMIT_CORE as usize] = [0, NONE];
    limits[RLIMIT_NPROC as usize] = [32768; 2];
    limits[RLIMIT_MSGQUEUE as usize] = [0; 2];
    limits[RLIMIT_NICE as usize] = [0; 2];
    limits[RLIMIT_RTPRIO as usize] = [0; 2];
    limits
}
