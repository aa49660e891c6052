//! Process groups and sessions.

use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::{SIGCONT, SIGHUP};

use super::pid::release;
use super::process::Process;
use super::{Pid, sched, signal_group, table};
use crate::linux::Errno;
use crate::tty;

fn any(which: impl Fn(&Process) -> bool) -> bool {
    let mut found = false;
    table::for_each(|process| found |= which(process));
    found
}

/// setpgid(2).
pub fn set_group(pid: Pid, group: Pid) -> Result<(), Errno> {
    let me = sched::current();
    let pid = if pid == 0 { me.pid } else { pid };
    let group = if group == 0 { pid } else { group };
    if group < 0 {
        return Err(Errno::EINVAL);
    }
    let process = table::find(pid).ok_or(Errno::ESRCH)?;
    if process.pid != me.pid {
        if process.ppid() != me.pid {
            return Err(Errno::ESRCH);
        }
        if process.sid() != me.sid() {
            return Err(Errno::EPERM);
        }
        if process.has_execed.load(Relaxed) {
            return Err(Errno::EACCES);
        }
    }
    if process.sid() == process.pid {
        return Err(Errno::EPERM);
    }
    let session = me.sid();
    if group != pid && !any(|other| other.pgid() == group && other.sid() == session) {
        return Err(Errno::EPERM);
    }
    release(process.group.swap(group, Relaxed));
    Ok(())
}

/// setsid(2): a new session, whose number it returns.
pub fn new_session() -> Result<Pid, Errno> {
    let me = sched::current();
    let pid = me.pid;
    if any(|process| process.pgid() == pid) {
        return Err(Errno::EPERM);
    }
    for number in [me.group.swap(pid, Relaxed), me.session.swap(pid, Relaxed)] {
        release(number);
    }
    Ok(pid)
}

/// Whether nobody outside of a group, but of its session, is a parent of one of its members: then
/// nobody could let a stopped member go on.
pub(super) fn is_orphaned(group: Pid) -> bool {
    !any(|process| process.pgid() == group && holds_group(process, process.ppid()))
}

/// Whether a parent keeps its child's group from being orphaned.
fn holds_group(process: &Process, parent: Pid) -> bool {
    !process.is_zombie()
        && table::find(parent)
            .is_some_and(|parent| parent.pgid() != process.pgid() && parent.sid() == process.sid())
}

/// A process ends: groups of its children that are orphaned by that, and have stopped members, are
/// told.
pub(super) fn before_exit(process: &Process) {
    if process.sid() == process.pid {
        tty::session_ended(process.pid);
    }
    for index in 0.. {
        // Signals reach children, and may take one away.
        let Some(child) = process.children.lock().get(index).cloned() else {
            return;
        };
        let group = child.pgid();
        if group == process.pgid() || child.sid() != process.sid() {
            continue;
        }
        let held = any(|other| {
            other.pgid() == group && other.ppid() != process.pid && holds_group(other, other.ppid())
        });
        if !held && any(|other| other.pgid() == group && other.is_stopped()) {
            signal_group(group, SIGHUP);
            signal_group(group, SIGCONT);
        }
    }
}
