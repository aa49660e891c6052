//! Thrashing: memory is full of what cannot leave, and the little that can, most of it the text of programs, leaves and
//! comes back again and again. No search for room is in vain then, so memory has not run out; but nobody gets on.
//!
//! So a process ends as if it had, by the rule of `oom`, where for some time each of these was true: nothing anonymous
//! has left; files have little in memory; and every second as much of them was read as that.
//!
//! Looked at by the thread that keeps memory free, which has work all the while. Blocks nowhere.

use super::oom;
use crate::arch::time::{SECOND, now_ns};
use crate::mm::VM;

/// How long one look is about, at least.
const PERIOD: u64 = SECOND;
/// How many looks in a row must find it (arbitrary).
const LOOKS: u32 = 4;
/// Which part of memory is little (arbitrary).
const LITTLE: u64 = 32;
/// Pages that are read in a second in any case (arbitrary): 1 MiB.
const LEAST: u64 = 256;

/// What the last looks have found.
#[derive(Default)]
pub struct Thrash {
    at: u64,
    /// Pages that had been put away by then, and those of files that had been read.
    put: u64,
    read: u64,
    /// How many in a row have found it.
    found: u32,
}

impl Thrash {
    /// Looks, if it is time to, and ends a process if that is called for.
    pub fn look(&mut self) {
        let now = now_ns();
        let passed = now - self.at;
        if passed < PERIOD {
            return;
        }
        let stats = VM.stats();
        let put = stats.swapouts + VM.compressor_stats().stored;
        let (read, files) = (stats.pageins, stats.frames_file);
        let thrashes = put == self.put
            && files < stats.frames_total / LITTLE
            && read - self.read >= files.max(LEAST) * (passed / PERIOD);
        let found = if thrashes { self.found + 1 } else { 0 };
        *self = Thrash {
            at: now,
            put,
            read,
            found: found % LOOKS,
        };
        if found == LOOKS {
            oom::end_one();
        }
    }
}
