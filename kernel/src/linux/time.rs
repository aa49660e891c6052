//! Clocks, sleeping, and alarms.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_MONOTONIC_RAW,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID, ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, TIMER_ABSTIME,
};

use super::{Errno, Result};
use crate::arch::time::{SECOND, now_ns, set_wall_ns, wall_ns};
use crate::mm::user;
use crate::task::{self, CLOCK_TICKS, Interval, WaitQueue};

const MICROSECOND: u64 = 1000;

#[inline(never)]
pub fn call(number: u32, a: [usize; 6]) -> Result {
    match number {
        nr::__NR_clock_gettime => {
            write_timespec(a[1], read_clock(a[0] as u32)?)?;
            Ok(0)
        }
        nr::__NR_clock_getres => {
            read_clock(a[0] as u32)?;
            if a[1] != 0 {
                write_timespec(a[1], 1)?;
            }
            Ok(0)
        }
        nr::__NR_clock_settime => match a[0] as u32 {
            CLOCK_REALTIME => {
                set_wall_ns(read_timespec(a[1])?);
                task::clocks_changed().map(|()| 0)
            }
            _ => Err(Errno::EINVAL),
        },
        nr::__NR_clock_nanosleep => clock_nanosleep(a[0] as u32, a[1] as u32, a[2], a[3]),
        nr::__NR_nanosleep => clock_nanosleep(CLOCK_MONOTONIC, 0, a[0], a[1]),
        nr::__NR_gettimeofday => {
            if a[0] != 0 {
                write_timeval(a[0], wall_ns())?;
            }
            if a[1] != 0 {
                // Greenwich time, no daylight saving.
                user::write_u64(a[1], 0)?;
            }
            Ok(0)
        }
        nr::__NR_settimeofday => {
            if a[0] != 0 {
                set_wall_ns(read_timeval(a[0])?);
            }
            task::clocks_changed().map(|()| 0)
        }
        nr::__NR_time => {
            let now = wall_ns() / SECOND;
            if a[0] != 0 {
                user::write_u64(a[0], now)?;
            }
            Ok(now as usize)
        }
        nr::__NR_times => times(a[0]),
        nr::__NR_getitimer => getitimer(a[0] as u32, a[1]),
        nr::__NR_setitimer => setitimer(a[0] as u32, a[1], a[2]),
        nr::__NR_alarm => {
            let at = (a[0] as u32 != 0).then(|| now_ns() + a[0] as u32 as u64 * SECOND);
            let old = alarm_of_this_process(at, 0);
            Ok(old.left.div_ceil(SECOND) as usize)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// Nanoseconds of a clock.
fn read_clock(clock: u32) -> core::result::Result<u64, Errno> {
    Ok(match clock {
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_MONOTONIC_COARSE | CLOCK_BOOTTIME => now_ns(),
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_TAI => wall_ns(),
        CLOCK_PROCESS_CPUTIME_ID => task::current().times().own_ns,
        CLOCK_THREAD_CPUTIME_ID => task::current_thread().run_ns(),
        _ => return Err(Errno::EINVAL),
    })
}

/// A timespec in nanoseconds. EINVAL if it is negative or not in order.
pub fn read_timespec(at: usize) -> core::result::Result<u64, Errno> {
    let [seconds, ns]: [i64; 2] = user::read(at)?;
    from_parts(seconds, ns, SECOND, 1)
}

fn read_timeval(at: usize) -> core::result::Result<u64, Errno> {
    let [seconds, us]: [i64; 2] = user::read(at)?;
    from_parts(seconds, us, SECOND / MICROSECOND, MICROSECOND)
}

fn from_parts(seconds: i64, parts: i64, limit: u64, unit: u64) -> core::result::Result<u64, Errno> {
    let (Ok(seconds), Ok(parts)) = (u64::try_from(seconds), u64::try_from(parts)) else {
        return Err(Errno::EINVAL);
    };
    if parts >= limit {
        return Err(Errno::EINVAL);
    }
    // What is further away than the counter reaches is for ever.
    Ok(seconds
        .saturating_mul(SECOND)
        .saturating_add(parts * unit)
        .min(i64::MAX as u64))
}

/// Writes nanoseconds as a timespec.
pub fn write_timespec(at: usize, ns: u64) -> core::result::Result<(), Errno> {
    user::write(at, &[ns / SECOND, ns % SECOND])
}

fn timeval(ns: u64) -> [u64; 2] {
    [ns / SECOND, ns % SECOND / MICROSECOND]
}

fn write_timeval(at: usize, ns: u64) -> core::result::Result<(), Errno> {
    user::write(at, &timeval(ns))
}

fn clock_nanosleep(clock: u32, flags: u32, request: usize, left: usize) -> Result {
    static NOBODY_WAKES: WaitQueue = WaitQueue::new();
    let ns = read_timespec(request)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    let until = match (clock, absolute) {
        (CLOCK_THREAD_CPUTIME_ID, _) => return Err(Errno::EINVAL),
        (CLOCK_REALTIME | CLOCK_TAI, true) => now_ns().saturating_add(ns.saturating_sub(wall_ns())),
        (CLOCK_MONOTONIC | CLOCK_BOOTTIME, true) => ns,
        (CLOCK_REALTIME | CLOCK_TAI | CLOCK_MONOTONIC | CLOCK_BOOTTIME, false) => {
            now_ns().saturating_add(ns)
        }
        _ => return Err(Errno::EOPNOTSUPP),
    };
    match NOBODY_WAKES.wait_until_time(until, || now_ns() >= until) {
        Ok(_) => Ok(0),
        Err(error) => {
            if left != 0 && !absolute {
                write_timespec(left, until.saturating_sub(now_ns()))?;
            }
            Err(error)
        }
    }
}

fn times(at: usize) -> Result {
    let tick = SECOND / CLOCK_TICKS;
    if at != 0 {
        let times = task::current().times();
        user::write(at, &[times.own_ns / tick, 0, times.children_ns / tick, 0])?;
    }
    Ok((now_ns() / tick) as usize)
}

fn alarm_of_this_process(at: Option<u64>, interval: u64) -> Interval {
    match task::find(task::current().pid) {
        Some(me) => me.set_alarm(at, interval),
        None => Interval {
            left: 0,
            interval: 0,
        },
    }
}

fn check_timer(which: u32) -> core::result::Result<(), Errno> {
    match which {
        ITIMER_REAL => Ok(()),
        // There is no profiling clock.
        ITIMER_VIRTUAL | ITIMER_PROF => Err(Errno::ENOSYS),
        _ => Err(Errno::EINVAL),
    }
}

fn write_interval(at: usize, value: Interval) -> core::result::Result<(), Errno> {
    let ([a, b], [c, d]) = (timeval(value.interval), timeval(value.left));
    user::write(at, &[a, b, c, d])
}

fn getitimer(which: u32, to: usize) -> Result {
    check_timer(which)?;
    write_interval(to, task::current().alarm())?;
    Ok(0)
}

fn setitimer(which: u32, new: usize, old: usize) -> Result {
    check_timer(which)?;
    let (interval, value) = match new {
        0 => (0, 0),
        new => (read_timeval(new)?, read_timeval(new + 16)?),
    };
    let at = (value != 0).then(|| now_ns() + value);
    let before = alarm_of_this_process(at, interval);
    if old != 0 {
        write_interval(old, before)?;
    }
    Ok(0)
}
