//! Memory: mmap and its kin.
//!
//! The manager's verbs do the work; what is here is Linux's view of arguments and errors. On x86_64
//! a mapping that can be written or executed can also be read.

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{
    MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED, MADV_FREE,
    MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_MERGEABLE, MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT,
    MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_RANDOM, MADV_SEQUENTIAL, MADV_UNMERGEABLE,
    MADV_WILLNEED, MADV_WIPEONFORK, MAP_ANONYMOUS, MAP_DENYWRITE, MAP_EXECUTABLE, MAP_FIXED,
    MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_HUGETLB, MAP_LOCKED, MAP_NONBLOCK, MAP_NORESERVE,
    MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_STACK, MAP_TYPE, MCL_CURRENT,
    MCL_FUTURE, MCL_ONFAULT, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, MS_ASYNC,
    MS_INVALIDATE, MS_SYNC, PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM,
    PROT_WRITE,
};
use scalvm::{
    Access, Advice, FaultError, Inherit, MapError, MapRequest, PAGE_MASK, PAGE_SIZE, Place, Pmap,
    Prot, Remap, Share, page_ceil,
};

use super::{Errno, Result};
use crate::arch::layout::{USER_HIGH, USER_LOW};
use crate::mm::{VM, user};
use crate::task::{self, Space};

#[inline(never)]
pub fn call(number: u32, a: [usize; 6]) -> Result {
    let space = task::current().map();
    match number {
        nr::__NR_mmap => mmap(&space, a),
        nr::__NR_munmap => munmap(&space, a[0], a[1]),
        nr::__NR_mprotect => mprotect(&space, a[0], a[1], a[2] as u32),
        nr::__NR_mremap => mremap(&space, a[0], a[1], a[2], a[3] as u32, a[4]),
        nr::__NR_brk => Ok(space.move_break(a[0])),
        nr::__NR_madvise => madvise(&space, a[0], a[1], a[2] as u32),
        nr::__NR_msync => msync(&space, a[0], a[1], a[2] as u32),
        nr::__NR_mincore => mincore(&space, a[0], a[1], a[2]),
        nr::__NR_mlock => lock(&space, a[0], a[1], true),
        nr::__NR_mlock2 if a[2] > 1 => Err(Errno::EINVAL),
        nr::__NR_mlock2 => lock(&space, a[0], a[1], true),
        nr::__NR_munlock => lock(&space, a[0], a[1], false),
        nr::__NR_mlockall => lock_all(&space, a[0] as u32),
        nr::__NR_munlockall => {
            space.set_lock_future(false);
            for_all(&space, |start, len| {
                space.unwire(start, len).map_err(Errno::from)
            })
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// The rights that PROT_ bits mean.
fn rights(bits: u32) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, bits & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0);
    prot.set(Prot::WRITE, bits & PROT_WRITE != 0);
    prot.set(Prot::EXEC, bits & PROT_EXEC != 0);
    prot
}

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

fn mmap(space: &Space, a: [usize; 6]) -> Result {
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

fn munmap(space: &Space, at: usize, len: usize) -> Result {
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

/// A range of whole pages that must be mapped: its length. EINVAL if it does not start at a page,
/// ENOMEM if it cannot be mapped. None if it is empty.
fn range(at: usize, len: usize) -> core::result::Result<Option<usize>, Errno> {
    if at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    if len == 0 {
        return Ok(None);
    }
    let len = page_ceil(len).ok_or(Errno::ENOMEM)?;
    match at.checked_add(len) {
        Some(end) if at >= USER_LOW && end <= USER_HIGH => Ok(Some(len)),
        _ => Err(Errno::ENOMEM),
    }
}

fn mprotect(space: &Space, at: usize, len: usize, prot: u32) -> Result {
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

fn mremap(
    space: &Space,
    old: usize,
    old_len: usize,
    new_len: usize,
    flags: u32,
    new: usize,
) -> Result {
    let (may_move, fixed) = (flags & MREMAP_MAYMOVE != 0, flags & MREMAP_FIXED != 0);
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        || flags & MREMAP_DONTUNMAP != 0
        || fixed && !may_move
        || old & PAGE_MASK != 0
    {
        return Err(Errno::EINVAL);
    }
    let old_len = page_ceil(old_len).ok_or(Errno::EINVAL)?;
    let new_len = page_ceil(new_len).ok_or(Errno::EINVAL)?;
    if new_len == 0 || new_len > USER_HIGH {
        return Err(Errno::EINVAL);
    }
    let how = match () {
        _ if fixed => {
            let overlap = new < old.saturating_add(old_len) && old < new.saturating_add(new_len);
            if new & PAGE_MASK != 0 || new > USER_HIGH - new_len || overlap {
                return Err(Errno::EINVAL);
            }
            if new < USER_LOW {
                return Err(Errno::EPERM);
            }
            Remap::Fixed(new)
        }
        _ if may_move => Remap::MayMove,
        _ => Remap::InPlace,
    };
    if old_len == 0 {
        // A second view of shared memory.
        let place = match how {
            Remap::InPlace => return Err(Errno::EINVAL),
            Remap::MayMove => Place::Anywhere,
            Remap::Fixed(new) => Place::Fixed(new),
        };
        return space
            .map_again(old & !PAGE_MASK, new_len, place)
            .map_err(|error| match error {
                MapError::NotMapped => Errno::EFAULT,
                MapError::NoSpace => Errno::ENOMEM,
                other => other.into(),
            });
    }
    if !matches!(old.checked_add(old_len), Some(end) if old >= USER_LOW && end <= USER_HIGH) {
        return Err(Errno::EFAULT);
    }
    space
        .remap(old, old_len, new_len, how)
        .map_err(|error| match error {
            MapError::NotMapped => Errno::EFAULT,
            MapError::NoSpace | MapError::Occupied => Errno::ENOMEM,
            other => other.into(),
        })
}

fn madvise(space: &Space, at: usize, len: usize, advice: u32) -> Result {
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

/// Whether any mapping of a range is like that. ENOMEM if there is a hole.
fn any_region(
    space: &Space,
    at: usize,
    end: usize,
    like: impl Fn(&scalvm::Region) -> bool,
) -> core::result::Result<bool, Errno> {
    let (mut at, mut found) = (at, false);
    while at < end {
        let region = space
            .query(at)
            .filter(|region| region.start <= at)
            .ok_or(Errno::ENOMEM)?;
        found |= like(&region);
        at = region.end;
    }
    Ok(found)
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

fn msync(space: &Space, at: usize, len: usize, flags: u32) -> Result {
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

fn lock(space: &Space, at: usize, len: usize, on: bool) -> Result {
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

fn lock_all(space: &Space, flags: u32) -> Result {
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
fn for_all(
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
