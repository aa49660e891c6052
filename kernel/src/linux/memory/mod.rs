//! Memory: mmap and its kin.
//!
//! The manager's verbs do the work; what is here is Linux's view of arguments and errors. On x86_64
//! a mapping that can be written or executed can also be read.

mod advise;
mod cross;
mod lock;
mod mmap;
pub mod name;
mod policy;
mod remap;
mod residency;
mod seal;
mod shm;
mod userfault;

pub use userfault::userfaultfd;

use linux_raw_sys::general as nr;
use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};
use scalvm::{PAGE_MASK, Prot, Wire, page_ceil};

use super::{Errno, Result};
use crate::arch::layout::USER_HIGH;
use crate::task::{self, Space};

#[inline(never)]
pub fn call(number: u32, a: [usize; 6]) -> Result {
    let space = task::current().map();
    match number {
        nr::__NR_mmap => swept(mmap::mmap(&space, a)),
        nr::__NR_munmap => swept(mmap::munmap(&space, a[0], a[1])),
        nr::__NR_mprotect => mmap::mprotect(&space, a[0], a[1], a[2] as u32),
        nr::__NR_mremap => swept(remap::mremap(&space, a[0], a[1], a[2], a[3] as u32, a[4])),
        nr::__NR_brk => Ok(space.move_break(a[0])),
        nr::__NR_madvise => advise::madvise(&space, a[0], a[1], a[2] as u32),
        nr::__NR_msync => residency::msync(&space, a[0], a[1], a[2] as u32),
        nr::__NR_mlock => lock::lock(&space, a[0], a[1], Some(Wire::Now)),
        nr::__NR_mlock2 => lock::lock2(&space, a[0], a[1], a[2] as u32),
        nr::__NR_munlock => lock::lock(&space, a[0], a[1], None),
        nr::__NR_mlockall => lock::lock_all(&space, a[0] as u32),
        nr::__NR_munlockall => lock::unlock_all(&space),
        _ => Err(Errno::ENOSYS),
    }
}

/// The result of a call that may have unmapped the last of a System V segment.
fn swept(result: Result) -> Result {
    crate::ipc::shm::sweep();
    result
}

/// The calls that are made less often.
pub fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    residency::dispatch(number, a)
        .or_else(|| advise::dispatch(number, a))
        .or_else(|| seal::dispatch(number, a))
        .or_else(|| remap::dispatch(number, a))
        .or_else(|| shm::dispatch(number, a))
        .or_else(|| cross::dispatch(number, a))
        .or_else(|| userfault::dispatch(number, a))
        .or_else(|| policy::dispatch(number, a))
}

/// The rights that PROT_ bits mean.
fn rights(bits: u32) -> Prot {
    let mut prot = Prot::empty();
    prot.set(Prot::READ, bits & (PROT_READ | PROT_WRITE | PROT_EXEC) != 0);
    prot.set(Prot::WRITE, bits & PROT_WRITE != 0);
    prot.set(Prot::EXEC, bits & PROT_EXEC != 0);
    prot
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
        Some(end) if end <= USER_HIGH => Ok(Some(len)),
        _ => Err(Errno::ENOMEM),
    }
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
