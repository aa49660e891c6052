//! Signals.

use alloc::sync::Arc;

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGKILL, SIGSTOP};

use super::{Errno, Result, time};
use crate::arch::frame::Frame;
use crate::arch::time::now_ns;
use crate::mm::user;
use crate::task::{self, Action, AltStack, Pid, Process, SigInfo, SigSet, WaitQueue};

/// Bytes of a set of signals.
const SET_SIZE: usize = 8;

#[inline(never)]
pub fn sigreturn(frame: &mut Frame) -> core::result::Result<(), Errno> {
    // What cannot be returned to is a fault.
    if task::sigreturn(frame).is_err() {
        let info = SigInfo::kernel(nr::SIGSEGV);
        task::fault_signal(info, task::FaultContext::NONE);
    }
    Ok(())
}

#[inline(never)]
pub fn call(number: u32, a: [usize; 6]) -> Result {
    match number {
        nr::__NR_rt_sigaction => action(a[0], a[1], a[2], a[3]),
        nr::__NR_rt_sigprocmask => mask(a[0] as u32, a[1], a[2], a[3]),
        nr::__NR_rt_sigpending => pending(a[0], a[1]),
        nr::__NR_rt_sigsuspend => suspend(a[0], a[1]),
        nr::__NR_rt_sigtimedwait => timed_wait(a[0], a[1], a[2], a[3]),
        nr::__NR_rt_sigqueueinfo => queue(a[0] as Pid, a[1], a[2]),
        nr::__NR_sigaltstack => alt_stack(a[0], a[1]),
        nr::__NR_kill => kill(a[0] as Pid, a[1]),
        nr::__NR_tkill => thread_kill(None, a[0] as Pid, a[1]),
        nr::__NR_tgkill => thread_kill(Some(a[0] as Pid), a[1] as Pid, a[2]),
        nr::__NR_pause => sleep(),
        _ => Err(Errno::ENOSYS),
    }
}

fn read_set(at: usize, size: usize) -> core::result::Result<SigSet, Errno> {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    Ok(SigSet(user::read_u64(at)?))
}

/// EINVAL unless this is a signal, or 0 for none.
fn check(signal: usize) -> core::result::Result<u32, Errno> {
    if signal as i32 as usize == signal && signal <= 64 {
        Ok(signal as u32)
    } else {
        Err(Errno::EINVAL)
    }
}

fn action(signal: usize, new: usize, old: usize, size: usize) -> Result {
    let signal = check(signal)?;
    if size != SET_SIZE || signal == 0 || new != 0 && (signal == SIGKILL || signal == SIGSTOP) {
        return Err(Errno::EINVAL);
    }
    let me = task::current();
    let before = me.action(signal);
    if new != 0 {
        let [handler, flags, restorer, mask]: [usize; 4] = user::read(new)?;
        let mask = SigSet(mask as u64).without(SigSet::UNMASKABLE);
        me.set_action(
            signal,
            Action {
                handler,
                flags,
                restorer,
                mask,
            },
        );
    }
    if old != 0 {
        user::write(
            old,
            &[
                before.handler,
                before.flags,
                before.restorer,
                before.mask.0 as usize,
            ],
        )?;
    }
    Ok(0)
}

