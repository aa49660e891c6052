//! Numbers of processes and threads.
//!
//! They come from an arena, the one behind the last, so that a number comes again as late as
//! possible. A number goes back when nobody has it: neither a process, even one that has ended and
//! not been waited for, nor a thread, group or session. Whoever gives one up says so with
//! [`release`].

use scalvm::{Arena, ArenaError, Fit};

use super::{Pid, table};
use crate::linux::Errno;
use crate::mm::{Hw, VM};

/// Numbers are below this.
const PID_MAX: Pid = 4_194_304;

static PIDS: Arena<'static, Hw> = Arena::new(&VM, "process ids", 1);

/// A number for who does not exist yet. Dropping it gives it back.
#[must_use]
pub struct NewPid(Pid);

impl NewPid {
    /// A number that nobody has.
    pub fn new() -> Result<NewPid, Errno> {
        match PIDS.alloc(1, Fit::Next) {
            Ok(pid) => Ok(NewPid(pid as Pid)),
            Err(ArenaError::Full) => Err(Errno::EAGAIN),
            Err(_) => Err(Errno::ENOMEM),
        }
    }

    /// The number.
    pub fn get(&self) -> Pid {
        self.0
    }

    /// Somebody has it now, and is in the table.
    pub fn keep(self) -> Pid {
        let pid = self.0;
        core::mem::forget(self);
        pid
    }
}

impl Drop for NewPid {
    fn drop(&mut self) {
        release(self.0);
    }
}

/// Makes all numbers free. Once, before the first is needed.
pub fn init() -> Result<(), Errno> {
    let all = PIDS.add_span(1, PID_MAX as u64 - 1);
    all.map_err(|_| Errno::ENOMEM)
}

/// Somebody has this number no more. It is free if nobody else has it.
pub fn release(pid: Pid) {
    if pid > 0 && !table::is_used(pid) {
        // What is free already stays so: a number may have been given up twice, by the last of a
        // group and of a session.
        let _ = PIDS.free(pid as u64, 1);
    }
}
