//! What is to happen at a certain time.
//!
//! Each thread sleeps until one time at most, each process has one alarm and each timer that is a
//! file rings at one time, so the list is short and its room is known: it is made with the thread, or
//! with the file (see [`reserve`]).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::process::Process;
use super::thread::Thread;
use super::{sched, table};
use crate::arch::timer;
use crate::fs::timerfd::TimerFd;
use crate::linux::Errno;
use crate::sync::Mutex;

/// What happens.
pub enum Timer {
    /// A thread that sleeps goes on.
    Wake(Arc<Thread>),
    /// A process's alarm rings.
    Alarm(Arc<Process>),
    /// A timer that is a file rings.
    File(Arc<TimerFd>),
}

/// How many timers are files.
static FILES: AtomicUsize = AtomicUsize::new(0);

/// All timers, the next one last.
static TIMERS: Mutex<Vec<(u64, Timer)>> = Mutex::new(Vec::new());

/// Makes sure that there is room for the timers of this many threads, and for all files.
pub fn reserve(threads: usize) -> Result<(), Errno> {
    let mut timers = TIMERS.lock();
    let more = (2 * threads + FILES.load(Relaxed)).saturating_sub(timers.len());
    timers.try_reserve(more).map_err(|_| Errno::ENOMEM)
}

/// Makes room for one more timer that is a file.
pub fn reserve_file() -> Result<(), Errno> {
    FILES.fetch_add(1, Relaxed);
    reserve(table::count_threads()).inspect_err(|_| release_file())
}

/// A timer that was a file is gone.
pub fn release_file() {
    FILES.fetch_sub(1, Relaxed);
}

/// Has a file ring at a time in nanoseconds since boot.
pub fn add_file(time: u64, file: Arc<TimerFd>) {
    add(time, Timer::File(file));
}

/// A file is not to ring any more.
pub fn remove_file(file: &TimerFd) {
    remove(|timer| matches!(timer, Timer::File(other) if core::ptr::eq(&**other, file)));
}

/// Adds a timer; its time is in nanoseconds since boot.
pub fn add(time: u64, what: Timer) {
    let mut timers = TIMERS.lock();
    let at = timers.partition_point(|(other, _)| *other > time);
    timers.insert(at, (time, what));
    timer::arm(time);
}

/// Takes the timer that wakes a thread away, if it has not happened.
pub fn remove_wake(thread: &Arc<Thread>) {
    remove(|timer| matches!(timer, Timer::Wake(other) if Arc::ptr_eq(other, thread)));
}

/// Takes a process's alarm away, if it has not rung. Returns when it would have.
pub fn remove_alarm(process: &Process) -> Option<u64> {
    remove(|timer| matches!(timer, Timer::Alarm(other) if core::ptr::eq(&**other, process)))
}

/// When a process's alarm rings.
pub fn alarm(process: &Process) -> Option<u64> {
    let timers = TIMERS.lock();
    let mut alarms = timers.iter().filter(
        |(_, timer)| matches!(timer, Timer::Alarm(other) if core::ptr::eq(&**other, process)),
    );
    alarms.next().map(|(time, _)| *time)
}

fn remove(which: impl Fn(&Timer) -> bool) -> Option<u64> {
    let mut timers = TIMERS.lock();
    let at = timers.iter().position(|(_, timer)| which(timer))?;
    let (time, timer) = timers.remove(at);
    drop(timers);
    drop(timer);
    Some(time)
}

/// Does what is due. Returns when the next one is, u64::MAX for never.
pub fn run(now: u64) -> u64 {
    loop {
        let mut timers = TIMERS.lock();
        let next = timers.last().map_or(u64::MAX, |(time, _)| *time);
        if next > now {
            return next;
        }
        let due = timers.pop();
        drop(timers);
        match due {
            Some((_, Timer::Wake(thread))) => sched::make_ready(&thread),
            Some((_, Timer::Alarm(process))) => process.alarm_rings(now),
            Some((_, Timer::File(file))) => file.rings(now),
            None => {}
        }
    }
}
