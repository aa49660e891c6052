//! Robust futexes: locks whose holder has ended are given to the next one, who is told so.
//!
//! A thread keeps a list of such locks that it holds, in its own memory, and tells the kernel where the list
//! begins. When the thread ends, or goes on as another program, the kernel walks along it: each lock in which the
//! thread's number still stands is marked, and one who waits for it goes on. What the list says is the program's
//! word: a step that cannot be read ends the walk, and so does one too many.

use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

use super::{Errno, Result, futex};
use crate::mm::user;
use crate::task::{self, Pid, Thread};

/// Bytes of a list's head: the first entry, the distance from an entry to its futex, and the entry that is
/// being taken or given up.
const HEAD: usize = 24;
/// The most entries that are looked at.
const LIMIT: usize = 2048;
/// The bit of a link that says that its futex passes on priority. There are no such here, so it is not one.
const PRIORITY: usize = 1;

/// The calls about robust futexes.
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_set_robust_list if a[1] != HEAD => Err(Errno::EINVAL),
        nr::__NR_set_robust_list => {
            task::current_thread().robust_list.store(a[0], Relaxed);
            Ok(0)
        }
        nr::__NR_get_robust_list => get(a[0] as Pid, a[1], a[2]),
        _ => return None,
    })
}

/// get_robust_list(2).
fn get(tid: Pid, head: usize, len: usize) -> Result {
    let list = if tid == 0 {
        task::current_thread().robust_list.load(Relaxed)
    } else {
        let thread = task::find_thread(tid).ok_or(Errno::ESRCH)?;
        thread.robust_list.load(Relaxed)
    };
    user::write(len, &HEAD)?;
    user::write(head, &list)?;
    Ok(0)
}

/// Marks what a thread, which runs, still holds; it has no list afterwards. May block where it reads and
/// writes the program's memory.
pub fn give_up_all(thread: &Thread) {
    let head = thread.robust_list.swap(0, Relaxed);
    if head != 0 {
        // What cannot be read cannot be given up.
        let _ = walk(thread, head);
    }
}

/// Walks along the list.
fn walk(thread: &Thread, head: usize) -> core::result::Result<(), Errno> {
    let link = |at: usize| user::read::<usize>(at).map(|next| (next & !PRIORITY, next & PRIORITY));
    let distance: usize = user::read(head.wrapping_add(8))?;
    let (pending, _) = link(head.wrapping_add(16))?;
    let (mut entry, mut priority) = link(head)?;
    for _ in 0..LIMIT {
        if entry == head {
            break;
        }
        // Once its futex is marked, the entry may be another thread's.
        let next = link(entry);
        if entry != pending && priority == 0 {
            give_up(thread, entry.wrapping_add(distance), false)?;
        }
        (entry, priority) = next?;
    }
    if pending != 0 {
        give_up(thread, pending.wrapping_add(distance), true)?;
    }
    Ok(())
}

/// Marks a futex, if the thread holds it. `pending` says that it was being taken or given up.
fn give_up(thread: &Thread, at: usize, pending: bool) -> core::result::Result<(), Errno> {
    if !at.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let word = user::read_u32(at)?;
    let held = word & FUTEX_TID_MASK == thread.tid() as u32;
    if held {
        user::write_u32(at, word & FUTEX_WAITERS | FUTEX_OWNER_DIED)?;
    }
    // One that was just given up may not have been followed by a wake. And somebody may have begun to wait
    // while the page was made ready for the write, whether the word said so or not.
    if held || pending && word == 0 {
        futex::wake_one(at);
    }
    Ok(())
}
