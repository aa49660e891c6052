//! All processes, in the order of their numbers.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Pid;
use super::pid::release;
use super::process::Process;
use super::thread::Thread;
use crate::linux::Errno;
use crate::sync::Mutex;

static PROCESSES: Mutex<Vec<Arc<Process>>> = Mutex::new(Vec::new());
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Whether a process has this number, or is of the group or session that it names.
pub(super) fn is_used(pid: Pid) -> bool {
    PROCESSES
        .lock()
        .iter()
        .any(|process| process.pid == pid || process.pgid() == pid || process.sid() == pid)
}

/// Adds a process.
pub fn add(process: Arc<Process>) -> Result<(), Errno> {
    let mut processes = PROCESSES.lock();
    processes.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let at = processes.partition_point(|other| other.pid < process.pid);
    processes.insert(at, process);
    Ok(())
}

/// Takes a process away.
pub fn remove(pid: Pid) {
    let mut processes = PROCESSES.lock();
    if let Ok(at) = processes.binary_search_by_key(&pid, |process| process.pid) {
        let process = processes.remove(at);
        drop(processes);
        for number in [pid, process.pgid(), process.sid()] {
            release(number);
        }
        drop(process);
    }
}

/// The process with this number, zombies too.
pub fn find(pid: Pid) -> Option<Arc<Process>> {
    let processes = PROCESSES.lock();
    let at = processes
        .binary_search_by_key(&pid, |process| process.pid)
        .ok()?;
    Some(processes[at].clone())
}

/// The thread with this number.
pub fn find_thread(tid: Pid) -> Option<Arc<Thread>> {
    let processes = PROCESSES.lock();
    processes.iter().find_map(|process| {
        process
            .threads
            .lock()
            .iter()
            .find(|thread| thread.tid() == tid)
            .cloned()
    })
}

/// All processes, in the order of their numbers.
pub fn all() -> Vec<Arc<Process>> {
    let processes = PROCESSES.lock();
    let mut list = Vec::new();
    // Without memory for the list there is nothing to tell.
    if list.try_reserve_exact(processes.len()).is_ok() {
        list.extend(processes.iter().cloned());
    }
    list
}

/// Calls a function for each process.
pub fn for_each(mut what: impl FnMut(&Arc<Process>)) {
    let mut at = 0;
    loop {
        // The function may change the table.
        let processes = PROCESSES.lock();
        let next = processes.partition_point(|process| process.pid < at);
        let Some(process) = processes.get(next).cloned() else {
            return;
        };
        drop(processes);
        what(&process);
        at = process.pid + 1;
    }
}

/// How many threads there are.
pub fn count_threads() -> usize {
    THREADS.load(Relaxed)
}

/// A thread has begun.
pub fn thread_begins() {
    THREADS.store(count_threads() + 1, Relaxed);
}

/// A thread has ended.
pub fn thread_ends() {
    THREADS.store(count_threads() - 1, Relaxed);
}
