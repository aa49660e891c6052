//! Processes: clone, execve, exit, wait, and their numbers.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    __WALL, __WCLONE, CLD_CONTINUED, CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLONE_NEWCGROUP,
    CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
    CLONE_PIDFD, CLONE_VFORK, CLONE_VM, P_ALL, P_PGID, P_PID, SIGCHLD, WCONTINUED, WEXITED,
    WNOHANG, WNOWAIT, WSTOPPED, WUNTRACED,
};
use scalvm::PAGE_SIZE;

use super::{Errno, Result, system};
use crate::arch::frame::Frame;
use crate::mm::user;
use crate::task::{self, CloneRequest, Pid, SigInfo, Strings, Wanted, trace};

/// The longest path, with its zero byte.
const PATH_MAX: usize = 4096;
/// The longest argument.
const MAX_ARG: usize = 32 * PAGE_SIZE;

#[inline(never)]
pub fn clone(frame: &Frame) -> Result {
    const SIGNAL: u32 = 0xff;
    const SPACES: u32 = CLONE_NEWNS
        | CLONE_NEWCGROUP
        | CLONE_NEWUTS
        | CLONE_NEWIPC
        | CLONE_NEWUSER
        | CLONE_NEWPID
        | CLONE_NEWNET
        | CLONE_PIDFD;
    let flags = frame.rdi as u32;
    if flags & SPACES != 0 {
        return Err(Errno::EINVAL);
    }
    let request = CloneRequest {
        flags: flags & !SIGNAL,
        exit_signal: flags & SIGNAL,
        stack: frame.rsi,
        parent_tid: frame.rdx,
        child_tid: frame.r10,
        tls: frame.r8,
    };
    start_child(frame, &request)
}

/// Makes a process or thread. Where there is no memory for it, room is made.
fn start_child(frame: &Frame, request: &CloneRequest) -> Result {
    task::with_memory(|| task::clone(frame, request)).map(|pid| pid as usize)
}

#[inline(never)]
pub fn fork(frame: &Frame) -> Result {
    start_child(frame, &CloneRequest::FORK)
}

#[inline(never)]
pub fn vfork(frame: &Frame) -> Result {
    let request = CloneRequest {
        flags: CLONE_VM | CLONE_VFORK,
        ..CloneRequest::FORK
    };
    start_child(frame, &request)
}

#[inline(never)]
pub fn execve(frame: &mut Frame) -> core::result::Result<(), Errno> {
    let path = user::copy_in_str(frame.rdi, PATH_MAX)?;
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut args = strings(frame.rsi)?;
    if args.is_empty() {
        // As Linux does: there is always a name.
        args.push(b"")?;
    }
    let env = strings(frame.rdx)?;
    task::exec(frame, &path, args, &env)?;
    trace::has_execed();
    Ok(())
}

/// The strings that an array of pointers names, which ends with a null pointer. A null pointer is
/// an empty array.
fn strings(mut array: usize) -> core::result::Result<Strings, Errno> {
    let mut strings = Strings::new();
    if array == 0 {
        return Ok(strings);
    }
    loop {
        let string = user::read_u64(array)? as usize;
        if string == 0 {
            return Ok(strings);
        }
        strings.push(&user::copy_in_str_or(string, MAX_ARG, Errno::E2BIG)?)?;
        array += size_of::<usize>();
    }
}

#[inline(never)]
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    let me = task::current();
    Some(match number as u32 {
        nr::__NR_getpgrp => Ok(me.pgid() as usize),
        nr::__NR_getuid | nr::__NR_geteuid | nr::__NR_getgid | nr::__NR_getegid => Ok(0),
        nr::__NR_getpgid => find(a[0]).map(|process| process.pgid() as usize),
        nr::__NR_getsid => find(a[0]).map(|process| process.sid() as usize),
        nr::__NR_setpgid => task::set_group(a[0] as Pid, a[1] as Pid).map(|()| 0),
        nr::__NR_setsid => task::new_session().map(|pid| pid as usize),
        nr::__NR_exit => task::exit_thread(a[0] as i32),
        nr::__NR_exit_group => task::exit_group(a[0] as i32),
        nr::__NR_wait4 => wait4(a[0] as Pid, a[1], a[2] as u32, a[3]),
        nr::__NR_waitid => waitid(a[0] as u32, a[1] as Pid, a[2], a[3] as u32, a[4]),
        nr::__NR_set_tid_address => {
            let thread = task::current_thread();
            thread
                .clear_child_tid
                .store(a[0], core::sync::atomic::Ordering::Relaxed);
            Ok(thread.tid() as usize)
        }
        nr::__NR_ptrace => super::ptrace::ptrace(a[0], a[1], a[2], a[3]),
        nr::__NR_sched_yield => {
            task::yield_now();
            Ok(0)
        }
        _ => return None,
    })
}

