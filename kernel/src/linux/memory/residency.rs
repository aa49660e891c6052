//! What is in memory, and what is on disk: mincore(2), cachestat(2), msync(2).

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{MS_ASYNC, MS_INVALIDATE, MS_SYNC};
use scalvm::{ObjectPages, PAGE_MASK, PAGE_SIZE, PageInfo, Share, page_ceil};

use super::super::files::file;
use super::super::{Errno, Result};
use crate::arch::layout::USER_HIGH;
use crate::mm::user;
use crate::task::{self, Space};

/// Pages that are looked at together.
const STEP: usize = 64;

/// The calls whose numbers are known here.
pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    Some(match number as u32 {
        nr::__NR_mincore => mincore(&task::current().map(), a[0], a[1], a[2]),
        nr::__NR_cachestat => cachestat(a[0], a[1], a[2], a[3] as u32),
        _ => return None,
    })
}

/// Counts the pages of a part of a file: in memory, dirty, being written, put back; those put back lately are not
/// told apart.
fn cachestat(fd: usize, range: usize, result: usize, flags: u32) -> Result {
    let file = file(fd)?;
    let [at, len] = user::read::<[u64; 2]>(range)?;
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let len = if len == 0 { u64::MAX } else { len };
    let object = file.io().and_then(|io| io.object(file.node()));
    let pages = object.map_or(ObjectPages::default(), |object| object.count(at, len));
    let counts = [pages.resident, pages.dirty, pages.writing, pages.away, 0];
    user::write(result, &counts)?;
    Ok(0)
}

/// As on Linux what lies behind a hole is synced as well, but not where all that is asked for is to begin. MS_INVALIDATE has
/// nothing to do: mappings and files have the same pages.
pub(super) fn msync(space: &Space, at: usize, len: usize, flags: u32) -> Result {
    let both = MS_ASYNC | MS_SYNC;
    if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    if at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_ceil(len).ok_or(Errno::ENOMEM)?;
    let end = at.checked_add(len).ok_or(Errno::ENOMEM)?;
    let (mut at, mut hole) = (at, false);
    while at < end {
        let region = space.query(at).ok_or(Errno::ENOMEM)?;
        if region.start > at {
            if flags == MS_ASYNC {
                return Err(Errno::ENOMEM);
            }
            hole = true;
            at = region.start;
            continue;
        }
        if flags & MS_INVALIDATE != 0 && region.wired {
            return Err(Errno::EBUSY);
        }
        let part = region.end.min(end) - at;
        if region.share == Share::Shared {
            if flags & MS_SYNC != 0 {
                space.sync(at, part)?;
            } else if flags & MS_ASYNC != 0 {
                space.start_sync(at, part)?;
            }
        }
        at += part;
    }
    if hole { Err(Errno::ENOMEM) } else { Ok(0) }
}

/// Which pages are in memory: of a file those that are cached, whether or not this mapping has touched them.
fn mincore(space: &Space, at: usize, len: usize, result: usize) -> Result {
    if at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_ceil(len).filter(|len| *len <= USER_HIGH);
    let end = len.and_then(|len| at.checked_add(len));
    let end = end.filter(|end| *end <= USER_HIGH).ok_or(Errno::ENOMEM)?;
    let pages = (end - at) / PAGE_SIZE;
    if result.checked_add(pages).is_none_or(|end| end > USER_HIGH) {
        return Err(Errno::EFAULT);
    }
    let mut done = 0;
    while done < pages {
        let here = at + done * PAGE_SIZE;
        let mut infos = [PageInfo::default(); STEP];
        let step = (pages - done).min(STEP);
        let told = space.inspect(here, &mut infos[..step]);
        if told == 0 {
            return Err(Errno::ENOMEM);
        }
        let mut bytes = [0u8; STEP];
        for (byte, info) in bytes.iter_mut().zip(&infos[..told]) {
            *byte = u8::from(info.is_resident());
        }
        user::copy_out(result + done, &bytes[..told])?;
        done += told;
    }
    Ok(0)
}
