//! Threads of the kernel's own, which have no program.
//!
//! They belong to a process with the number 0, which is in no table: no call finds it, no signal
//! reaches it, and it never ends. Like everything in the kernel they are not preempted: they give
//! the processor up by waiting.

use alloc::sync::Arc;

use super::pid::NewPid;
use super::process::{Parts, Process};
use super::signal::Actions;
use super::thread::{Start, Thread};
use super::{sched, start, table};
use crate::fs::{FsContext, memory, mount};
use crate::linux::Errno;
use crate::sync::Mutex;

static KERNEL: Mutex<Option<Arc<Process>>> = Mutex::new(None);

/// Starts a thread that runs a function of the kernel, which must wait whenever there is nothing to
/// do. Not before there is what a zombie has (see [`start`]).
pub fn start_kernel_thread(body: extern "C" fn() -> !) -> Result<(), Errno> {
    let process = process()?;
    let number = NewPid::new()?;
    let thread = Thread::new(number.get(), process.clone(), Start::Kernel(body))?;
    memory::push(&mut *process.threads.lock(), thread.clone())?;
    number.keep();
    table::thread_begins();
    sched::make_ready(&thread);
    Ok(())
}

/// The process of all these threads.
fn process() -> Result<Arc<Process>, Errno> {
    if let Some(process) = &*KERNEL.lock() {
        return Ok(process.clone());
    }
    let nothing = start::nothing().ok_or(Errno::ESRCH)?;
    let context = FsContext::new(mount::root().ok_or(Errno::ENOENT)?);
    let process = memory::arc(Process::new(
        0,
        Parts {
            space: nothing.space,
            files: nothing.files,
            fs: memory::arc(Mutex::new(context))?,
            actions: memory::arc(Mutex::new(Actions::new()))?,
            args: nothing.args,
            exe: nothing.exe,
        },
    ))?;
    process.set_comm(b"kernel");
    *KERNEL.lock() = Some(process.clone());
    Ok(process)
}
