//! Waiting for any of several files: one queue for all who poll.
//!
//! Whatever becomes ready wakes its own waiters and calls [`changed`]; those that poll look again
//! at what they wait for. There are few of them, and mostly none.

use crate::linux::Errno;
use crate::task::WaitQueue;

static POLLERS: WaitQueue = WaitQueue::new();

/// Something may have become ready. Callable from interrupt handlers.
#[inline]
pub fn changed() {
    POLLERS.wake_all();
}

/// Waits until `ready` is true; false when the time (nanoseconds, none for ever) is over first.
pub fn wait(timeout: Option<u64>, mut ready: impl FnMut() -> bool) -> Result<bool, Errno> {
    if ready() {
        return Ok(true);
    }
    match timeout {
        Some(0) => Ok(false),
        Some(ns) => {
            POLLERS.wait_until_timeout(ns, &mut ready)?;
            Ok(ready())
        }
        None => POLLERS.wait_until(ready).map(|()| true),
    }
}
