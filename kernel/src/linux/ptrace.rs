//! ptrace(2), as much as needs no registers: see [`task::trace`](crate::task::trace).

use scalvm::{Access, PAGE_MASK};

use super::{Errno, Result};
use crate::mm::{HeldPage, user};
use crate::task::{self, Pid, Process, SigInfo, trace, with_memory};

const TRACEME: usize = 0;
const PEEKTEXT: usize = 1;
const PEEKDATA: usize = 2;
const POKETEXT: usize = 4;
const POKEDATA: usize = 5;
const CONT: usize = 7;
const KILL: usize = 8;
const ATTACH: usize = 16;
const DETACH: usize = 17;
const SYSCALL: usize = 24;
const SETOPTIONS: usize = 0x4200;
const SEIZE: usize = 0x4206;
/// Option: stops of system calls are told apart from signals.
const MARK_CALLS: usize = 1;
const SIGNALS: usize = 64;
const WORD: usize = size_of::<u64>();

/// The call. Who has not asked for it is not traced: EPERM.
pub fn ptrace(request: usize, pid: usize, addr: usize, data: usize) -> Result {
    match request {
        TRACEME => return trace::trace_me().map(|()| 0),
        ATTACH | SEIZE => return Err(Errno::EPERM),
        _ => {}
    }
    let me = task::current().pid;
    let tracee = task::find(pid as Pid).ok_or(Errno::ESRCH)?;
    if request == KILL && tracee.is_traced_by(me) {
        task::post_to_process(&tracee, SigInfo::user(linux_raw_sys::general::SIGKILL, me));
        return Ok(0);
    }
    tracee.is_stopped_for(me)?;
    match request {
        PEEKTEXT | PEEKDATA => {
            let mut word = [0; WORD];
            for (i, byte) in word.iter_mut().enumerate() {
                let (page, offset) = byte_of(&tracee, addr.wrapping_add(i), Access::Read)?;
                // SAFETY: a byte of the frame, which stays while it is held.
                *byte = unsafe { page.as_ptr().add(offset).read_volatile() };
            }
            user::write(data, &word)?;
        }
        POKETEXT | POKEDATA => {
            for (i, byte) in data.to_ne_bytes().into_iter().enumerate() {
                let (page, offset) = byte_of(&tracee, addr.wrapping_add(i), Access::Write)?;
                // SAFETY: as above; it is held to be written.
                unsafe { page.as_ptr().add(offset).write_volatile(byte) };
            }
        }
        SETOPTIONS if data & !MARK_CALLS == 0 => tracee.mark_calls(data & MARK_CALLS != 0),
        SETOPTIONS => return Err(Errno::EINVAL),
        CONT | SYSCALL | DETACH if data > SIGNALS => return Err(Errno::EIO),
        CONT | SYSCALL => tracee.go_on_traced(data as u32, request == SYSCALL),
        DETACH => tracee.end_tracing(data as u32),
        _ => return Err(Errno::EIO),
    }
    Ok(0)
}

/// The page of a byte of the tracee, held whatever its rights are, and where in it the byte is.
fn byte_of(
    tracee: &Process,
    at: usize,
    access: Access,
) -> core::result::Result<(HeldPage, usize), Errno> {
    let space = tracee.map();
    let page = with_memory(|| space.hold_forced(at, access)).map_err(|_| Errno::EIO)?;
    Ok((page, at & PAGE_MASK))
}
