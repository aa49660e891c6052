//! [`Config`]: what a machine is made of.

use std::fmt;
use std::ops::Range;

use scalvm::Frame;

use crate::pmap::Tables;
use crate::runtime::{Runtime, Threads};

/// What a machine is made of. `Config::default()` has four processors, one segment of 1024 frames
/// and no caprice.
pub struct Config {
    /// Runs of physical memory, not overlapping. It is for the test to hand them to the
    /// manager, all or some of them, at once or later.
    pub segments: Vec<Range<Frame>>,
    /// Frames of devices: memory that is never handed to the manager.
    pub devices: Vec<Range<Frame>>,
    /// The root table whose upper half all address spaces share, a frame of a device; none: spaces
    /// have no kernel half.
    pub kernel_root: Option<Frame>,
    /// The format of its page tables.
    pub tables: Tables,
    /// Processors, at most [`MAX_CPUS`](scalvm::MAX_CPUS).
    pub cpus: usize,
    /// Seed of the machine's caprice.
    pub seed: u64,
    /// On one access of this many, a processor forgets some cached translation unasked, and after
    /// one fault of this many it walks ahead and caches the way; zero: never.
    pub evict_one_in: u64,
    /// Whether a lock taken out of order panics.
    pub check_lock_order: bool,
    /// The threads it runs on.
    pub runtime: Box<dyn Runtime>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            segments: vec![Frame(0x1000)..Frame(0x1400)],
            devices: Vec::new(),
            kernel_root: None,
            tables: Tables::X86_64,
            cpus: 4,
            seed: 0,
            evict_one_in: 0,
            check_lock_order: true,
            runtime: Box::new(Threads::new()),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("segments", &self.segments)
            .field("devices", &self.devices)
            .field("tables", &self.tables)
            .field("cpus", &self.cpus)
            .field("seed", &self.seed)
            .field("evict_one_in", &self.evict_one_in)
            .field("check_lock_order", &self.check_lock_order)
            .finish_non_exhaustive()
    }
}
