//! Mapping, unmapping, and rights: mmap(2), munmap(2), mprotect(2).

use alloc::vec::Vec;

use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_DENYWRITE, MAP_EXECUTABLE, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN,
    MAP_HUGETLB, MAP_LOCKED, MAP_NONBLOCK, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED,
    MAP_SHARED_VALIDATE, MAP_STACK, MAP_TYPE, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ,
    PROT_SEM, PROT_WRITE,
};
use scalvm::{Inherit, MapError, MapRequest, PAGE_MASK, Place, Prot, Share, Wire, page_ceil};

use super::super::{Errno, Result};
use super::{any_region, lock, range, rights};
use crate::arch::layout::USER_HIGH;
use crate::fs::userfault::{self, Change};
use crate::task::{self, Space, min_address};

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
    let anonymous = flags & MAP_ANONYMOUS != 0;
    let share = match flags & MAP_TYPE {
        MAP_PRIVATE => Share::Private,
        MAP_SHARED => Share::Shared,
        MAP_SHARED_VALIDATE if anonymous => return Err(Errno::EINVAL),
        MAP_SHARED_VALIDATE if flags & !KNOWN_FLAGS != 0 => return Err(Errno::EOPNOTSUPP),
        MAP_SHARED_VALIDATE => Share::Shared,
        _ => return Err(Errno::EINVAL),
    };
    let grows = flags & MAP_GROWSDOWN != 0;
    if grows && !(anonymous && share == Share::Private) {
        return Err(Errno::EINVAL);
    }
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM);
    }
    let place = if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        if at & PAGE_MASK != 0 {
            return Err(Errno::EINVAL);
        }
        if at < min_address() {
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
        match at & !PAGE_MASK {
            0 => Place::Anywhere,
            at if at.max(min_address()) <= USER_HIGH - len => Place::Hint(at.max(min_address())),
            _ => Place::Anywhere,
        }
    };
    let wire = (flags & MAP_LOCKED != 0).then_some(Wire::Now);
    if wire.is_some() {
        lock::may_lock()?;
    }
    let changes = match place {
        Place::Fixed(at) => userfault::unmapping(space, at, len)?,
        _ => Vec::new(),
    };
    let start = if anonymous {
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
            wire,
            grows,
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
            wire,
            ..request
        })
    }
    .map_err(|error| match error {
        MapError::BadRange | MapError::NoSpace => Errno::ENOMEM,
        MapError::BadOffset => Errno::EOVERFLOW,
        other => other.into(),
    })?;
    changes.into_iter().for_each(Change::tell);
    // The mapping stands, as on Linux, whether or not all of it can be brought in now.
    if wire.is_some() || space.wire_future().is_some() {
        let _ = space.bring_wired(start, len);
    }
    if flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE {
        let _ = space.populate(start, len);
    }
    Ok(start)
}

pub(super) fn munmap(space: &Space, at: usize, len: usize) -> Result {
    let len = page_ceil(len).ok_or(Errno::EINVAL)?;
    if at & PAGE_MASK != 0 || len == 0 || at > USER_HIGH || len > USER_HIGH - at {
        return Err(Errno::EINVAL);
    }
    userfault::unmap(space, at, len)?;
    Ok(0)
}

pub(super) fn mprotect(space: &Space, at: usize, len: usize, prot: u32) -> Result {
    const KNOWN: u32 = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM;
    const GROWS: u32 = PROT_GROWSDOWN | PROT_GROWSUP;
    if prot & GROWS == GROWS {
        return Err(Errno::EINVAL);
    }
    let Some(len) = range(at, len)? else {
        return Ok(0);
    };
    if prot & !(KNOWN | GROWS) != 0 {
        return Err(Errno::EINVAL);
    }
    let end = at + len;
    let start = match prot & GROWS {
        0 => at,
        // What is meant is the entry that grows, from wherever it begins by now.
        PROT_GROWSDOWN => {
            let region = space.query(at).filter(|region| region.start < end);
            let region = region.ok_or(Errno::ENOMEM)?;
            if !region.grows {
                return Err(Errno::EINVAL);
            }
            region.start
        }
        // Nothing grows upwards here.
        _ => {
            any_region(space, at, at + 1, |_| false)?;
            return Err(Errno::EINVAL);
        }
    };
    let prot = rights(prot);
    match space.protect(start, end - start, prot) {
        Err(MapError::NotMapped) => protect_below_hole(space, start, end, prot),
        result => {
            result?;
            if prot.contains(Prot::WRITE) {
                // What is locked comes in as soon as it can be written.
                let _ = space.bring_wired(start, end - start);
            }
            Ok(0)
        }
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