fn mask(how: u32, new: usize, old: usize, size: usize) -> Result {
    if size != SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let thread = task::current_thread();
    let before = thread.mask();
    if new != 0 {
        let set = SigSet(user::read_u64(new)?);
        thread.set_mask(match how {
            SIG_BLOCK => before | set,
            SIG_UNBLOCK => before.without(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        });
    }
    if old != 0 {
        user::write_u64(old, before.0)?;
    }
    Ok(0)
}

fn pending(set: usize, size: usize) -> Result {
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let bytes = task::current_thread().pending().0.to_le_bytes();
    user::copy_out(set, &bytes[..size])?;
    Ok(0)
}

fn suspend(set: usize, size: usize) -> Result {
    let set = read_set(set, size)?;
    task::current_thread().set_mask_for_wait(set);
    sleep()
}

/// Waits for a signal that is handled.
fn sleep() -> Result {
    static NOBODY_WAKES: WaitQueue = WaitQueue::new();
    NOBODY_WAKES.wait_until(|| false)?;
    Err(Errno::EINTR)
}

fn timed_wait(set: usize, info: usize, timeout: usize, size: usize) -> Result {
    static NOBODY_WAKES: WaitQueue = WaitQueue::new();
    let set = read_set(set, size)?.without(SigSet::UNMASKABLE);
    let timeout = if timeout == 0 {
        None
    } else {
        Some(time::read_timespec(timeout)?)
    };
    let thread = task::current_thread();
    let mut found = thread.take_signal(set);
    if found.is_none() && timeout != Some(0) {
        thread.set_awaited(set);
        let until = timeout.map_or(u64::MAX, |ns| now_ns().saturating_add(ns));
        // How it ended shows in whether there is a signal.
        let result = NOBODY_WAKES.wait_until_time(until, || false);
        thread.set_awaited(SigSet::EMPTY);
        found = thread.take_signal(set);
        if found.is_none() && result == Err(Errno::EINTR) {
            return Err(Errno::EINTR);
        }
    }
    let found = found.ok_or(Errno::EAGAIN)?;
    if info != 0 {
        user::write(info, &found.to_words())?;
    }
    Ok(found.signal as usize)
}

fn queue(pid: Pid, signal: usize, info: usize) -> Result {
    let signal = check(signal)?;
    let words: [u64; 4] = user::read(info)?;
    let info = SigInfo::from_words(signal, words);
    if info.code >= 0 && pid != task::current().pid {
        return Err(Errno::EPERM);
    }
    let process = task::find(pid).ok_or(Errno::ESRCH)?;
    if signal != 0 {
        task::post_to_process(&process, info);
    }
    Ok(0)
}

fn alt_stack(new: usize, old: usize) -> Result {
    const DISABLE: u32 = 2;
    const ON_STACK: u32 = 1;
    const AUTODISARM: u32 = 1 << 31;
    const MIN_SIZE: usize = 2048;
    let thread = task::current_thread();
    let before = thread.alt_stack();
    let sp = task::user_stack_pointer();
    if new != 0 {
        let [base, flags, size]: [usize; 3] = user::read(new)?;
        let flags = flags as u32;
        if before.holds(sp) {
            return Err(Errno::EPERM);
        }
        if !matches!(flags & !AUTODISARM, 0 | DISABLE | ON_STACK) {
            return Err(Errno::EINVAL);
        }
        if flags & DISABLE != 0 {
            thread.set_alt_stack(AltStack::NONE);
        } else if size < MIN_SIZE {
            return Err(Errno::ENOMEM);
        } else {
            thread.set_alt_stack(AltStack {
                base,
                size,
                flags: 0,
            });
        }
    }
    if old != 0 {
        user::write(
            old,
            &[before.base, before.shown_flags(sp) as usize, before.size],
        )?;
    }
    Ok(0)
}

fn kill(pid: Pid, signal: usize) -> Result {
    let signal = check(signal)?;
    let me = task::current();
    let info = SigInfo::user(signal, me.pid);
    match pid {
        -1 => {
            // Everybody but the first process and the caller.
            let mut found = false;
            for process in task::all() {
                if process.pid != 1 && process.pid != me.pid {
                    found = true;
                    if signal != 0 {
                        task::post_to_process(&process, info);
                    }
                }
            }
            if found { Ok(0) } else { Err(Errno::ESRCH) }
        }
        Pid::MIN => Err(Errno::ESRCH),
        0 => task::post_to_group(me.pgid(), info).map(|()| 0),
        group if group < 0 => task::post_to_group(-group, info).map(|()| 0),
        pid => {
            let process = task::find(pid).ok_or(Errno::ESRCH)?;
            if signal != 0 {
                task::post_to_process(&process, info);
            }
            Ok(0)
        }
    }
}

/// pidfd_send_signal(2): to a process, with what is known about the signal if there is an address
/// for that.
pub(super) fn send_to(process: &Arc<Process>, signal: usize, info: usize) -> Result {
    let signal = check(signal)?;
    let me = task::current().pid;
    let mut what = SigInfo::user(signal, me);
    if info != 0 {
        let words: [u64; 4] = user::read(info)?;
        what = SigInfo::from_words(signal, words);
        if words[0] as u32 != signal {
            return Err(Errno::EINVAL);
        }
        // Only to itself may a process say that somebody else, or the kernel, sent it.
        if process.pid != me && (what.code >= 0 || what.code == nr::SI_TKILL) {
            return Err(Errno::EPERM);
        }
    }
    if task::find(process.pid).is_none_or(|found| !Arc::ptr_eq(&found, process)) {
        return Err(Errno::ESRCH);
    }
    if signal != 0 {
        task::post_to_process(process, what);
    }
    Ok(0)
}

fn thread_kill(process: Option<Pid>, tid: Pid, signal: usize) -> Result {
    let signal = check(signal)?;
    if tid <= 0 || process.is_some_and(|pid| pid <= 0) {
        return Err(Errno::EINVAL);
    }
    let thread = task::find_thread(tid).ok_or(Errno::ESRCH)?;
    if process.is_some_and(|pid| thread.process().pid != pid) {
        return Err(Errno::ESRCH);
    }
    if signal != 0 {
        task::post_to_thread(&thread, SigInfo::thread(signal, task::current().pid))?;
    }
    Ok(0)
}
