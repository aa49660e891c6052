//! Reading and writing another process's memory: process_vm_readv(2) and process_vm_writev(2).

use linux_raw_sys::general as nr;

use super::super::{Errno, Result};
use crate::mm::user;
use crate::task::{self, Pid, Space, served};

/// The most pieces on one side.
const MAX_PIECES: usize = 1024;

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    let write = match number as u32 {
        nr::__NR_process_vm_readv => false,
        nr::__NR_process_vm_writev => true,
        _ => return None,
    };
    Some(transfer(
        a[0] as Pid,
        (a[1], a[2]),
        (a[3], a[4]),
        a[5],
        write,
    ))
}

/// A list of pieces of memory: where it lies, how many there are.
pub(super) type Pieces = (usize, usize);

/// One piece: its address and its length.
pub(super) fn piece(pieces: Pieces, nth: usize) -> core::result::Result<(usize, usize), Errno> {
    let [address, len] = user::read::<[usize; 2]>(pieces.0 + nth * size_of::<[usize; 2]>())?;
    if len > isize::MAX as usize {
        return Err(Errno::EINVAL);
    }
    Ok((address, len))
}

/// The bytes of all pieces; each is looked at before anything is copied.
pub(super) fn total(pieces: Pieces) -> core::result::Result<usize, Errno> {
    if pieces.1 > MAX_PIECES {
        return Err(Errno::EINVAL);
    }
    let add = |sum: usize, nth| Ok(sum.saturating_add(piece(pieces, nth)?.1));
    (0..pieces.1).try_fold(0, add)
}

/// Copies from the other process's pieces to ours, or the other way; tells how many bytes. The process may end
/// meanwhile: its memory stays as long as it is used here.
fn transfer(pid: Pid, ours: Pieces, theirs: Pieces, flags: usize, write: bool) -> Result {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    if total(ours)? == 0 {
        return total(theirs).map(|_| 0);
    }
    if total(theirs)? == 0 {
        return Ok(0);
    }
    let process = task::find(pid).or_else(|| task::find_thread(pid).map(|t| t.process().clone()));
    let process = process.filter(|process| !process.is_zombie());
    let other = process.ok_or(Errno::ESRCH)?.map();
    let here = task::current().map();
    let (mut done, mut nth) = (0, 0);
    let (mut to, mut room) = (0, 0);
    for piece_of_theirs in 0..theirs.1 {
        let (mut from, mut left) = piece(theirs, piece_of_theirs)?;
        while left > 0 {
            while room == 0 {
                if nth == ours.1 {
                    return Ok(done);
                }
                (to, room) = piece(ours, nth)?;
                nth += 1;
            }
            let len = left.min(room);
            let (copied, result) = if write {
                copy(&here, to, &other, from, len)
            } else {
                copy(&other, from, &here, to, len)
            };
            done += copied;
            match result {
                Ok(()) => {}
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
            (from, left) = (from + len, left - len);
            (to, room) = (to + len, room - len);
        }
    }
    Ok(done)
}

/// Copies from one address space to another, as much as can be.
fn copy(
    source: &Space,
    from: usize,
    target: &Space,
    to: usize,
    len: usize,
) -> (usize, core::result::Result<(), Errno>) {
    let mut done = 0;
    let result = served(|| {
        let (copied, result) = source.copy_to(from + done, target, to + done, len - done);
        done += copied;
        result
    });
    (done, result.map_err(|_| Errno::EFAULT))
}
