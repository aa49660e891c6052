//! Faults that a program serves: userfaultfd(2).

use linux_raw_sys::general::{__NR_userfaultfd, O_CLOEXEC, O_NONBLOCK, UFFD_USER_MODE_ONLY};

use super::super::{Errno, Result, files};
use crate::fs::userfault;
use crate::task;

pub(super) fn dispatch(number: usize, a: [usize; 6]) -> Option<Result> {
    (number as u32 == __NR_userfaultfd).then(|| userfaultfd(a[0] as u32))
}

/// Makes a descriptor for the space of the program that calls. Also for /dev/userfaultfd.
pub fn userfaultfd(flags: u32) -> Result {
    if flags & !(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = userfault::open(&task::current().map(), flags)?;
    files::install(file, flags & O_CLOEXEC != 0)
}
