//! Mapping, unmapping, and rights: mmap(2), munmap(2), mprotect(2).

use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_DENYWRITE, MAP_EXECUTABLE, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN,
    MAP_HUGETLB, MAP_LOCKED, MAP_NONBLOCK, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED,
    MAP_SHARED_VALIDATE, MAP_STACK, MAP_TYPE, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ,
    PROT_SEM, PROT_WRITE,
};
use scalvm::{Inherit, MapError, MapRequest, PAGE_MASK, Place, Prot, Share, page_ceil};

use super::super::{Errno, Result};
use super::{range, rights};
use crate::arch::layout::{USER_HIGH, USER_LOW};
use crate::task::{self, Space};

/// The flags that MAP_SHARED_VALIDATE lets pass; without it, unknown ones are ignored.
const KNOWN_FLAGS: u32 = MAP_TYPE
    | MAP_FIXED
    | MAP_FIXED_NOREPLACE
    | MAP_ANONYMOUS
    | MAP_DENYWRITE
    | MAP_EXECUTABLE
    | MAP_GROWSDOWN
    | MAP_HUGETLB
    | MAP_LOCKED
    | MAP_NONBLOCK
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_STACK;

pub(super) fn mmap(space: &Space, a: [usize; 6]) -> Result {
    let [at, len, prot, flags, fd, offset] = a;
    let (prot, flags) = (rights(prot as u32), flags as u32);
    if offset & PAGE_MASK != 0 || len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_ceil(len)
        .filter(|len| *len <= USER_HIGH)
        .ok_or(Errno::ENOMEM)?;
    let share = match flags & MAP_TYPE {
        MAP_PRIVATE => Share::Private,
        MAP_SHARED => Share::Shared,
        MAP_SHARED_VALIDATE if flags & !KNOWN_FLAGS != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => Share::Shared,
        _ => return Err(Errno::EINVAL),
    };
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    let place = if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        if at & PAGE_MASK != 0 {
            return Err(Errno::EINVAL);
        }
        if at < USER_LOW {
            return Err(Errno::EPERM);
        }
        if at > USER_HIGH - len {
            return Err(Errno::ENOMEM);
        }
        if flags & MAP_FIXED_NOREPLACE != 0 {
            Place::Free(at)
        } else {
            Place::Fixed(at)
        }
    } else {
        match page_ceil(at) {
            Some(at) if at >= USER_LOW && at <= USER_HIGH - len => Place::Hint(at),
            _ => Place::Anywhere,
        }
    };
    let start = if flags & MAP_ANONYMOUS != 0 {
        let inherit = if share == Share::Shared {
            Inherit::Share
        } else {
            Inherit::Copy
        };
        space.map(MapRequest {
            place,
            share,
            inherit,
            no_reserve: flags & MAP_NORESERVE != 0,
            ..MapRequest::anonymous(len, prot)
        })
    } else {
        offset.checked_add(len).ok_or(Errno::EOVERFLOW)?;
        let file = task::current().files().lock().get(fd)?.clone();
        let (object, max_prot) = file.object_for_mmap(prot, share == Share::Shared)?;
        let request = MapRequest::object(&object, offset as u64, len, prot, share);
        space.map(MapRequest {
            place,
            max_prot,
            no_reserve: flags & MAP_NORESERVE != 0,
            ..request
        })
    }
    .map_err(|error| match error {
        MapError::BadRange | MapError::NoSpace => Errno::ENOMEM,
        MapError::BadOffset => Errno::EOVERFLOW,
        other => other.into(),
    })?;
    if flags & MAP_LOCKED != 0 || space.lock_future() {
        // The mapping stands, as on Linux, whether or not all of it can be brought in now.
        let _ = space.wire(start, len);
    } else if flags & MAP_POPULATE != 0 {
        let _ = space.populate(start, len);
    }
    Ok(start)
}

pub(super) fn munmap(space: &Space, at: usize, len: usize) -> Result {
    let len = page_ceil(len).ok_or(Errno::EINVAL)?;
    if at & PAGE_MASK != 0 || len == 0 || at > USER_HIGH || len > USER_HIGH - at {
        return Err(Errno::EINVAL);
    }
    clipped(at, len, |at, len| space.unmap(at, len))
}

/// Does something with the part of a range that can be mapped at all.
fn clipped(
    at: usize,
    len: usize,
    what: impl FnOnce(usize, usize) -> core::result::Result<(), MapError>,
) -> Result {
    let start = at.max(USER_LOW);
    let end = at + len;
    if start < end {
        what(start, end - start)?;
    }
    Ok(0)
}

pub(super) fn mprotect(space: &Space, at: usize, len: usize, prot: u32) -> Result {
    const KNOWN: u32 = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM;
    if prot & !KNOWN & !(PROT_GROWSDOWN | PROT_GROWSUP) != 0
        || prot & (PROT_GROWSDOWN | PROT_GROWSUP) != 0
    {
        return Err(Errno::EINVAL);
    }
    let Some(len) = range(at, len)? else {
        return Ok(0);
    };
    match space.protect(at, len, rights(prot)) {
        Err(MapError::NotMapped) => protect_below_hole(space, at, at + len, rights(prot)),
        result => result.map(|()| 0).map_err(Errno::from),
    }
}

/// What Linux does where a range has a hole: it changes what lies below, and then reports the hole.
fn protect_below_hole(space: &Space, at: usize, end: usize, prot: Prot) -> Result {
    let mut at = at;
    while let Some(region) = space.query(at).filter(|region| region.start <= at) {
        let stop = region.end.min(end);
        space.protect(at, stop - at, prot)?;
        at = stop;
    }
    Err(Errno::ENOMEM)
}
