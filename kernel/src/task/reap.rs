//! Waiting for children.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::SIGCHLD;

use super::process::{Faults, News, Process};
use super::{Pid, Times, sched, table};
use crate::linux::Errno;

/// Which children are waited for, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Above 0 the child with this number, 0 those of the caller's group, -1 all, below that those
    /// of a group.
    pub which: Pid,
    /// Those that have ended.
    pub ended: bool,
    /// Those that have stopped.
    pub stopped: bool,
    /// Those that go on.
    pub continued: bool,
    /// Whether the news stay for the next one who asks.
    pub keep: bool,
    /// Whether to return if there are none now.
    pub no_wait: bool,
    /// Whether children count that send another signal than SIGCHLD when they end.
    pub clones: bool,
    /// Whether those count that send SIGCHLD.
    pub ordinary: bool,
}

/// A child with news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitedFor {
    /// Its number.
    pub pid: Pid,
    /// The status as wait(2) reports it.
    pub status: i32,
    /// The time it has taken, its own and its children's.
    pub times: Times,
    /// Its page faults, and its children's.
    pub faults: [Faults; 2],
}

const CONTINUED_STATUS: i32 = 0xffff;

/// Waits for a child. None if there is none now and that is not waited for; ECHILD if there never
/// will be, EINTR if a signal comes first.
pub fn wait_for_child(wanted: &Wanted) -> Result<Option<WaitedFor>, Errno> {
    let me = sched::current();
    let mut found = look(&me, wanted);
    if found == Ok(None) && !wanted.no_wait {
        me.child_news.wait_until(|| {
            found = look(&me, wanted);
            found != Ok(None)
        })?;
    }
    found
}

/// Looks for a child with news.
fn look(me: &Process, wanted: &Wanted) -> Result<Option<WaitedFor>, Errno> {
    let children = me.children.lock();
    let mut any = false;
    for child in children.iter() {
        let fits = match wanted.which {
            -1 => true,
            0 => child.pgid() == me.pgid(),
            pid if pid > 0 => child.pid == pid,
            group => child.pgid() == group.wrapping_neg(),
        };
        let ordinary = child.exit_signal.load(Relaxed) == SIGCHLD as i32;
        if !fits
            || !(if ordinary {
                wanted.ordinary
            } else {
                wanted.clones
            })
        {
            continue;
        }
        any = true;
        if let Some(status) = news(child, wanted) {
            let child = child.clone();
            drop(children);
            let times = child.times();
            let ended = child.is_zombie();
            if ended && !wanted.keep {
                me.children_ns
                    .fetch_add(times.own_ns + times.children_ns, Relaxed);
                me.adopt_faults(&child);
                forget_child(me, &child);
            }
            return Ok(Some(WaitedFor {
                pid: child.pid,
                status,
                times,
                faults: child.faults(),
            }));
        }
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

/// The status of a child, if it has news that are wanted.
fn news(child: &Process, wanted: &Wanted) -> Option<i32> {
    if child.is_zombie() {
        return wanted.ended.then(|| child.status.load(Relaxed));
    }
    let mut news = child.news.lock();
    let status = match *news {
        News::Stopped(signal) if wanted.stopped => (signal as i32) << 8 | 0x7f,
        News::Trapped(why) => (why as i32) << 8 | 0x7f,
        News::Continued if wanted.continued => CONTINUED_STATUS,
        _ => return None,
    };
    if !wanted.keep {
        *news = News::None;
    }
    Some(status)
}

/// A child that has ended is no more.
pub(super) fn forget_child(parent: &Process, child: &Arc<Process>) {
    let mut children = parent.children.lock();
    if let Some(at) = children.iter().position(|other| Arc::ptr_eq(other, child)) {
        let child = children.swap_remove(at);
        drop(children);
        table::remove(child.pid);
    }
}
