//! Advice: madvise(2), process_madvise(2).
//!
//! As on Linux, advice is followed mapping by mapping: holes are passed over and told of in the end, any
//! other error ends the call where it is met.

use alloc::sync::Arc;

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    CAP_SYS_NICE, MADV_COLD, MADV_COLLAPSE, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK,
    MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE, MADV_GUARD_INSTALL, MADV_GUARD_REMOVE,
    MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT, MADV_POPULATE_READ,
    MADV_POPULATE_WRITE, MADV_RANDOM, MADV_REMOVE, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_WIPEONFORK,
};
use scalvm::{
    Access, Advice, FaultError, Inherit, Large, MapError, NotLarge, PAGE_MASK, Prot, Region, Share,
    page_ceil,
};

use super::super::files::file;
use super::super::{Errno, Result};
use super::cross;
use crate::arch::layout::USER_HIGH;
use crate::fs::{pidfd, userfault};
use crate::mm::large;
use crate::task::{self, Space, with_memory};

/// What a step on one mapping returns.
type Step = core::result::Result<(), Errno>;

/// The descriptors that mean the caller itself, by its thread or its process.
const PIDFD_SELF: [i32; 2] = [-10000, -10001];

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_process_madvise => {
            process_madvise(a[0] as i32, a[1], a[2], a[3] as u32, a[4] as u32)
        }
        _ => return None,
    })
}

pub(super) fn madvise(space: &Space, at: usize, len: usize, advice: u32) -> Result {
    if !is_known(advice) || at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_ceil(len).ok_or(Errno::EINVAL)?;
    let end = at.checked_add(len).ok_or(Errno::EINVAL)?;
    if len == 0 {
        return Ok(0);
    }
    if end > USER_HIGH {
        return Err(Errno::ENOMEM);
    }
    match advice {
        MADV_POPULATE_READ => populate(space, at, len, Access::Read)?,
        MADV_POPULATE_WRITE => populate(space, at, len, Access::Write)?,
        _ => each_region(space, at, end, |region, at, len| {
            follow(space, region, at, len, advice)
        })?,
    }
    Ok(0)
}

/// Whether this is advice at all: as on a Linux that merges no pages, and knows nothing of broken ones.
fn is_known(advice: u32) -> bool {
    matches!(
        advice,
        MADV_NORMAL
            | MADV_RANDOM
            | MADV_SEQUENTIAL
            | MADV_WILLNEED
            | MADV_DONTNEED
            | MADV_DONTNEED_LOCKED
            | MADV_FREE
            | MADV_REMOVE
            | MADV_DONTFORK
            | MADV_DOFORK
            | MADV_WIPEONFORK
            | MADV_KEEPONFORK
            | MADV_COLD
            | MADV_PAGEOUT
            | MADV_POPULATE_READ
            | MADV_POPULATE_WRITE
            | MADV_COLLAPSE
            | MADV_HUGEPAGE
            | MADV_NOHUGEPAGE
            | MADV_DONTDUMP
            | MADV_DODUMP
            | MADV_GUARD_INSTALL
            | MADV_GUARD_REMOVE
    )
}

