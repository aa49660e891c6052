//! [`Patience`]: how long a call on a socket waits.

use crate::arch::time::now_ns;
use crate::linux::Errno;
use crate::task::WaitQueue;

/// How long a call waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// Not at all.
    None,
    /// Until this time, in nanoseconds since boot.
    Until(u64),
    /// For ever.
    Endless,
}

impl Patience {
    /// That of a call that may wait for so many nanoseconds, 0 for ever.
    pub fn of(ns: u64) -> Patience {
        match ns {
            0 => Patience::Endless,
            ns => Patience::Until(now_ns().saturating_add(ns)),
        }
    }

    /// Waits on the queue until the condition holds: EAGAIN if that takes too long, EINTR if a
    /// signal comes first.
    pub fn wait(self, queue: &WaitQueue, mut condition: impl FnMut() -> bool) -> Result<(), Errno> {
        if condition() {
            return Ok(());
        }
        match self {
            Patience::None => Err(Errno::EAGAIN),
            Patience::Endless => queue.wait_until(condition),
            Patience::Until(time) => match queue.wait_until_time(time, condition)? {
                true => Ok(()),
                false => Err(Errno::EAGAIN),
            },
        }
    }
}
