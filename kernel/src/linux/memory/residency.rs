//! What is in memory, and what is on disk: mincore(2), msync(2).

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{MS_ASYNC, MS_INVALIDATE, MS_SYNC};
use scalvm::{PAGE_SIZE, Pmap};

use super::super::{Errno, Result};
use super::{any_region, range};
use crate::mm::{VM, user};
use crate::task::{self, Space};

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_mincore => mincore(&task::current().map(), a[0], a[1], a[2]),
        _ => return None,
    })
}

pub(super) fn msync(space: &Space, at: usize, len: usize, flags: u32) -> Result {
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let Some(len) = range(at, len)? else {
        return Ok(0);
    };
    if flags & MS_INVALIDATE != 0 && any_region(space, at, at + len, |region| region.wired)? {
        return Err(Errno::EBUSY);
    }
    if flags & MS_SYNC != 0 {
        space.sync(at, len)?;
    } else {
        any_region(space, at, at + len, |_| false)?;
    }
    Ok(0)
}

/// Which pages are mapped: a page of a file that is cached, but was not touched through this
/// mapping, does not count.
fn mincore(space: &Space, at: usize, len: usize, result: usize) -> Result {
    let Some(len) = range(at, len)? else {
        return Ok(0);
    };
    any_region(space, at, at + len, |_| false)?;
    let mut chunk = [0u8; 256];
    let mut done = 0;
    while done < len / PAGE_SIZE {
        let count = chunk.len().min(len / PAGE_SIZE - done);
        for (i, byte) in chunk[..count].iter_mut().enumerate() {
            let page = at + (done + i) * PAGE_SIZE;
            *byte = u8::from(space.pmap().query(VM.machine(), page).is_some());
        }
        user::copy_out(result + done, &chunk[..count])?;
        done += count;
    }
    Ok(0)
}