/// The process with this number; 0 is the caller.
fn find(pid: usize) -> core::result::Result<alloc::sync::Arc<task::Process>, Errno> {
    let pid = if pid as Pid == 0 {
        task::current().pid
    } else {
        pid as Pid
    };
    task::find(pid).ok_or(Errno::ESRCH)
}

fn wait4(which: Pid, status: usize, options: u32, usage: usize) -> Result {
    const KNOWN: u32 = WNOHANG | WUNTRACED | WCONTINUED | nr::__WNOTHREAD | __WCLONE | __WALL;
    if options & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    if which == Pid::MIN {
        return Err(Errno::ESRCH);
    }
    let wanted = Wanted {
        which,
        ended: true,
        stopped: options & WUNTRACED != 0,
        continued: options & WCONTINUED != 0,
        keep: false,
        no_wait: options & WNOHANG != 0,
        clones: options & (__WALL | __WCLONE) != 0,
        ordinary: options & __WCLONE == 0 || options & __WALL != 0,
    };
    let Some(child) = task::wait_for_child(&wanted)? else {
        return Ok(0);
    };
    if status != 0 {
        user::write_u32(status, child.status as u32)?;
    }
    if usage != 0 {
        user::write(usage, &usage_of(&child))?;
    }
    Ok(child.pid as usize)
}

/// What the child has used, and its children.
fn usage_of(child: &task::WaitedFor) -> [u64; 18] {
    let [own, children] = child.faults;
    let faults = task::Faults {
        minor: own.minor + children.minor,
        major: own.major + children.major,
    };
    system::rusage(child.times.own_ns + child.times.children_ns, 0, faults)
}

fn waitid(kind: u32, id: Pid, info: usize, options: u32, usage: usize) -> Result {
    const KNOWN: u32 =
        WNOHANG | WSTOPPED | WEXITED | WCONTINUED | WNOWAIT | nr::__WNOTHREAD | __WCLONE | __WALL;
    if options & !KNOWN != 0 || options & (WEXITED | WSTOPPED | WCONTINUED) == 0 {
        return Err(Errno::EINVAL);
    }
    let which = match kind {
        P_ALL => -1,
        P_PID if id > 0 => id,
        P_PGID if id > 0 => -id,
        P_PGID if id == 0 => 0,
        _ => return Err(Errno::EINVAL),
    };
    let wanted = Wanted {
        which,
        ended: options & WEXITED != 0,
        stopped: options & WSTOPPED != 0,
        continued: options & WCONTINUED != 0,
        keep: options & WNOWAIT != 0,
        no_wait: options & WNOHANG != 0,
        clones: options & (__WALL | __WCLONE) != 0,
        ordinary: options & __WCLONE == 0 || options & __WALL != 0,
    };
    let child = task::wait_for_child(&wanted)?;
    if info != 0 {
        let words = match child {
            Some(child) => {
                let (code, status) = match child.status {
                    0xffff => (CLD_CONTINUED, nr::SIGCONT as i32),
                    status if status & 0xff == 0x7f => (CLD_STOPPED, status >> 8),
                    status if status & 0x7f == 0 => (CLD_EXITED, status >> 8),
                    status => (CLD_KILLED, status & 0x7f),
                };
                SigInfo::child(SIGCHLD, code, child.pid, status).to_words()
            }
            None => [0; 16],
        };
        user::write(info, &words)?;
    }
    if let (Some(child), true) = (child, usage != 0) {
        user::write(usage, &usage_of(&child))?;
    }
    Ok(0)
}
