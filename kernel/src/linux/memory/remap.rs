//! Growing, shrinking and moving mappings, and what of their objects they show: mremap(2),
//! remap_file_pages(2).

use alloc::vec::Vec;

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE};
use scalvm::{MapError, PAGE_MASK, PAGE_SIZE, Place, Remap, Share, Watch, page_ceil};

use super::super::{Errno, Result};
use super::any_region;
use crate::arch::layout::USER_HIGH;
use crate::fs::userfault::{self, Change};
use crate::task::{self, Space, min_address};

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_remap_file_pages => {
            remap_file_pages(&task::current().map(), a[0], a[1], a[2], a[3])
        }
        _ => return None,
    })
}

/// A part of a shared mapping shows other pages of its object from now on. As on Linux, which gave up
/// mappings of pages in disorder, it becomes a mapping of its own.
fn remap_file_pages(space: &Space, at: usize, len: usize, prot: usize, page: usize) -> Result {
    let (start, len) = (at & !PAGE_MASK, len & !PAGE_MASK);
    let Some(end) = start.checked_add(len).filter(|&end| end > start) else {
        return Err(Errno::EINVAL);
    };
    if prot != 0 || page.checked_add(len / PAGE_SIZE).is_none() {
        return Err(Errno::EINVAL);
    }
    let region = space.query(start).filter(|region| region.start <= start);
    let region = region.filter(|region| region.share == Share::Shared);
    let region = region.ok_or(Errno::EINVAL)?;
    let other = any_region(space, start, end, |other| {
        (other.object_id, other.prot, other.share) != (region.object_id, region.prot, region.share)
    });
    if other != Ok(false) {
        return Err(Errno::EINVAL);
    }
    let page = u32::try_from(page).map_err(|_| Errno::EOVERFLOW)?;
    space.map_pages(start, page, len, Place::Fixed(start))?;
    // It stands, as on Linux, whether or not all of it can be brought in now.
    let _ = space.populate(start, len);
    Ok(0)
}

/// Moves or resizes a mapping, and tells who watches it, or what it replaces.
fn remap(
    space: &Space,
    watch: Option<Watch>,
    (old, old_len): (usize, usize),
    new_len: usize,
    how: Remap,
    keeps: bool,
) -> Result {
    // What it replaces, cuts off, and leaves is unmapped.
    let kept = new_len.min(old_len);
    let to = match how {
        Remap::Fixed(to) => Some(to),
        _ => None,
    };
    let replaced = match to {
        Some(to) => userfault::unmapping(space, to, new_len)?,
        None => Vec::new(),
    };
    let cut = userfault::unmapping(space, old + kept, old_len - kept)?;
    let left = userfault::unmapping(space, old, if keeps { 0 } else { kept })?;
    let follows = userfault::moving(watch, old)?;
    let moved = if keeps {
        space.remap_keeping(old, old_len, to)
    } else {
        space.remap(old, old_len, new_len, how)
    };
    let at = moved.map_err(|error| match error {
        MapError::NotMapped => Errno::EFAULT,
        MapError::NoSpace | MapError::Occupied => Errno::ENOMEM,
        other => other.into(),
    })?;
    // In Linux's order.
    replaced.into_iter().for_each(Change::tell);
    if let Some(change) = follows.filter(|_| at != old) {
        change.tell_moved(at, kept);
    }
    let left = left.into_iter().filter(|_| at != old);
    cut.into_iter().chain(left).for_each(Change::tell);
    Ok(at)
}

/// Moves all mappings of a range, one after the other; the holes between them come along, but the first mapping begins
/// where the range does. As on Linux, what was moved before one fails has moved, and what somebody watches moves alone.
fn move_each(space: &Space, old: usize, len: usize, new: usize, keeps: bool) -> Result {
    let end = old + len;
    let mut at = old;
    while at < end
        && let Some(mapping) = space.mapping(at).filter(|mapping| mapping.start < end)
    {
        let is_first = at == old;
        let from = mapping.start.max(at);
        at = mapping.end.min(end);
        let is_alone = is_first && at == end;
        if is_first && from > old || mapping.watch.is_some() && !is_alone {
            return Err(Errno::EFAULT);
        }
        let (part, to) = (at - from, new + (from - old));
        let how = Remap::Fixed(to);
        remap(space, mapping.watch, (from, part), part, how, keeps)?;
    }
    if at == old {
        return Err(Errno::EFAULT);
    }
    Ok(new)
}

pub(super) fn mremap(
    space: &Space,
    old: usize,
    old_len: usize,
    new_len: usize,
    flags: u32,
    new: usize,
) -> Result {
    let (may_move, fixed) = (flags & MREMAP_MAYMOVE != 0, flags & MREMAP_FIXED != 0);
    let keeps = flags & MREMAP_DONTUNMAP != 0;
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) != 0
        || (fixed || keeps) && !may_move
        || old & PAGE_MASK != 0
    {
        return Err(Errno::EINVAL);
    }
    let old_len = page_ceil(old_len).ok_or(Errno::EINVAL)?;
    let new_len = page_ceil(new_len).ok_or(Errno::EINVAL)?;
    if new_len == 0 || new_len > USER_HIGH || keeps && old_len != new_len {
        return Err(Errno::EINVAL);
    }
    let how = match () {
        _ if fixed => {
            let overlap = new < old.saturating_add(old_len) && old < new.saturating_add(new_len);
            if new & PAGE_MASK != 0 || new > USER_HIGH - new_len || overlap {
                return Err(Errno::EINVAL);
            }
            if new < min_address() {
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
    if !matches!(old.checked_add(old_len), Some(end) if end <= USER_HIGH) {
        return Err(Errno::EFAULT);
    }
    if fixed && old_len == new_len {
        return move_each(space, old, old_len, new, keeps);
    }
    // All of it is one mapping, but for what is cut off.
    let kept = old + old_len.min(new_len);
    let mapping = space.mapping_to(old, kept);
    let mapping = mapping.filter(|mapping| mapping.start <= old);
    let mapping = mapping.ok_or(Errno::EFAULT)?;
    if mapping.sealed {
        return Err(Errno::EPERM);
    }
    if new_len == old_len && !keeps {
        return Ok(old);
    }
    if mapping.end < kept && (new_len > old_len || fixed || keeps) {
        return Err(Errno::EFAULT);
    }
    let at = remap(space, mapping.watch, (old, old_len), new_len, how, keeps)?;
    if new_len > old_len {
        // It stands, as on Linux, whether or not all of it can be brought in now.
        let _ = space.bring_wired(at, new_len);
    }
    Ok(at)
}
