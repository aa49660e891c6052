//! Advice: madvise(2).

use linux_raw_sys::general::{
    MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED, MADV_FREE,
    MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_MERGEABLE, MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT,
    MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_RANDOM, MADV_SEQUENTIAL, MADV_UNMERGEABLE,
    MADV_WILLNEED, MADV_WIPEONFORK,
};
use scalvm::{Access, Advice, FaultError, Inherit, PAGE_MASK, PAGE_SIZE, Share, page_ceil};

use super::super::{Errno, Result};
use super::any_region;
use crate::arch::layout::{USER_HIGH, USER_LOW};
use crate::task::Space;

pub(super) fn madvise(space: &Space, at: usize, len: usize, advice: u32) -> Result {
    match advice {
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_DONTNEED | MADV_FREE
        | MADV_DONTFORK | MADV_DOFORK | MADV_WIPEONFORK | MADV_KEEPONFORK | MADV_COLD
        | MADV_PAGEOUT | MADV_POPULATE_READ | MADV_POPULATE_WRITE | MADV_HUGEPAGE
        | MADV_NOHUGEPAGE | MADV_MERGEABLE | MADV_UNMERGEABLE | MADV_DONTDUMP | MADV_DODUMP => {}
        _ => return Err(Errno::EINVAL),
    }
    if at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_ceil(len).ok_or(Errno::EINVAL)?;
    let end = at.checked_add(len).ok_or(Errno::EINVAL)?;
    if len == 0 {
        return Ok(0);
    }
    if at < USER_LOW || end > USER_HIGH {
        return Err(Errno::ENOMEM);
    }
    match advice {
        MADV_NORMAL => space.advise(at, len, Advice::Normal)?,
        MADV_RANDOM => space.advise(at, len, Advice::Random)?,
        MADV_SEQUENTIAL => space.advise(at, len, Advice::Sequential)?,
        MADV_WILLNEED => space.will_need(at, len)?,
        MADV_DONTNEED => space.discard(at, len)?,
        MADV_FREE => {
            if any_region(space, at, end, |region| {
                region.share == Share::Shared || region.object_id.is_some()
            })? {
                return Err(Errno::EINVAL);
            }
            space.discard(at, len)?;
        }
        MADV_DONTFORK => space.inherit(at, len, Inherit::None)?,
        MADV_WIPEONFORK => {
            if any_region(space, at, end, |region| {
                region.share == Share::Shared || region.object_id.is_some()
            })? {
                return Err(Errno::EINVAL);
            }
            space.inherit(at, len, Inherit::Zero)?;
        }
        MADV_DOFORK | MADV_KEEPONFORK => restore_inheritance(space, at, end)?,
        MADV_POPULATE_READ => populate(space, at, end, Access::Read)?,
        MADV_POPULATE_WRITE => populate(space, at, end, Access::Write)?,
        // Advice that need not be followed; but the range must be mapped.
        _ => {
            any_region(space, at, end, |_| false)?;
        }
    }
    Ok(0)
}

/// A child gets again what it gets of ordinary mappings.
fn restore_inheritance(space: &Space, at: usize, end: usize) -> core::result::Result<(), Errno> {
    any_region(space, at, end, |_| false)?;
    let mut at = at;
    while at < end {
        let region = space.query(at).ok_or(Errno::ENOMEM)?;
        let inherit = if region.share == Share::Shared {
            Inherit::Share
        } else {
            Inherit::Copy
        };
        let stop = region.end.min(end);
        space.inherit(at, stop - at, inherit)?;
        at = stop;
    }
    Ok(())
}

/// Touches each page of a range.
fn populate(
    space: &Space,
    at: usize,
    end: usize,
    access: Access,
) -> core::result::Result<(), Errno> {
    for page in (at..end).step_by(PAGE_SIZE) {
        space
            .fault_wait(page, access)
            .map_err(|error| match error {
                FaultError::NoMapping | FaultError::OutOfMemory => Errno::ENOMEM,
                FaultError::Protection => Errno::EINVAL,
                FaultError::BeyondEnd | FaultError::Pager(_) => Errno::EFAULT,
            })?;
    }
    Ok(())
}
