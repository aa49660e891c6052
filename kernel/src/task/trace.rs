//! Tracing, as much of ptrace(2) as needs no registers.
//!
//! A process asks to be traced by its parent. From then on its first thread stops at each signal that it takes, and where
//! the parent wishes at the begin and the end of each system call; the parent is told, may look at the memory, and says how it
//! goes on. Other threads and children of it are not traced. When either ends, so does the tracing.
//!
//! While nobody is traced a system call loads one word for it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use linux_raw_sys::general::{CLD_TRAPPED, SIGTRAP};

use super::process::{News, Process};
use super::signal::{SigInfo, post_to_thread, signal_current, stop as send_stop, tell_parent};
use super::thread::Thread;
use super::{sched, table};
use crate::linux::Errno;

/// What is added to the signal where a system call begins or ends, if the tracer has asked for that.
const OF_CALL: u32 = 0x80;

/// How many processes are traced.
static TRACED: AtomicU32 = AtomicU32::new(0);

/// How a process is traced.
#[derive(Clone, Copy, Default)]
pub struct Tracing {
    on: bool,
    /// Stops of system calls are told apart from signals.
    marks_calls: bool,
    /// It stops at system calls.
    at_calls: bool,
    /// It is in a call at whose begin it could stop.
    in_call: bool,
    /// It waits for its tracer, which has been told.
    stopped: bool,
    /// The signal with which it goes on, 0 for none.
    signal: u32,
}

/// The caller's process is traced by its parent from now on. EPERM if it is already, or has none.
pub fn trace_me() -> Result<(), Errno> {
    let me = sched::current();
    let mut tracing = me.tracing.lock();
    if tracing.on || table::find(me.ppid()).is_none() {
        return Err(Errno::EPERM);
    }
    tracing.on = true;
    TRACED.fetch_add(1, Relaxed);
    Ok(())
}

/// Whether anybody is traced.
#[inline(always)]
pub fn is_on() -> bool {
    TRACED.load(Relaxed) != 0
}

/// A system call begins. False if the thread is to end instead.
#[cold]
pub fn call_begins() -> bool {
    let thread = sched::current_thread();
    if let Some(process) = traced(&thread) {
        let mut tracing = process.tracing.lock();
        let stops = tracing.at_calls;
        tracing.in_call = stops;
        drop(tracing);
        if stops {
            stop_at_call(&thread);
            // So that its end is seen.
            sched::look_before_return();
        }
    }
    !thread.is_killed()
}

/// The thread is on its way back to its program: if that is from a call at whose begin it could stop, it can here.
pub fn call_ends() {
    let thread = sched::current_thread();
    if let Some(process) = traced(&thread) {
        let mut tracing = process.tracing.lock();
        let ends = core::mem::take(&mut tracing.in_call) && tracing.at_calls;
        drop(tracing);
        if ends {
            stop_at_call(&thread);
        }
    }
}

/// The caller has a new program: one that is traced stops before it begins.
pub fn has_execed() {
    if sched::current().is_traced() {
        signal_current(SIGTRAP);
    }
}

/// Stops at a signal that the thread has taken. Tells the signal that it takes instead, if any; nobody is asked if it is
/// not traced.
pub(super) fn at_signal(thread: &Thread, info: SigInfo) -> Option<SigInfo> {
    let Some(process) = traced(thread) else {
        return Some(info);
    };
    match stop(process, info.signal) {
        0 => None,
        same if same == info.signal => Some(info),
        other => Some(SigInfo::user(other, process.ppid())),
    }
}

/// A signal stops the process; one that is traced waits for its tracer once more.
pub(super) fn stop_process(process: &Process, signal: u32) {
    if process.is_traced() {
        // What it goes on with now is for no signal.
        let _ = stop(process, signal);
    } else {
        send_stop(process, signal);
    }
}

/// The process of a thread, if it is traced and the thread is its first.
fn traced(thread: &Thread) -> Option<&Arc<Process>> {
    let process = thread.process();
    (is_on() && thread.tid() == process.pid && process.is_traced()).then_some(process)
}

fn stop_at_call(thread: &Thread) {
    let process = thread.process();
    let mark = if process.tracing.lock().marks_calls {
        OF_CALL
    } else {
        0
    };
    let signal = stop(process, SIGTRAP | mark);
    if signal != 0
        && let Some(thread) = sched::current_arc()
    {
        // Only real-time signals can find no room.
        let _ = post_to_thread(&thread, SigInfo::user(signal, process.ppid()));
    }
}

/// The thread stops until its tracer says how it goes on, or it is to end. Tells the signal with which it goes on.
pub(super) fn stop(process: &Process, why: u32) -> u32 {
    let mut tracing = process.tracing.lock();
    tracing.stopped = true;
    tracing.signal = 0;
    drop(tracing);
    *process.news.lock() = News::Trapped(why);
    tell_parent(process, CLD_TRAPPED, (why & !OF_CALL) as i32);
    process
        .goes_on
        .wait_killable(|| !process.tracing.lock().stopped);
    process.tracing.lock().signal
}

impl Process {
    /// Whether it is traced.
    pub(super) fn is_traced(&self) -> bool {
        self.tracing.lock().on
    }

    /// Whether it waits for its tracer.
    pub(super) fn waits_for_tracer(&self) -> bool {
        self.tracing.lock().stopped
    }

    /// It is traced by its parent, whose number is given, and waits for it. ESRCH if not.
    pub fn is_stopped_for(&self, tracer: super::Pid) -> Result<(), Errno> {
        if self.is_traced_by(tracer) && self.waits_for_tracer() && !self.is_zombie() {
            Ok(())
        } else {
            Err(Errno::ESRCH)
        }
    }

    /// Whether it is traced by its parent, whose number is given.
    pub fn is_traced_by(&self, tracer: super::Pid) -> bool {
        self.is_traced() && self.ppid() == tracer
    }

    /// Whether its stops at system calls are told apart from signals.
    pub fn mark_calls(&self, marks: bool) {
        self.tracing.lock().marks_calls = marks;
    }

    /// It goes on, with a signal or none, and stops at system calls or does not.
    pub fn go_on_traced(&self, signal: u32, at_calls: bool) {
        let mut tracing = self.tracing.lock();
        tracing.at_calls = at_calls;
        tracing.signal = signal;
        tracing.stopped = false;
        drop(tracing);
        *self.news.lock() = News::None;
        self.goes_on.wake_all();
    }

    /// It is traced no more, and goes on.
    pub fn end_tracing(&self, signal: u32) {
        if self.is_traced() {
            TRACED.fetch_sub(1, Relaxed);
            *self.tracing.lock() = Tracing {
                signal,
                ..Tracing::default()
            };
            let mut news = self.news.lock();
            if matches!(*news, News::Trapped(_)) {
                *news = News::None;
            }
            drop(news);
            self.goes_on.wake_all();
        }
    }
}