/// Calls `step` for the part of each mapping that lies in a range. ENOMEM in the end if there was a hole.
pub(super) fn each_region(
    space: &Space,
    start: usize,
    end: usize,
    mut step: impl FnMut(&Region, usize, usize) -> Step,
) -> Step {
    let (mut at, mut hole) = (start, false);
    while at < end
        && let Some(region) = space.query(at).filter(|region| region.start < end)
    {
        hole |= region.start > at;
        let from = region.start.max(at);
        at = region.end.min(end);
        step(&region, from, at - from)?;
    }
    if hole || at < end {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

/// Follows advice about a part of one mapping.
fn follow(space: &Space, region: &Region, at: usize, len: usize, advice: u32) -> Step {
    let refuse = |when: bool| if when { Err(Errno::EINVAL) } else { Ok(()) };
    let is_anonymous = region.share == Share::Private && region.object_id.is_none();
    let tell = || {
        let watch = region.watch;
        watch.map_or(Ok(()), |watch| userfault::removing(watch.server, at, len))
    };
    match advice {
        MADV_NORMAL => space.advise(at, len, Advice::Normal)?,
        MADV_RANDOM => space.advise(at, len, Advice::Random)?,
        MADV_SEQUENTIAL => space.advise(at, len, Advice::Sequential)?,
        MADV_WILLNEED => space.will_need(at, len)?,
        MADV_DONTNEED => {
            refuse(region.wired)?;
            tell()?;
            space.discard(at, len)?;
        }
        MADV_DONTNEED_LOCKED => {
            tell()?;
            space.discard(at, len)?;
        }
        MADV_FREE => {
            refuse(region.wired || !is_anonymous)?;
            tell()?;
            space.free(at, len)?;
        }
        MADV_REMOVE => {
            refuse(region.wired || is_anonymous)?;
            if region.share == Share::Private || !region.prot.contains(Prot::WRITE) {
                return Err(Errno::EACCES);
            }
            tell()?;
            let (object, offset) = space.object_at(at).ok_or(Errno::EINVAL)?;
            let punched = with_memory(|| object.punch(offset, len as u64));
            punched.map_err(|error| match error {
                FaultError::BeyondEnd => Errno::EOPNOTSUPP,
                // What is sealed against writing keeps what it has.
                FaultError::Protection => Errno::EPERM,
                _ => Errno::ENOMEM,
            })?;
        }
        MADV_DONTFORK => space.inherit(at, len, Inherit::None)?,
        MADV_WIPEONFORK => {
            refuse(!is_anonymous)?;
            space.inherit(at, len, Inherit::Zero)?;
        }
        MADV_DOFORK if region.inherit == Inherit::None => restore(space, region, at, len)?,
        MADV_KEEPONFORK if region.inherit == Inherit::Zero => restore(space, region, at, len)?,
        MADV_DONTDUMP => with_memory(|| space.set_dump(at, len, false))?,
        MADV_DODUMP => with_memory(|| space.set_dump(at, len, true))?,
        MADV_COLD => {
            refuse(region.wired)?;
            space.cool(at, len)?;
        }
        MADV_PAGEOUT => {
            refuse(region.wired)?;
            space.page_out(at, len)?;
        }
        MADV_GUARD_INSTALL => {
            refuse(region.wired)?;
            with_memory(|| space.guard(at, len))?;
        }
        MADV_GUARD_REMOVE => with_memory(|| space.unguard(at, len))?,
        MADV_HUGEPAGE => {
            space.advise_large(at, len, Large::Asked)?;
            large::asked();
        }
        MADV_NOHUGEPAGE => space.advise_large(at, len, Large::Never)?,
        MADV_COLLAPSE => collapse(space, region, at, at + len)?,
        // What is inherited is usual already.
        _ => {}
    }
    Ok(())
}

/// A child gets again what it gets of ordinary mappings.
fn restore(
    space: &Space,
    region: &Region,
    at: usize,
    len: usize,
) -> core::result::Result<(), MapError> {
    let inherit = match region.share {
        Share::Shared => Inherit::Share,
        Share::Private => Inherit::Copy,
    };
    space.inherit(at, len, inherit)
}

/// Has large pages map a part of one mapping, as far as whole ones lie in it. As on Linux, all are tried; what is
/// told is why the last one failed. Advice that allows none, or a mapping in which none has room, is EINVAL.
fn collapse(space: &Space, region: &Region, at: usize, end: usize) -> Step {
    let size = space.large_bytes();
    let has_room = |start: usize, end: usize| start.next_multiple_of(size) + size <= end;
    let allowed = space.allows_large() && region.large != Large::Never;
    let (first, last) = (at.next_multiple_of(size), end & !(size - 1));
    if !allowed || !has_room(region.start, region.end) || first > last {
        return Err(Errno::EINVAL);
    }
    let mut failed = None;
    for at in (first..last).step_by(size) {
        failed = match space.make_large(at) {
            Ok(()) => failed,
            Err(NotLarge::OutOfMemory) => Some(Errno::ENOMEM),
            Err(NotLarge::InUse) => Some(Errno::EAGAIN),
            Err(NotLarge::NotMapped | NotLarge::Unsuitable) => Some(Errno::EINVAL),
        };
    }
    failed.map_or(Ok(()), Err)
}

/// Why nothing can be touched in a range: a guard or a hole, whichever comes first.
fn nothing_at(space: &Space, mut at: usize, end: usize) -> Errno {
    while at < end
        && let Some(region) = space.query(at).filter(|region| region.start <= at)
    {
        if region.guarded {
            return Errno::EFAULT;
        }
        at = region.end;
    }
    Errno::ENOMEM
}

/// Touches each page of a range.
fn populate(space: &Space, at: usize, len: usize, access: Access) -> Step {
    let done = space.populate_for(at, len, access);
    done.map_err(|error| match error {
        FaultError::NoMapping => nothing_at(space, at, at + len),
        FaultError::OutOfMemory => Errno::ENOMEM,
        FaultError::Protection => Errno::EINVAL,
        FaultError::Poisoned => Errno::EHWPOISON,
        FaultError::BeyondEnd | FaultError::Pager(_) | FaultError::Watched(_) => Errno::EFAULT,
    })
}

/// process_madvise(2). Returns the bytes of the ranges for which the advice was followed. Of others' memory it
/// takes advice that loses nothing.
fn process_madvise(pidfd: i32, ranges: usize, count: usize, advice: u32, flags: u32) -> Result {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    cross::total((ranges, count))?;
    let me = task::current();
    let space = if PIDFD_SELF.contains(&pidfd) {
        me.map()
    } else {
        let process = pidfd::process(&*file(pidfd as usize)?)?;
        if process.is_zombie() {
            return Err(Errno::ESRCH);
        }
        process.map()
    };
    if !Arc::ptr_eq(&space, &me.map()) {
        if !matches!(
            advice,
            MADV_COLD | MADV_PAGEOUT | MADV_WILLNEED | MADV_COLLAPSE
        ) {
            return Err(Errno::EINVAL);
        }
        if !me.may(CAP_SYS_NICE) {
            return Err(Errno::EPERM);
        }
    }
    let mut done = 0;
    for number in 0..count {
        let (at, len) = cross::piece((ranges, count), number)?;
        match madvise(&space, at, len, advice) {
            Ok(_) => done += len,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}
