//! [`Job`]: whose terminal it is: the session that it controls, and the group in the foreground.
//!
//! Groups in the background that read are stopped (SIGTTIN); so are those that change the terminal
//! (SIGTTOU), or write where TOSTOP forbids it. A call that was so interrupted starts again.
//!
//! Invariant: there is a foreground group only where there is a session.

use linux_raw_sys::general::{SIGCONT, SIGHUP, SIGTTIN, SIGTTOU, TOSTOP};

use super::TERMINAL;
use crate::linux::Errno;
use crate::task::{self, Pid};

/// Whose terminal it is. Numbers are 0 where there is none.
pub(super) struct Job {
    session: Pid,
    foreground: Pid,
}

impl Job {
    /// Nobody's.
    pub(super) const fn none() -> Job {
        Job {
            session: 0,
            foreground: 0,
        }
    }

    /// The group that the terminal's signals go to.
    pub(super) fn foreground(&self) -> Option<Pid> {
        (self.foreground != 0).then_some(self.foreground)
    }

    fn give(&mut self, session: Pid, group: Pid) {
        self.session = session;
        self.foreground = group;
    }
}

/// Whether the terminal is the controlling one of this session.
pub fn is_controlling(session: Pid) -> bool {
    session != 0 && TERMINAL.lock().job.session == session
}

/// The foreground group of a session whose controlling terminal this is.
pub fn foreground_of(session: Pid) -> Option<Pid> {
    if is_controlling(session) {
        TERMINAL.lock().job.foreground()
    } else {
        None
    }
}

/// The leader of a session has ended: the terminal is nobody's, and the foreground hangs up.
pub fn session_ended(session: Pid) {
    if is_controlling(session) {
        hang_up();
    }
}

fn hang_up() {
    let mut terminal = TERMINAL.lock();
    let foreground = terminal.job.foreground();
    terminal.job = Job::none();
    drop(terminal);
    if let Some(group) = foreground {
        task::signal_group(group, SIGHUP);
        task::signal_group(group, SIGCONT);
    }
}

/// Whether it is the controlling terminal of the process that calls.
pub(super) fn is_ours() -> bool {
    is_controlling(task::current().sid())
}

fn ours() -> Result<(), Errno> {
    if is_ours() {
        Ok(())
    } else {
        Err(Errno::ENOTTY)
    }
}

/// A session leader without a terminal opened this one, which becomes its own if it is nobody's.
pub(super) fn acquire() {
    let process = task::current();
    let mut terminal = TERMINAL.lock();
    if process.pid == process.sid() && terminal.job.session == 0 {
        terminal.job.give(process.sid(), process.pgid());
    }
}

/// It becomes the controlling terminal of this session, whose leader's group is in the foreground.
pub fn give(session: Pid) {
    TERMINAL.lock().job.give(session, session);
}

/// TIOCSCTTY: as [`acquire`], by `force` even if it is another session's.
pub(super) fn take(force: bool) -> Result<(), Errno> {
    let process = task::current();
    let mut terminal = TERMINAL.lock();
    if terminal.job.session == process.sid() {
        return Ok(());
    }
    if process.pid != process.sid() || terminal.job.session != 0 && !force {
        return Err(Errno::EPERM);
    }
    terminal.job.give(process.sid(), process.pgid());
    Ok(())
}

/// TIOCNOTTY: the session gives it up, if its leader says so.
pub(super) fn leave() -> Result<(), Errno> {
    ours()?;
    let process = task::current();
    if process.pid == process.sid() {
        hang_up();
    }
    Ok(())
}

/// TIOCGPGRP.
pub(super) fn foreground() -> Result<Pid, Errno> {
    ours()?;
    Ok(TERMINAL.lock().job.foreground)
}

/// TIOCGSID.
pub(super) fn session() -> Result<Pid, Errno> {
    ours()?;
    Ok(TERMINAL.lock().job.session)
}

/// TIOCSPGRP: the group must be one of the session.
pub(super) fn set_foreground(group: Pid) -> Result<(), Errno> {
    ours()?;
    check_change()?;
    if group <= 0 {
        return Err(Errno::EINVAL);
    }
    let session = task::current().sid();
    let mut members = task::all()
        .into_iter()
        .filter(|process| process.pgid() == group)
        .peekable();
    if members.peek().is_none() {
        return Err(Errno::ESRCH);
    }
    if !members.any(|process| process.sid() == session) {
        return Err(Errno::EPERM);
    }
    TERMINAL.lock().job.foreground = group;
    Ok(())
}

/// A read: a group in the background is stopped. EIO where it cannot be.
pub(super) fn check_read() -> Result<(), Errno> {
    if !in_background() {
        return Ok(());
    }
    if !heeds(SIGTTIN) || is_orphaned() {
        return Err(Errno::EIO);
    }
    stop(SIGTTIN)
}

/// A write: with TOSTOP a group in the background is stopped.
pub(super) fn check_write() -> Result<(), Errno> {
    if !TERMINAL.lock().discipline.settings().has(TOSTOP) {
        return Ok(());
    }
    check_change()
}

/// A change of the terminal: a group in the background is stopped.
pub(super) fn check_change() -> Result<(), Errno> {
    if !in_background() || !heeds(SIGTTOU) {
        return Ok(());
    }
    if is_orphaned() {
        return Err(Errno::EIO);
    }
    stop(SIGTTOU)
}

fn in_background() -> bool {
    let process = task::current();
    let terminal = TERMINAL.lock();
    terminal.job.session == process.sid()
        && terminal
            .job
            .foreground()
            .is_some_and(|group| group != process.pgid())
}

fn heeds(signal: u32) -> bool {
    let blocked = task::current_thread().mask().contains(signal);
    !blocked && !task::current().action(signal).ignores(signal)
}

/// Whether no member of the group has its parent in another group of the session: who would let it
/// go on?
fn is_orphaned() -> bool {
    let process = task::current();
    let (group, session) = (process.pgid(), process.sid());
    !task::all()
        .iter()
        .filter(|member| member.pgid() == group)
        .any(|member| {
            task::find(member.ppid())
                .is_some_and(|parent| parent.sid() == session && parent.pgid() != group)
        })
}

fn stop(signal: u32) -> Result<(), Errno> {
    task::signal_group(task::current().pgid(), signal);
    Err(Errno::EINTR)
}
