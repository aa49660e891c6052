//! New processes and threads.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::{
    CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_FILES, CLONE_FS, CLONE_PARENT,
    CLONE_PARENT_SETTID, CLONE_SETTLS, CLONE_SIGHAND, CLONE_THREAD, CLONE_VFORK, CLONE_VM,
};

use super::pid::NewPid;
use super::process::{Parts, Process};
use super::signal::AltStack;
use super::thread::{Start, Thread};
use super::{Pid, sched, table};
use crate::arch::frame::Frame;
use crate::arch::layout::USER_HIGH;
use crate::fs::memory;
use crate::ipc::shm;
use crate::linux::Errno;
use crate::mm::user;
use crate::sync::Mutex;

/// What clone(2) asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloneRequest {
    /// CLONE_ flags.
    pub flags: u32,
    /// The signal for the parent when the child ends, 0 for none.
    pub exit_signal: u32,
    /// The child's stack pointer, 0 for the caller's.
    pub stack: usize,
    /// Where the child's number goes in the caller's memory.
    pub parent_tid: usize,
    /// Where the child's number goes in the child's memory.
    pub child_tid: usize,
    /// The child's thread-local memory.
    pub tls: usize,
}

impl CloneRequest {
    /// fork(2).
    pub const FORK: CloneRequest = CloneRequest {
        flags: 0,
        exit_signal: linux_raw_sys::general::SIGCHLD,
        stack: 0,
        parent_tid: 0,
        child_tid: 0,
        tls: 0,
    };

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn check(&self) -> Result<(), Errno> {
        let orphan = self.has(CLONE_THREAD) && !self.has(CLONE_SIGHAND)
            || self.has(CLONE_SIGHAND) && !self.has(CLONE_VM);
        let bad_tls = self.has(CLONE_SETTLS) && self.tls >= USER_HIGH;
        if orphan || bad_tls || self.exit_signal > 64 {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    }
}

/// clone(2): a child that goes on where the caller does, with the result 0. Returns its number;
/// with CLONE_VFORK only when the child no longer needs the caller's memory.
pub fn clone(frame: &Frame, request: &CloneRequest) -> Result<Pid, Errno> {
    request.check()?;
    let me = sched::current_thread();
    let mut registers = Frame { rax: 0, ..*frame };
    if request.stack != 0 {
        registers.rsp = request.stack;
    }
    let number = NewPid::new()?;
    let tid = number.get();
    let is_thread = request.has(CLONE_THREAD);
    let process = if is_thread {
        me.process().clone()
    } else {
        new_process(tid, me.process(), request)?
    };
    let thread = Thread::new(tid, process.clone(), Start::Program(&registers))?;
    me.fpu.save();
    thread.fpu.copy_from(&me.fpu);
    let tls = if request.has(CLONE_SETTLS) {
        request.tls
    } else {
        me.segments.fs.get()
    };
    thread.segments.fs.set(tls);
    thread.segments.gs.set(me.segments.gs.get());
    thread.mask.set(me.mask.get());
    thread.policy.set(me.policy.get());
    if !request.has(CLONE_VM) || request.has(CLONE_VFORK) {
        thread.alt_stack.set(me.alt_stack.get());
    } else {
        thread.alt_stack.set(AltStack::NONE);
    }
    if request.has(CLONE_CHILD_CLEARTID) {
        thread.clear_child_tid.store(request.child_tid, Relaxed);
    }
    if request.has(CLONE_PARENT_SETTID) {
        // As on Linux, nobody is told if the word cannot be written.
        let _ = user::write_u32(request.parent_tid, tid as u32);
    }
    if request.has(CLONE_CHILD_SETTID) {
        let _ = process.map().write(request.child_tid, &tid.to_le_bytes());
    }
    enter(&me, &process, thread.clone(), request)?;
    number.keep();
    table::thread_begins();
    sched::make_ready(&thread);
    drop(thread);
    if request.has(CLONE_VFORK) && !is_thread {
        process
            .memory_returned
            .wait_killable(|| !process.borrows_memory.load(Relaxed));
    }
    Ok(tid)
}

/// A process with what the flags say of the caller's.
fn new_process(pid: Pid, parent: &Process, request: &CloneRequest) -> Result<Arc<Process>, Errno> {
    let parts = Parts {
        files: if request.has(CLONE_FILES) {
            parent.files()
        } else {
            memory::arc(Mutex::new(parent.files().lock().duplicate()?))?
        },
        fs: if request.has(CLONE_FS) {
            parent.fs()
        } else {
            memory::arc(Mutex::new(parent.fs().lock().clone()))?
        },
        actions: if request.has(CLONE_SIGHAND) {
            parent.actions()
        } else {
            memory::arc(Mutex::new(parent.actions().lock().clone()))?
        },
        args: parent.args(),
        exe: parent.exe(),
        space: if request.has(CLONE_VM) {
            parent.map()
        } else {
            let space = parent.map().fork()?;
            shm::used_by(&space, true);
            space
        },
    };
    let child = Process::new(pid, parts);
    let real_parent = if request.has(CLONE_PARENT) {
        parent.ppid()
    } else {
        parent.pid
    };
    child.parent.store(real_parent, Relaxed);
    child.exit_signal.store(request.exit_signal as i32, Relaxed);
    child
        .borrows_memory
        .store(request.has(CLONE_VFORK), Relaxed);
    *child.name.lock() = parent.comm();
    *child.limits.lock() = *parent.limits.lock();
    *child.settings.lock() = parent.settings.lock().inherited();
    child.set_oom_adjustment(parent.oom_adjustment());
    memory::arc(child)
}

/// Makes the new thread, and process, known. If that fails nothing is left of them.
fn enter(
    me: &Thread,
    process: &Arc<Process>,
    thread: Arc<Thread>,
    request: &CloneRequest,
) -> Result<(), Errno> {
    process
        .threads
        .lock()
        .try_reserve(1)
        .map_err(|_| Errno::ENOMEM)?;
    if !request.has(CLONE_THREAD) {
        let caller = me.process();
        let other = if request.has(CLONE_PARENT) {
            table::find(caller.ppid())
        } else {
            None
        };
        let parent = other.as_ref().unwrap_or(caller);
        parent
            .children
            .lock()
            .try_reserve(1)
            .map_err(|_| Errno::ENOMEM)?;
        // Only who is in the table keeps the numbers of its group and session from being given again.
        process.group.store(caller.pgid(), Relaxed);
        process.session.store(caller.sid(), Relaxed);
        table::add(process.clone())?;
        parent.children.lock().push(process.clone());
    }
    process.threads.lock().push(thread);
    Ok(())
}
