//! What concerns the system, and calls that hardly do anything here.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{RLIMIT_RSS, RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD};
use linux_raw_sys::prctl::{
    PR_GET_DUMPABLE, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_GET_PDEATHSIG, PR_SET_DUMPABLE,
    PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG,
};
use scalvm::PAGE_SIZE;

use super::{Errno, Result};
use crate::arch::layout::USER_HIGH;
use crate::arch::random;
use crate::arch::time::{SECOND, now_ns};
use crate::fs::swap;
use crate::mm::{VM, user};
use crate::sync::Mutex;
use crate::task::{self, Faults, Pid, Process};

/// The longest name of the machine or its domain.
const NAME_MAX: usize = 64;

/// Names that sethostname(2) and setdomainname(2) change.
static NAMES: Mutex<[Name; 2]> = Mutex::new([name(b"scalvm"), name(b"(none)")]);

type Name = [u8; NAME_MAX + 1];

const fn name(text: &[u8]) -> Name {
    let mut field = [0; NAME_MAX + 1];
    let mut i = 0;
    while i < text.len() {
        field[i] = text[i];
        i += 1;
    }
    field
}

#[inline(never)]
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_uname => uname(a[0]),
        nr::__NR_sethostname => set_name(0, a[0], a[1]),
        nr::__NR_setdomainname => set_name(1, a[0], a[1]),
        nr::__NR_sysinfo => sysinfo(a[0]),
        nr::__NR_getrandom => getrandom(a[0], a[1]),
        nr::__NR_getrlimit => limit(a[0], 0, a[1]),
        nr::__NR_setrlimit => limit(a[0], a[1], 0),
        nr::__NR_prlimit64 => prlimit(a[0] as Pid, a[1], a[2], a[3]),
        nr::__NR_getrusage => getrusage(a[0] as i32, a[1]),
        nr::__NR_prctl => prctl(a[0] as u32, a[1]),
        nr::__NR_arch_prctl => arch_prctl(a[0] as u32, a[1]),
        nr::__NR_sched_getaffinity => affinity(a[0] as Pid, a[1], a[2]),
        nr::__NR_sched_setaffinity => exists(a[0] as Pid),
        nr::__NR_getcpu => getcpu(a[0], a[1]),
        nr::__NR_reboot => reboot(a[2] as u32),
        nr::__NR_getpriority => exists_if_process(a[0], a[1] as Pid).map(|_| 20),
        nr::__NR_setpriority => exists_if_process(a[0], a[1] as Pid),
        nr::__NR_getresuid | nr::__NR_getresgid => three_ids(a),
        nr::__NR_getgroups => Ok(0),
        // There is one user, who may do everything.
        nr::__NR_setuid
        | nr::__NR_setgid
        | nr::__NR_setreuid
        | nr::__NR_setregid
        | nr::__NR_setresuid
        | nr::__NR_setresgid
        | nr::__NR_setgroups => Ok(0),
        nr::__NR_setfsuid | nr::__NR_setfsgid => Ok(0),
        nr::__NR_personality => Ok(0),
        nr::__NR_capget => capget(a[1]),
        nr::__NR_capset => Ok(0),
        // A list that is read only when a thread ends while it holds a lock.
        nr::__NR_set_robust_list => Ok(0),
        nr::__NR_membarrier => {
            if a[0] == 0 {
                Ok(0)
            } else {
                Err(Errno::EINVAL)
            }
        }
        // What glibc asks for first and does without.
        nr::__NR_rseq | nr::__NR_clone3 => Err(Errno::ENOSYS),
        _ => return None,
    })
}

fn uname(at: usize) -> Result {
    let names = *NAMES.lock();
    let fields = [
        name(b"Linux"),
        names[0],
        name(concat!("6.12.0-scalvm-", env!("CARGO_PKG_VERSION")).as_bytes()),
        name(b"#1"),
        name(b"x86_64"),
        names[1],
    ];
    user::write(at, &fields)?;
    Ok(0)
}

fn set_name(which: usize, at: usize, len: usize) -> Result {
    if len > NAME_MAX {
        return Err(Errno::EINVAL);
    }
    let mut field = [0; NAME_MAX + 1];
    user::copy_in(&mut field[..len], at)?;
    NAMES.lock()[which] = field;
    Ok(0)
}

fn sysinfo(at: usize) -> Result {
    let stats = VM.stats();
    let (swap_pages, swap_free) = swap::totals();
    let page = PAGE_SIZE as u64;
    let processes = task::all().len().min(u16::MAX as usize) as u64;
    let words: [u64; 14] = [
        now_ns() / SECOND,
        0,
        0,
        0,
        stats.frames_total * page,
        stats.frames_free * page,
        0,
        stats.frames_file * page,
        swap_pages * page,
        swap_free * page,
        processes,
        0,
        0,
        1,
    ];
    user::write(at, &words)?;
    Ok(0)
}

fn getrandom(at: usize, len: usize) -> Result {
    let mut done = 0;
    let mut chunk = [0u8; 256];
    while done < len {
        let count = chunk.len().min(len - done);
        random::fill(&mut chunk[..count]);
        user::copy_out(at + done, &chunk[..count])?;
        done += count;
    }
    Ok(len)
}

