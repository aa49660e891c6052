//! Sealing of mappings: mseal(2).

use linux_raw_sys::general as nr;
use scalvm::{PAGE_MASK, page_ceil};

use super::super::{Errno, Result};
use crate::arch::layout::USER_HIGH;
use crate::task::{self, Space};

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_mseal => mseal(&task::current().map(), a[0], a[1], a[2]),
        _ => return None,
    })
}

fn mseal(space: &Space, at: usize, len: usize, flags: usize) -> Result {
    if flags != 0 || at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(0);
    }
    let len = page_ceil(len).ok_or(Errno::EINVAL)?;
    let end = at.checked_add(len).ok_or(Errno::EINVAL)?;
    if end > USER_HIGH {
        return Err(Errno::ENOMEM);
    }
    space.seal(at, len)?;
    Ok(0)
}
