//! What concerns the system, and calls that hardly do anything here.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    CAP_SYS_RESOURCE, RLIMIT_RSS, RUSAGE_CHILDREN, RUSAGE_SELF, RUSAGE_THREAD,
};
use scalvm::PAGE_SIZE;

use super::{Errno, Result};
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
        nr::__NR_reboot => reboot(a[2] as u32),
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
        nr::__NR_personality => personality(a[0] as u32),
        // Hanging a terminal up is only for who has one that can be.
        nr::__NR_vhangup => Err(Errno::EPERM),
        // There never is a call to go on with: what is restarted begins anew.
        nr::__NR_restart_syscall => Err(Errno::EINTR),
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
    let new: Option<[u64; 2]> = match new {
        0 => None,
        at => Some(user::read(at)?),
    };
    let pid = if pid == 0 { task::current().pid } else { pid };
    let process = task::find(pid).ok_or(Errno::ESRCH)?;
    let before = *process.limits.lock().get(which).ok_or(Errno::EINVAL)?;
    if let Some(limit) = new {
        if limit[0] > limit[1] {
            return Err(Errno::EINVAL);
        }
        if limit[1] > before[1] && !task::current().may(CAP_SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        process.limits.lock()[which] = limit;
        process.apply_limits();
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

/// personality(2): of what it can say, only whether there is chance in addresses is heeded.
fn personality(new: u32) -> Result {
    const ONLY_ASKED: u32 = u32::MAX;
    let me = task::current();
    let mut settings = me.settings.lock();
    let old = settings.personality;
    if new != ONLY_ASKED {
        settings.personality = new;
    }
    Ok(old as usize)
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

const _: () = assert!(size_of::<[Name; 6]>() == 390);