fn limit(which: usize, new: usize, old: usize) -> Result {
    prlimit(0, which, new, old)
}

fn prlimit(pid: Pid, which: usize, new: usize, old: usize) -> Result {
    let pid = if pid == 0 { task::current().pid } else { pid };
    let process = task::find(pid).ok_or(Errno::ESRCH)?;
    let before = *process.limits.lock().get(which).ok_or(Errno::EINVAL)?;
    if new != 0 {
        let limit: [u64; 2] = user::read(new)?;
        if limit[0] > limit[1] {
            return Err(Errno::EINVAL);
        }
        process.limits.lock()[which] = limit;
        if which == RLIMIT_RSS as usize {
            limit_resident(&process, limit[0]);
        }
    }
    if old != 0 {
        user::write(old, &before)?;
    }
    Ok(0)
}

/// Makes RLIMIT_RSS, in bytes, the soft limit of what a process has in memory.
fn limit_resident(process: &Process, bytes: u64) {
    let soft = (bytes != u64::MAX).then_some(bytes / PAGE_SIZE as u64);
    let space = process.map();
    space.set_resident_limits(soft, space.resident().hard);
}

/// Linux's rusage: processor time, largest resident size in KiB, page faults, and what nobody
/// counts.
pub fn rusage(ns: u64, resident_kib: u64, faults: Faults) -> [u64; 18] {
    let mut usage = [0; 18];
    usage[0] = ns / SECOND;
    usage[1] = ns % SECOND / 1000;
    usage[4] = resident_kib;
    usage[8] = faults.minor;
    usage[9] = faults.major;
    usage
}

fn getrusage(who: i32, at: usize) -> Result {
    let me = task::current();
    let resident = me.map().usage().resident_pages * PAGE_SIZE as u64 / 1024;
    let [own, children] = me.faults();
    let usage = match who {
        who if who == RUSAGE_SELF as i32 => rusage(me.times().own_ns, resident, own),
        RUSAGE_CHILDREN => rusage(me.times().children_ns, 0, children),
        // Threads' faults are counted together.
        who if who == RUSAGE_THREAD as i32 => {
            rusage(task::current_thread().run_ns(), resident, own)
        }
        _ => return Err(Errno::EINVAL),
    };
    user::write(at, &usage)?;
    Ok(0)
}

fn prctl(operation: u32, arg: usize) -> Result {
    match operation {
        PR_SET_NAME => {
            match user::copy_in_str(arg, 16) {
                Err(Errno::ENAMETOOLONG) => task::current().set_comm(&user::read::<[u8; 15]>(arg)?),
                name => task::current().set_comm(&name?),
            }
            Ok(0)
        }
        PR_GET_NAME => {
            user::write(arg, &task::current().comm())?;
            Ok(0)
        }
        PR_GET_DUMPABLE => Ok(1),
        PR_SET_DUMPABLE | PR_SET_PDEATHSIG | PR_SET_NO_NEW_PRIVS => Ok(0),
        PR_GET_NO_NEW_PRIVS => Ok(0),
        PR_GET_PDEATHSIG => {
            user::write_u32(arg, 0)?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn arch_prctl(operation: u32, arg: usize) -> Result {
    const SET_GS: u32 = 0x1001;
    const SET_FS: u32 = 0x1002;
    const GET_FS: u32 = 0x1003;
    const GET_GS: u32 = 0x1004;
    let thread = task::current_thread();
    let segments = &thread.segments;
    match operation {
        SET_FS | SET_GS if arg >= USER_HIGH => Err(Errno::EPERM),
        SET_FS => {
            segments.fs.set(arg);
            segments.load_fs();
            Ok(0)
        }
        SET_GS => {
            segments.gs.set(arg);
            segments.load_gs();
            Ok(0)
        }
        GET_FS => user::write_u64(arg, segments.fs.get() as u64).map(|()| 0),
        GET_GS => user::write_u64(arg, segments.gs.get() as u64).map(|()| 0),
        _ => Err(Errno::EINVAL),
    }
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

fn getcpu(cpu: usize, node: usize) -> Result {
    for word in [cpu, node] {
        if word != 0 {
            user::write_u32(word, 0)?;
        }
    }
    Ok(0)
}

fn reboot(operation: u32) -> Result {
    const RESTART: u32 = 0x0123_4567;
    const HALT: u32 = 0xcdef_0123;
    const POWER_OFF: u32 = 0x4321_fedc;
    const CAD_ON: u32 = 0x89ab_cdef;
    const CAD_OFF: u32 = 0;
    match operation {
        RESTART | HALT | POWER_OFF => task::power_off(0),
        CAD_ON | CAD_OFF => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn three_ids(a: [usize; 6]) -> Result {
    for word in &a[..3] {
        user::write_u32(*word, 0)?;
    }
    Ok(0)
}

fn capget(data: usize) -> Result {
    if data != 0 {
        // Effective, permitted and inheritable, in two halves.
        user::write(data, &[u32::MAX, u32::MAX, 0, u32::MAX, u32::MAX, 0])?;
    }
    Ok(0)
}

const _: () = assert!(size_of::<[Name; 6]>() == 390);
