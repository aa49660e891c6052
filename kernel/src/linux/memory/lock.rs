//! Keeping memory in: mlock(2) and its kin.

use linux_raw_sys::general::{MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT};
use scalvm::{MapError, PAGE_MASK, page_ceil};

use super::super::{Errno, Result};
use super::range;
use crate::arch::layout::USER_LOW;
use crate::task::Space;

pub(super) fn lock(space: &Space, at: usize, len: usize, on: bool) -> Result {
    let start = at & !PAGE_MASK;
    let len = len
        .checked_add(at & PAGE_MASK)
        .and_then(page_ceil)
        .ok_or(Errno::EINVAL)?;
    start.checked_add(len).ok_or(Errno::EINVAL)?;
    let Some(len) = range(start, len)? else {
        return Ok(0);
    };
    if on {
        space.wire(start, len).map_err(|error| match error {
            MapError::OutOfMemory => Errno::EAGAIN,
            _ => Errno::ENOMEM,
        })?;
    } else {
        space.unwire(start, len)?;
    }
    Ok(0)
}

pub(super) fn lock_all(space: &Space, flags: u32) -> Result {
    if flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0
        || flags & (MCL_CURRENT | MCL_FUTURE) == 0
    {
        return Err(Errno::EINVAL);
    }
    space.set_lock_future(flags & MCL_FUTURE != 0);
    if flags & MCL_CURRENT == 0 {
        return Ok(0);
    }
    for_all(space, |start, len| {
        // As on Linux, what cannot be brought in does not matter.
        let _ = space.wire(start, len);
        Ok(())
    })
}

/// Does something with each mapping.
pub(super) fn for_all(
    space: &Space,
    mut what: impl FnMut(usize, usize) -> core::result::Result<(), Errno>,
) -> Result {
    let mut at = USER_LOW;
    while let Some(region) = space.query(at) {
        what(region.start, region.end - region.start)?;
        at = region.end;
    }
    Ok(0)
}
