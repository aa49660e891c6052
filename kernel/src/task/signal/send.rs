//! Sending signals.

use alloc::sync::Arc;

use linux_raw_sys::general::{CLD_CONTINUED, CLD_STOPPED, SA_NOCLDSTOP, SIGCHLD, SIGCONT, SIGKILL};

use super::action::Action;
use super::frame::FaultContext;
use super::info::SigInfo;
use super::set::SigSet;
use crate::fs::wait;
use crate::linux::Errno;
use crate::task::process::{News, Process};
use crate::task::thread::Thread;
use crate::task::{Pid, exit, sched, table};

/// Sends a signal to a process, for whichever thread takes it.
pub fn post_to_process(process: &Arc<Process>, info: SigInfo) {
    if prepare(process, None, info.signal) {
        return;
    }
    process.pending.add(info);
    // Who polls for signals looks at once.
    wait::changed();
    let threads = process.threads.lock();
    let takes = |thread: &&Arc<Thread>| thread.notices(info.signal);
    let current = sched::current_arc();
    let mut takers = threads.iter().filter(takes);
    let preferred =
        current.filter(|thread| Arc::ptr_eq(thread.process(), process) && takes(&thread));
    if let Some(thread) = preferred.as_ref().or_else(|| takers.next()) {
        sched::disturb(thread);
    }
}

/// Sends a signal to one thread. EAGAIN if too many wait already.
pub fn post_to_thread(thread: &Arc<Thread>, info: SigInfo) -> Result<(), Errno> {
    if prepare(thread.process(), Some(thread), info.signal) {
        return Ok(());
    }
    let added = thread.pending.add(info);
    wait::changed();
    sched::disturb(thread);
    if added { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// What a signal does as soon as it is sent. True if that was all.
fn prepare(process: &Arc<Process>, target: Option<&Arc<Thread>>, signal: u32) -> bool {
    if process.is_zombie() || process.is_exiting() {
        return true;
    }
    if signal == SIGKILL {
        exit::end_process(process, SIGKILL as i32);
        return true;
    }
    if signal == SIGCONT {
        process.forget_signals(SigSet::STOPS);
        if process.is_stopped() {
            *process.news.lock() = News::Continued;
            process.tell_to_go_on();
            tell_parent(process, CLD_CONTINUED, SIGCONT as i32);
        }
    } else if SigSet::STOPS.contains(signal) {
        process.forget_signals(SigSet::GO_ON);
    }
    let held_back = match target {
        Some(thread) => thread.mask().contains(signal),
        None => process
            .threads
            .lock()
            .iter()
            .all(|thread| thread.mask().contains(signal)),
    };
    !held_back && process.action(signal).ignores(signal) && !process.is_traced()
}

/// Tells the parent that its child has stopped or goes on.
pub fn tell_parent(process: &Process, code: u32, status: i32) {
    if let Some(parent) = table::find(process.ppid()) {
        if parent.action(SIGCHLD).flags & SA_NOCLDSTOP as usize == 0 {
            post_to_process(&parent, SigInfo::child(SIGCHLD, code, process.pid, status));
        }
        parent.child_news.wake_all();
    }
}

/// The process stops; its threads do when they return to the program.
pub fn stop(process: &Process, signal: u32) {
    process.tell(crate::task::process::STOPPED);
    *process.news.lock() = News::Stopped(signal);
    process.disturb();
    tell_parent(process, CLD_STOPPED, signal as i32);
}

impl Process {
    /// Forgets these signals, whomever they were sent to.
    pub(in crate::task) fn forget_signals(&self, which: SigSet) {
        self.pending.forget(which);
        for thread in self.threads.lock().iter() {
            thread.pending.forget(which);
        }
    }

    /// Forgets this signal, whomever it was sent to.
    pub(in crate::task) fn forget_signal(&self, signal: u32) {
        self.forget_signals(SigSet::of(signal));
    }
}

/// Sends a signal from the kernel to all processes of a group.
pub fn signal_group(group: Pid, signal: u32) {
    // A group without members needs no signal.
    let _ = post_to_group(group, SigInfo::kernel(signal));
}

/// Sends a signal to all processes of a group. ESRCH if there are none.
pub fn post_to_group(group: Pid, info: SigInfo) -> Result<(), Errno> {
    let mut found = Err(Errno::ESRCH);
    table::for_each(|process| {
        if process.pgid() == group {
            found = Ok(());
            if info.signal != 0 {
                post_to_process(process, info);
            }
        }
    });
    found
}

/// Sends a signal from the kernel to the thread that runs.
pub fn signal_current(signal: u32) {
    if let Some(thread) = sched::current_arc() {
        // Only real-time signals can find no room.
        let _ = post_to_thread(&thread, SigInfo::kernel(signal));
    }
}

/// Sends a signal for a fault to the thread that runs. It cannot be held back or ignored: then it
/// ends the process.
pub fn fault_signal(info: SigInfo, context: FaultContext) {
    let Some(thread) = sched::current_arc() else {
        return;
    };
    let process = thread.process();
    let action = process.action(info.signal);
    if thread.mask.get().contains(info.signal) || action.handler == Action::IGNORE {
        process.set_action(
            info.signal,
            Action {
                handler: Action::DEFAULT,
                ..action
            },
        );
        thread.set_mask(thread.mask.get().without(SigSet::of(info.signal)));
    }
    thread.fault.set(context);
    let _ = post_to_thread(&thread, info);
}
