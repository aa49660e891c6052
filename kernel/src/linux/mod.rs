//! Linux's system calls on x86_64.
//!
//! A call gets its six arguments as words and returns a word or an [`Errno`]. Each module has a
//! `dispatch` that knows the numbers of its calls; a number that nobody knows is printed once and
//! fails with ENOSYS.

pub mod calls;
mod errno;
pub mod files;
pub mod futex;
pub mod memory;
mod paths;
mod pidfd;
mod poll;
mod prctl;
mod process;
mod ptrace;
pub mod robust;
mod sched;
mod signal;
mod socket;
mod system;
mod time;
mod timerfd;

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general as nr;

use crate::arch::frame::Frame;
use crate::task::trace;
use crate::{println, task};

pub use errno::Errno;

/// What a call returns.
pub type Result = core::result::Result<usize, Errno>;

/// Carries the system call out that these registers ask for. True if the program goes on behind it
/// with nothing changed but the result.
#[inline(always)]
pub fn system_call(frame: &mut Frame) -> bool {
    let number = frame.rax;
    if trace::is_on() && !trace::call_begins() {
        task::look(frame, None);
        return false;
    }
    calls::made(number);
    let result = match number as u32 {
        // These change all registers.
        nr::__NR_rt_sigreturn => return finish(frame, signal::sigreturn),
        nr::__NR_execve => return finish(frame, process::execve),
        nr::__NR_clone => process::clone(frame),
        nr::__NR_fork => process::fork(frame),
        nr::__NR_vfork => process::vfork(frame),
        _ => {
            let args = [
                frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9,
            ];
            dispatch(number, args)
        }
    };
    frame.rax = to_word(number, result);
    if task::must_look() {
        task::look(frame, Some(number));
        return false;
    }
    true
}

#[inline(never)]
fn finish(frame: &mut Frame, call: fn(&mut Frame) -> core::result::Result<(), Errno>) -> bool {
    let number = frame.rax;
    if let Err(error) = call(frame) {
        frame.rax = to_word(number, Err(error));
    }
    task::before_return(frame);
    false
}

#[inline(always)]
fn to_word(number: usize, result: Result) -> usize {
    match result {
        Ok(word) => word,
        Err(error) => {
            calls::failed(number, error);
            error.0.wrapping_neg() as isize as usize
        }
    }
}

#[inline(always)]
fn dispatch(number: usize, a: [usize; 6]) -> Result {
    match number as u32 {
        nr::__NR_getpid => Ok(task::current().pid as usize),
        nr::__NR_getppid => Ok(task::current().ppid() as usize),
        nr::__NR_gettid => Ok(task::current_thread().tid() as usize),
        nr::__NR_mmap
        | nr::__NR_munmap
        | nr::__NR_mprotect
        | nr::__NR_mremap
        | nr::__NR_brk
        | nr::__NR_madvise
        | nr::__NR_msync
        | nr::__NR_mlock
        | nr::__NR_mlock2
        | nr::__NR_munlock
        | nr::__NR_mlockall
        | nr::__NR_munlockall => memory::call(number as u32, a),
        nr::__NR_rt_sigaction
        | nr::__NR_rt_sigprocmask
        | nr::__NR_rt_sigpending
        | nr::__NR_rt_sigsuspend
        | nr::__NR_rt_sigtimedwait
        | nr::__NR_rt_sigqueueinfo
        | nr::__NR_sigaltstack
        | nr::__NR_kill
        | nr::__NR_tkill
        | nr::__NR_tgkill
        | nr::__NR_pause => signal::call(number as u32, a),
        nr::__NR_clock_gettime
        | nr::__NR_clock_settime
        | nr::__NR_clock_getres
        | nr::__NR_clock_nanosleep
        | nr::__NR_nanosleep
        | nr::__NR_gettimeofday
        | nr::__NR_settimeofday
        | nr::__NR_time
        | nr::__NR_times
        | nr::__NR_getitimer
        | nr::__NR_setitimer
        | nr::__NR_alarm => time::call(number as u32, a),
        nr::__NR_futex => futex::call(a),
        _ => rest(number, a),
    }
}

/// The calls whose numbers other modules know.
#[inline(never)]
fn rest(number: usize, a: [usize; 6]) -> Result {
    files::dispatch(number, a)
        .or_else(|| memory::dispatch(number, a))
        .or_else(|| process::dispatch(number, a))
        .or_else(|| robust::dispatch(number, a))
        .or_else(|| paths::dispatch(number, a))
        .or_else(|| poll::dispatch(number, a))
        .or_else(|| socket::dispatch(number, a))
        .or_else(|| pidfd::dispatch(number, a))
        .or_else(|| timerfd::dispatch(number, a))
        .or_else(|| prctl::dispatch(number, a))
        .or_else(|| sched::dispatch(number, a))
        .or_else(|| system::dispatch(number, a))
        .unwrap_or_else(|| unknown(number))
}

/// Prints the number of an unknown call, once.
#[cold]
fn unknown(number: usize) -> Result {
    static PRINTED: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
    let bit = 1 << (number % 64);
    if let Some(word) = PRINTED.get(number / 64)
        && word.fetch_or(bit, Relaxed) & bit == 0
    {
        println!("scalvm: unknown system call {number}");
    }
    Err(Errno::ENOSYS)
}
