//! The end of threads and processes.

use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::{CLD_EXITED, CLD_KILLED, SIGCHLD};

use super::pid::release;
use super::process::{EXITING, Process};
use super::signal::SigInfo;
use super::space::Space;
use super::stack::Args;
use super::start::{self, INIT};
use super::thread::{State, Thread};
use super::{oom, post_to_process, reap, sched, table, timers};
use crate::fs::{FileTable, wait};
use crate::ipc::shm;
use crate::linux::{futex, robust};
use crate::mm::user;
use crate::sync::Mutex;

/// exit_group(2): the process ends with this code.
pub fn exit_group(code: i32) -> ! {
    end_process(sched::current_thread().process(), (code & 0xff) << 8);
    end_thread()
}

/// exit(2): the thread ends; the process too, with this code, if it was the last one.
pub fn exit_thread(code: i32) -> ! {
    let thread = sched::current_thread();
    if !thread.process().is_exiting() {
        thread.process().set_status((code & 0xff) << 8);
    }
    end_thread()
}

/// Tells a process to end with a status as wait(2) reports it.
pub(super) fn end_process(process: &Process, status: i32) {
    if !process.is_exiting() {
        process.set_status(status);
        process.tell(EXITING);
        process.goes_on.wake_all();
        process.disturb();
    }
}

/// Ends the thread that runs. Whatever counted references lie on its stack are never let go: there
/// must be none.
pub(super) fn end_thread() -> ! {
    let thread = sched::current_thread();
    {
        robust::give_up_all(&thread);
        let word = thread.clear_child_tid.load(Relaxed);
        // A word that cannot be written concerns nobody.
        if word != 0 && user::write_u32(word, 0).is_ok() {
            futex::wake_for_exit(word);
        }
        let process = thread.process();
        let me: &Thread = &thread;
        let last = {
            let mut threads = process.threads.lock();
            process.ended_ns.fetch_add(sched::run_ns(me), Relaxed);
            let at = threads.iter().position(|other| core::ptr::eq(&**other, me));
            // The scheduler holds another reference.
            let gone = at.map(|at| threads.swap_remove(at));
            drop(gone);
            threads.is_empty()
        };
        if me.tid() != process.pid {
            release(me.tid());
        }
        thread.pending.forget(super::SigSet(u64::MAX));
        if last {
            end_of_process(process);
        }
        process.thread_gone.wake_all();
        table::thread_ends();
        thread.set_state(State::Dead);
    }
    sched::give_up();
    unreachable!("a thread that has ended runs")
}

/// What a zombie has in the place of memory, files and a program.
#[derive(Clone)]
pub(super) struct Nothing {
    pub space: Arc<Space>,
    pub files: Arc<Mutex<FileTable>>,
    pub args: Arc<Args>,
    pub exe: Arc<String>,
}

/// The last thread of a process ends.
fn end_of_process(process: &Arc<Process>) {
    timers::remove_alarm(process);
    let Some(nothing) = start::nothing() else {
        start::power_off(process.status.load(Relaxed))
    };
    *process.args.lock() = nothing.args;
    *process.exe.lock() = nothing.exe;
    let files = process.replace_files(nothing.files);
    drop(files);
    sched::leave_space();
    let space = process.replace_space(nothing.space);
    // Memory that another process has too stays.
    if Arc::strong_count(&space) == 1 {
        shm::used_by(&space, false);
    }
    drop(space);
    shm::sweep();
    return_memory(process);
    oom::memory_returned();
    process.pending.forget(super::SigSet(u64::MAX));
    let status = process.status.load(Relaxed);
    if process.pid == INIT {
        start::power_off(status);
    }
    super::groups::before_exit(process);
    process.end_tracing(0);
    give_children_away(process);
    process.zombie.store(true, Relaxed);
    tell_parent(process, status);
    // Descriptors of the process are readable now.
    wait::changed();
}

/// The parent that waits for its memory goes on.
pub(super) fn return_memory(process: &Process) {
    if process.borrows_memory.swap(false, Relaxed) {
        process.memory_returned.wake_all();
    }
}

/// The children get the first process as their parent.
fn give_children_away(process: &Process) {
    let children = core::mem::take(&mut *process.children.lock());
    let Some(init) = table::find(INIT) else {
        return;
    };
    for child in children {
        child.end_tracing(0);
        child.parent.store(INIT, Relaxed);
        child.exit_signal.store(SIGCHLD as i32, Relaxed);
        let zombie = child.is_zombie();
        let death_signal = child.settings.lock().death_signal;
        if death_signal != 0 {
            post_to_process(&child, SigInfo::user(death_signal, process.pid));
        }
        let mut adopted = init.children.lock();
        if adopted.try_reserve(1).is_ok() {
            adopted.push(child.clone());
        } else {
            // Nobody can ask for it any more: it goes when it ends.
            child.parent.store(0, Relaxed);
        }
        drop(adopted);
        if zombie {
            tell_parent(&child, child.status.load(Relaxed));
        }
    }
}

/// Tells the parent that its child has ended; or lets the child go, if the parent does not want to
/// know.
fn tell_parent(process: &Arc<Process>, status: i32) {
    let Some(parent) = table::find(process.ppid()) else {
        table::remove(process.pid);
        return;
    };
    let signal = process.exit_signal.load(Relaxed) as u32;
    if signal == SIGCHLD && parent.action(SIGCHLD).reaps_children() {
        reap::forget_child(&parent, process);
    }
    if signal != 0 {
        let (code, value) = match status & 0x7f {
            0 => (CLD_EXITED, status >> 8 & 0xff),
            signal => (CLD_KILLED, signal),
        };
        post_to_process(&parent, SigInfo::child(signal, code, process.pid, value));
    }
    parent.child_news.wake_all();
}
