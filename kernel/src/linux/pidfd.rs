//! System calls on processes that are files.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::O_NONBLOCK;

use super::files::{file, install};
use super::{Errno, Result, signal};
use crate::fs::pidfd;
use crate::task::{self, Pid};

#[inline(never)]
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_pidfd_open => open(a[0] as Pid, a[1] as u32),
        nr::__NR_pidfd_send_signal => send_signal(a[0], a[1], a[2], a[3] as u32),
        nr::__NR_pidfd_getfd => get_file(a[0], a[1], a[2] as u32),
        _ => return None,
    })
}

fn open(pid: Pid, flags: u32) -> Result {
    if flags & !O_NONBLOCK != 0 || pid <= 0 {
        return Err(Errno::EINVAL);
    }
    let process = match task::find(pid) {
        Some(process) => process,
        // A thread that is not its process's first.
        None if task::find_thread(pid).is_some() => return Err(Errno::ENOENT),
        None => return Err(Errno::ESRCH),
    };
    install(pidfd::open(process, flags)?, true)
}

fn send_signal(fd: usize, signal: usize, info: usize, flags: u32) -> Result {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = pidfd::process(&*file(fd)?)?;
    signal::send_to(&process, signal, info)
}

/// pidfd_getfd(2): a descriptor for a file of another process.
fn get_file(fd: usize, of: usize, flags: u32) -> Result {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let process = pidfd::process(&*file(fd)?)?;
    if process.is_zombie() {
        return Err(Errno::ESRCH);
    }
    let found = process.files().lock().get(of as u32 as usize)?.clone();
    install(found, true)
}
