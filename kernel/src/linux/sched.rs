//! Scheduling: one processor and one policy. What asks for more is refused.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR,
};

use super::{Errno, Result};
use crate::mm::user;
use crate::task::{self, Pid};

#[inline(never)]
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_sched_getaffinity => affinity(a[0] as Pid, a[1], a[2]),
        nr::__NR_sched_setaffinity => set_affinity(a[0] as Pid, a[1], a[2]),
        nr::__NR_sched_getscheduler => exists(a[0] as Pid).map(|_| SCHED_NORMAL as usize),
        nr::__NR_sched_setscheduler => set_policy(a[0] as Pid, Some(a[1] as u32), a[2]),
        nr::__NR_sched_getparam => priority(a[0] as Pid, a[1]),
        nr::__NR_sched_setparam => set_policy(a[0] as Pid, None, a[1]),
        nr::__NR_sched_get_priority_max => bounds(a[0] as u32).map(|[_, max]| max),
        nr::__NR_sched_get_priority_min => bounds(a[0] as u32).map(|[min, _]| min),
        nr::__NR_getpriority => exists_if_process(a[0], a[1] as Pid).map(|_| 20),
        nr::__NR_setpriority => exists_if_process(a[0], a[1] as Pid),
        nr::__NR_getcpu => getcpu(a[0], a[1]),
        _ => return None,
    })
}

/// EINVAL, or ESRCH, unless a process or thread has this number; 0 is the caller.
fn exists(pid: Pid) -> Result {
    match pid {
        0 => Ok(0),
        pid if pid < 0 => Err(Errno::EINVAL),
        pid if task::find(pid).is_some() || task::find_thread(pid).is_some() => Ok(0),
        _ => Err(Errno::ESRCH),
    }
}

fn exists_if_process(kind: usize, pid: Pid) -> Result {
    const PROCESS: usize = 0;
    match kind {
        PROCESS => exists(pid),
        1 | 2 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn affinity(pid: Pid, size: usize, at: usize) -> Result {
    const WORD: usize = size_of::<u64>();
    if size < WORD || !size.is_multiple_of(WORD) {
        return Err(Errno::EINVAL);
    }
    exists(pid)?;
    user::write_u64(at, 1)?;
    Ok(WORD)
}

/// Without the one processor there is nothing to run on.
fn set_affinity(pid: Pid, size: usize, at: usize) -> Result {
    let first: u8 = match size {
        0 => 0,
        _ => user::read(at)?,
    };
    exists(pid)?;
    match first & 1 {
        0 => Err(Errno::EINVAL),
        _ => Ok(0),
    }
}

fn priority(pid: Pid, at: usize) -> Result {
    if at == 0 {
        return Err(Errno::EINVAL);
    }
    exists(pid)?;
    user::write_u32(at, 0)?;
    Ok(0)
}

/// sched_setscheduler(2) and sched_setparam(2): there is nothing but time sharing.
fn set_policy(pid: Pid, policy: Option<u32>, at: usize) -> Result {
    /// SCHED_RESET_ON_FORK, which changes nothing for who has no other policy.
    const RESET: u32 = 0x4000_0000;
    if at == 0 || pid < 0 {
        return Err(Errno::EINVAL);
    }
    let priority = user::read_u32(at)? as usize;
    exists(pid)?;
    let policy = policy.unwrap_or(SCHED_NORMAL) & !RESET;
    let [min, max] = bounds(policy)?;
    if policy == SCHED_DEADLINE || !(min..=max).contains(&priority) {
        return Err(Errno::EINVAL);
    }
    match policy {
        SCHED_NORMAL => Ok(0),
        _ => Err(Errno::EPERM),
    }
}

/// The lowest and the highest priority of a policy.
fn bounds(policy: u32) -> core::result::Result<[usize; 2], Errno> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok([1, 99]),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok([0, 0]),
        _ => Err(Errno::EINVAL),
    }
}

fn getcpu(cpu: usize, node: usize) -> Result {
    for word in [cpu, node] {
        if word != 0 {
            user::write_u32(word, 0)?;
        }
    }
    Ok(0)
}
