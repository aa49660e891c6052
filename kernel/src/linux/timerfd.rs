//! Timers that are files.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_REALTIME, O_NONBLOCK, TFD_CLOEXEC, TFD_NONBLOCK,
    TFD_TIMER_ABSTIME, TFD_TIMER_CANCEL_ON_SET,
};

use super::files::{file, install};
use super::time::{read_timespec, write_timespec};
use super::{Errno, Result};
use crate::arch::time::{now_ns, wall_ns};
use crate::fs::timerfd::{self, TimerFd};

/// Bytes of a `struct timespec`: two of them, how long it is from one time to the next and when the
/// first one is, make a `struct itimerspec`.
const TIMESPEC: usize = 16;

#[inline(never)]
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_timerfd_create => create(a[0] as u32, a[1] as u32),
        nr::__NR_timerfd_settime => set(a[0], a[1] as u32, a[2], a[3]),
        nr::__NR_timerfd_gettime => get(a[0], a[1]),
        _ => return None,
    })
}

fn create(clock: u32, flags: u32) -> Result {
    if flags & !(TFD_CLOEXEC | TFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_wall = match clock {
        CLOCK_REALTIME => true,
        CLOCK_MONOTONIC | CLOCK_BOOTTIME => false,
        _ => return Err(Errno::EINVAL),
    };
    install(
        timerfd::open(is_wall, flags & O_NONBLOCK)?,
        flags & TFD_CLOEXEC != 0,
    )
}

/// timerfd_settime(2). A wall clock that is set meanwhile does not move what was set before.
fn set(fd: usize, flags: u32, new: usize, old: usize) -> Result {
    let interval = read_timespec(new)?;
    let first = read_timespec(new + TIMESPEC)?;
    if flags & !(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) != 0 {
        return Err(Errno::EINVAL);
    }
    let timer = TimerFd::of(&*file(fd)?)?;
    let before = timer.left();
    let next = match flags & TFD_TIMER_ABSTIME {
        _ if first == 0 => None,
        0 => Some(now_ns().saturating_add(first)),
        _ if timer.is_wall => Some(now_ns().saturating_add(first.saturating_sub(wall_ns()))),
        _ => Some(first),
    };
    timer.set(next, interval);
    if old != 0 {
        write_timespec(old, before.interval)?;
        write_timespec(old + TIMESPEC, before.left)?;
    }
    Ok(0)
}

fn get(fd: usize, to: usize) -> Result {
    let now = TimerFd::of(&*file(fd)?)?.left();
    write_timespec(to, now.interval)?;
    write_timespec(to + TIMESPEC, now.left)?;
    Ok(0)
}
