//! Keeping memory in: mlock(2) and its kin.

use linux_raw_sys::general::{
    CAP_IPC_LOCK, MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT, RLIMIT_MEMLOCK,
};
use scalvm::{MapError, PAGE_MASK, Wire, page_ceil};

use super::super::{Errno, Result};
use super::{any_region, range};
use crate::arch::layout::USER_HIGH;
use crate::task::{self, Space};

/// EPERM for who may lock nothing at all.
pub(super) fn may_lock() -> core::result::Result<(), Errno> {
    let me = task::current();
    let limit = me.limits.lock()[RLIMIT_MEMLOCK as usize][0];
    if limit == 0 && !me.may(CAP_IPC_LOCK) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

pub(super) fn lock2(space: &Space, at: usize, len: usize, flags: u32) -> Result {
    let how = match flags {
        0 => Wire::Now,
        MLOCK_ONFAULT => Wire::OnFault,
        _ => return Err(Errno::EINVAL),
    };
    lock(space, at, len, Some(how))
}

pub(super) fn lock(space: &Space, at: usize, len: usize, how: Option<Wire>) -> Result {
    if how.is_some() {
        may_lock()?;
    }
    let start = at & !PAGE_MASK;
    let len = len
        .checked_add(at & PAGE_MASK)
        .and_then(page_ceil)
        .ok_or(Errno::EINVAL)?;
    start.checked_add(len).ok_or(Errno::EINVAL)?;
    let Some(len) = range(start, len)? else {
        return Ok(0);
    };
    let result = match how {
        Some(Wire::Now) => space.wire(start, len),
        Some(Wire::OnFault) => space.wire_on_fault(start, len),
        None => space.unwire(start, len),
    };
    result.map_err(|error| match error {
        MapError::OutOfMemory => Errno::EAGAIN,
        _ => Errno::ENOMEM,
    })?;
    // As on Linux, what nobody may touch is locked, and yet it is told that it could not be brought in.
    let lacks = |region: &scalvm::Region| region.prot.is_empty() || region.guarded;
    if how == Some(Wire::Now) && any_region(space, start, start + len, lacks)? {
        return Err(Errno::ENOMEM);
    }
    Ok(0)
}

pub(super) fn lock_all(space: &Space, flags: u32) -> Result {
    if flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0
        || flags & (MCL_CURRENT | MCL_FUTURE) == 0
    {
        return Err(Errno::EINVAL);
    }
    may_lock()?;
    let how = if flags & MCL_ONFAULT == 0 {
        Wire::Now
    } else {
        Wire::OnFault
    };
    if flags & MCL_CURRENT != 0 {
        space.wire_all(how).map_err(|_| Errno::ENOMEM)?;
    }
    space.set_wire_future((flags & MCL_FUTURE != 0).then_some(how));
    if flags & MCL_CURRENT != 0 {
        // As on Linux, what cannot be brought in does not matter.
        let _ = space.bring_wired(0, USER_HIGH);
    }
    Ok(0)
}

pub(super) fn unlock_all(space: &Space) -> Result {
    space.set_wire_future(None);
    space.unwire_all();
    Ok(0)
}
