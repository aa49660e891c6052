//! Names of mappings: prctl(PR_SET_VMA).

use alloc::sync::Arc;

use linux_raw_sys::prctl::PR_SET_VMA_ANON_NAME;
use scalvm::{PAGE_MASK, page_ceil};

use super::super::{Errno, Result};
use super::advise::each_region;
use crate::fs::{memory, names};
use crate::mm::labels::{self, Label, NAME_SPACE, Name};
use crate::mm::user;
use crate::task::{self, Space, with_memory};

/// PR_SET_VMA: gives a part of the address space a name that /proc shows, or takes it away.
pub fn set_vma(what: usize, [at, len, name]: [usize; 3]) -> Result {
    if what != PR_SET_VMA_ANON_NAME as usize {
        return Err(Errno::EINVAL);
    }
    let name = if name == 0 {
        None
    } else {
        Some(read_name(name)?)
    };
    if at & PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let end = page_ceil(len).and_then(|len| at.checked_add(len));
    let end = end.ok_or(Errno::EINVAL)?;
    if end > at {
        let space = task::current().map();
        each_region(&space, at, end, |region, at, len| {
            if region
                .cookie
                .is_some_and(|cookie| names::find(cookie).is_some())
            {
                return Err(Errno::EBADF);
            }
            let name = name.clone();
            relabel(&space, region.tag, (at, len), |old| Label { name, ..old }).map_err(short)
        })?;
    }
    Ok(0)
}

/// A name from the program's memory. EINVAL for one that is too long, or has what would be read wrongly.
fn read_name(at: usize) -> core::result::Result<Arc<Name>, Errno> {
    let bytes = user::copy_in_str_or(at, NAME_SPACE, Errno::EINVAL)?;
    let is_good = |byte: &u8| (b' '..=b'~').contains(byte) && !b"\\`$[]".contains(byte);
    let name = Name::new(&bytes).filter(|_| bytes.iter().all(is_good));
    memory::arc(name.ok_or(Errno::EINVAL)?)
}

/// As on Linux, the call may be made again where memory was short.
fn short(error: Errno) -> Errno {
    match error {
        Errno::ENOMEM => Errno::EAGAIN,
        error => error,
    }
}

/// Notes something else with a part of a mapping whose tag is known.
pub(super) fn relabel(
    space: &Space,
    tag: u32,
    (at, len): (usize, usize),
    change: impl FnOnce(Label) -> Label,
) -> core::result::Result<(), Errno> {
    let label = change(labels::get(tag));
    let tag = labels::tag_of(label)?;
    Ok(with_memory(|| space.set_tag(at, len, tag.number()))?)
}
