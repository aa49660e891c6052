//! ioctl(2) of a userfaultfd: what its program says of ranges and pages.
//!
//! Where pages are done one after the other, the count of bytes, or the first error, goes into the last
//! word of the request; if some but not all are done the call fails with EAGAIN. So it does while ranges
//! change (`events`).

use alloc::sync::Arc;
use core::mem::offset_of;

use linux_raw_sys::general::{
    _UFFDIO_API, _UFFDIO_CONTINUE, _UFFDIO_COPY, _UFFDIO_MOVE, _UFFDIO_POISON, _UFFDIO_REGISTER,
    _UFFDIO_UNREGISTER, _UFFDIO_WAKE, _UFFDIO_WRITEPROTECT, _UFFDIO_ZEROPAGE, UFFD_API,
    UFFD_FEATURE_EVENT_FORK, UFFD_FEATURE_EVENT_REMAP, UFFD_FEATURE_EVENT_REMOVE,
    UFFD_FEATURE_EVENT_UNMAP, UFFD_FEATURE_EXACT_ADDRESS, UFFD_FEATURE_MINOR_SHMEM,
    UFFD_FEATURE_MISSING_SHMEM, UFFD_FEATURE_MOVE, UFFD_FEATURE_PAGEFAULT_FLAG_WP,
    UFFD_FEATURE_POISON, UFFD_FEATURE_SIGBUS, UFFD_FEATURE_THREAD_ID,
    UFFD_FEATURE_WP_HUGETLBFS_SHMEM, UFFD_FEATURE_WP_UNPOPULATED, UFFDIO,
    UFFDIO_COPY_MODE_DONTWAKE, UFFDIO_COPY_MODE_WP, UFFDIO_REGISTER_MODE_MINOR,
    UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP, uffdio_api, uffdio_continue,
    uffdio_copy, uffdio_move, uffdio_poison, uffdio_register, uffdio_writeprotect, uffdio_zeropage,
};
use linux_raw_sys::ioctl::{
    UFFDIO_API, UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WAKE,
    UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};
use scalvm::{MapError, PAGE_MASK, PAGE_SIZE, Region, ServeError, Watch, WatchEvents};

use super::{INITIALIZED, UserFault};
use crate::arch::layout::USER_HIGH;
use crate::linux::Errno;
use crate::mm::{VM, user};
use crate::task::{Space, with_memory};

/// Linux's `_IOWR` of this type.
const UFFDIO_MOVE: u32 =
    3 << 30 | (size_of::<uffdio_move>() as u32) << 16 | UFFDIO << 8 | _UFFDIO_MOVE;
const UFFDIO_POISON: u32 =
    3 << 30 | (size_of::<uffdio_poison>() as u32) << 16 | UFFDIO << 8 | _UFFDIO_POISON;
/// `UFFDIO_MOVE_MODE_` bits.
const MOVE_DONTWAKE: u64 = 1;
const MOVE_ALLOW_SRC_HOLES: u64 = 2;
/// Bits of every mode, and the second of UFFDIO_COPY's and UFFDIO_CONTINUE's.
const DONTWAKE: u64 = UFFDIO_COPY_MODE_DONTWAKE as u64;
const WP: u64 = UFFDIO_COPY_MODE_WP as u64;
/// UFFDIO_WRITEPROTECT has them the other way round.
const PROTECT: u64 = 1;
const PROTECT_DONTWAKE: u64 = 2;

/// What programs may ask for. Pages that do not exist are always write-protected with the others.
const FEATURES: u64 = (UFFD_FEATURE_PAGEFAULT_FLAG_WP
    | UFFD_FEATURE_EVENT_FORK
    | UFFD_FEATURE_EVENT_REMAP
    | UFFD_FEATURE_EVENT_REMOVE
    | UFFD_FEATURE_EVENT_UNMAP
    | UFFD_FEATURE_MISSING_SHMEM
    | UFFD_FEATURE_SIGBUS
    | UFFD_FEATURE_THREAD_ID
    | UFFD_FEATURE_MINOR_SHMEM
    | UFFD_FEATURE_EXACT_ADDRESS
    | UFFD_FEATURE_WP_HUGETLBFS_SHMEM
    | UFFD_FEATURE_WP_UNPOPULATED
    | UFFD_FEATURE_POISON
    | UFFD_FEATURE_MOVE) as u64;

const API_IOCTLS: u64 = 1 << _UFFDIO_API | 1 << _UFFDIO_REGISTER | 1 << _UFFDIO_UNREGISTER;
/// What can be done in any registered range.
const RANGE_IOCTLS: u64 = 1 << _UFFDIO_WAKE
    | 1 << _UFFDIO_COPY
    | 1 << _UFFDIO_ZEROPAGE
    | 1 << _UFFDIO_MOVE
    | 1 << _UFFDIO_POISON;

/// A range of whole pages that a program may have.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    len: usize,
}

impl Range {
    /// EINVAL if it is none.
    fn new(start: u64, len: u64) -> Result<Range, Errno> {
        let (start, len) = (start as usize, len as usize);
        // As on Linux, never the null page.
        let inside = (PAGE_SIZE..USER_HIGH).contains(&start) && len <= USER_HIGH - start;
        if (start | len) & PAGE_MASK != 0 || len == 0 || !inside {
            return Err(Errno::EINVAL);
        }
        Ok(Range { start, len })
    }

    fn end(self) -> usize {
        self.start + self.len
    }

    /// Whether all of it is mapped, by regions like that.
    fn is_all(self, space: &Space, like: impl Fn(&Region) -> bool) -> bool {
        let mut at = self.start;
        while at < self.end() {
            match space.query(at).filter(|r| r.start <= at && like(r)) {
                Some(region) => at = region.end,
                None => return false,
            }
        }
        true
    }
}

impl UserFault {
    pub(super) fn control(&self, request: u32, arg: usize) -> Result<usize, Errno> {
        if request != UFFDIO_API && !self.is_initialized() {
            return Err(Errno::EINVAL);
        }
        match request {
            UFFDIO_API => self.handshake(arg),
            UFFDIO_REGISTER => self.register(arg),
            UFFDIO_UNREGISTER => self.unregister(arg),
            UFFDIO_WAKE => {
                let [start, len] = user::read(arg)?;
                let range = Range::new(start, len)?;
                self.wake(range.start, range.end());
                Ok(0)
            }
            UFFDIO_WRITEPROTECT => self.write_protect(arg),
            UFFDIO_COPY => self.copy(arg),
            UFFDIO_ZEROPAGE => self.zero(arg),
            UFFDIO_CONTINUE => self.show(arg),
            UFFDIO_MOVE => self.shift(arg),
            UFFDIO_POISON => self.poison(arg),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The space, or this error when its program has ended.
    fn space_or(&self, error: Errno) -> Result<Arc<Space>, Errno> {
        self.space.lock().upgrade().ok_or(error)
    }

    fn handshake(&self, arg: usize) -> Result<usize, Errno> {
        const { assert!(size_of::<uffdio_api>() == 24) };
        let [api, features, _] = user::read::<[u64; 3]>(arg)?;
        let good = api == u64::from(UFFD_API) && features & !FEATURES == 0;
        if !good || self.is_initialized() {
            user::write(arg, &[0u64; 3])?;
            return Err(Errno::EINVAL);
        }
        user::write(arg, &[api, FEATURES, API_IOCTLS])?;
        self.initialize(features | INITIALIZED);
        Ok(0)
    }

    fn register(&self, arg: usize) -> Result<usize, Errno> {
        const MODES: [(u32, WatchEvents); 3] = [
            (UFFDIO_REGISTER_MODE_MISSING, WatchEvents::MISSING),
            (UFFDIO_REGISTER_MODE_WP, WatchEvents::WRITE_PROTECT),
            (UFFDIO_REGISTER_MODE_MINOR, WatchEvents::MINOR),
        ];
        let [start, len, mode] = user::read::<[u64; 3]>(arg)?;
        let mut events = WatchEvents::empty();
        let mut unknown = mode;
        for (bit, event) in MODES {
            events.set(event, mode & u64::from(bit) != 0);
            unknown &= !u64::from(bit);
        }
        if events.is_empty() || unknown != 0 {
            return Err(Errno::EINVAL);
        }
        let range = Range::new(start, len)?;
        let space = self.space_or(Errno::ENOMEM)?;
        if events.contains(WatchEvents::MINOR) {
            self.check_has_objects(&space, range)?;
        }
        let watch = Watch {
            server: self.number,
            events,
            follows: self.has(UFFD_FEATURE_EVENT_REMAP),
        };
        with_memory(|| space.watch(range.start, range.len, watch)).map_err(
            |error| match error {
                MapError::Protection => Errno::EPERM,
                MapError::Occupied => Errno::EBUSY,
                MapError::OutOfMemory => Errno::ENOMEM,
                _ => Errno::EINVAL,
            },
        )?;
        let mut ioctls = RANGE_IOCTLS;
        if events.contains(WatchEvents::WRITE_PROTECT) {
            ioctls |= 1 << _UFFDIO_WRITEPROTECT;
        }
        if events.contains(WatchEvents::MINOR) {
            ioctls |= 1 << _UFFDIO_CONTINUE;
        }
        user::write(arg + offset_of!(uffdio_register, ioctls), &ioctls)?;
        Ok(0)
    }

    /// Minor faults are those of objects: of private anonymous memory there are none.
    fn check_has_objects(&self, space: &Space, range: Range) -> Result<(), Errno> {
        let mut at = range.start;
        while let Some(region) = space.query(at).filter(|region| region.start < range.end()) {
            if region.object_id.is_none() {
                return Err(Errno::EINVAL);
            }
            at = region.end;
        }
        Ok(())
    }

    fn unregister(&self, arg: usize) -> Result<usize, Errno> {
        let [start, len] = user::read::<[u64; 2]>(arg)?;
        let range = Range::new(start, len)?;
        let space = self.space_or(Errno::ENOMEM)?;
        let some = space.query(range.start);
        if some.is_none_or(|region| region.start >= range.end()) {
            return Err(Errno::EINVAL);
        }
        with_memory(|| space.unwatch(range.start, range.len, self.number)).map_err(|error| {
            match error {
                MapError::OutOfMemory => Errno::ENOMEM,
                _ => Errno::EINVAL,
            }
        })?;
        self.wake(range.start, range.end());
        Ok(0)
    }

    fn write_protect(&self, arg: usize) -> Result<usize, Errno> {
        const { assert!(size_of::<uffdio_writeprotect>() == 24) };
        self.settled()?;
        let [start, len, mode] = user::read::<[u64; 3]>(arg)?;
        let range = Range::new(start, len)?;
        let both = PROTECT | PROTECT_DONTWAKE;
        if mode & !both != 0 || mode & both == both {
            return Err(Errno::EINVAL);
        }
        let space = self.space_or(Errno::ESRCH)?;
        let on = mode & PROTECT != 0;
        with_memory(|| space.write_protect(range.start, range.len, on)).map_err(
            |error| match error {
                MapError::OutOfMemory => Errno::ENOMEM,
                _ => Errno::ENOENT,
            },
        )?;
        if mode & both == 0 {
            self.wake(range.start, range.end());
        }
        Ok(0)
    }

    fn copy(&self, arg: usize) -> Result<usize, Errno> {
        let [to, from, len, mode] = user::read::<[u64; 4]>(arg)?;
        let result = arg + offset_of!(uffdio_copy, copy);
        check_source(from, len)?;
        let range = Range::new(to, len)?;
        check_mode(mode, DONTWAKE | WP)?;
        let space = self.space_or(Errno::ESRCH)?;
        let protect = mode & WP != 0;
        let step = |offset: usize| {
            let page = with_memory(|| VM.fresh_page())?;
            // SAFETY: the page is ours alone, and has so many bytes.
            unsafe { user::copy_to_raw(from as usize + offset, page.as_ptr(), PAGE_SIZE)? };
            place(&space, range.start + offset, page, protect)
        };
        let ready = watched(&space, range, protect);
        self.by_pages(result, range, mode & DONTWAKE == 0, ready, step)
    }

    fn zero(&self, arg: usize) -> Result<usize, Errno> {
        let [start, len, mode] = user::read::<[u64; 3]>(arg)?;
        let result = arg + offset_of!(uffdio_zeropage, zeropage);
        let range = Range::new(start, len)?;
        check_mode(mode, DONTWAKE)?;
        let space = self.space_or(Errno::ESRCH)?;
        let step = |offset: usize| {
            let at = range.start + offset;
            // As on Linux, only a copy takes the place of what is lost.
            if space
                .query(at)
                .is_some_and(|region| region.start <= at && region.poisoned)
            {
                return Err(Errno::EEXIST);
            }
            let page = with_memory(|| VM.fresh_page())?;
            place(&space, at, page, false)
        };
        let ready = watched(&space, range, false);
        self.by_pages(result, range, mode & DONTWAKE == 0, ready, step)
    }

    fn show(&self, arg: usize) -> Result<usize, Errno> {
        let [start, len, mode] = user::read::<[u64; 3]>(arg)?;
        let result = arg + offset_of!(uffdio_continue, mapped);
        let range = Range::new(start, len)?;
        check_mode(mode, DONTWAKE | WP)?;
        let space = self.space_or(Errno::ESRCH)?;
        let protect = mode & WP != 0;
        let ready =
            watched(&space, range, protect).and_then(|()| self.check_has_objects(&space, range));
        let step = |offset: usize| {
            let shown = space.show(range.start + offset, protect);
            shown.map_err(|error| match error {
                ServeError::NotWatched => Errno::EINVAL,
                other => place_errno(other),
            })
        };
        self.by_pages(result, range, mode & DONTWAKE == 0, ready, step)
    }

    fn poison(&self, arg: usize) -> Result<usize, Errno> {
        let [start, len, mode] = user::read::<[u64; 3]>(arg)?;
        let result = arg + offset_of!(uffdio_poison, updated);
        let range = Range::new(start, len)?;
        check_mode(mode, DONTWAKE)?;
        let space = self.space_or(Errno::ESRCH)?;
        let step =
            |offset: usize| with_memory(|| space.poison(range.start + offset).map_err(place_errno));
        let ready = watched(&space, range, false);
        self.by_pages(result, range, mode & DONTWAKE == 0, ready, step)
    }

    fn shift(&self, arg: usize) -> Result<usize, Errno> {
        let [to, from, len, mode] = user::read::<[u64; 4]>(arg)?;
        let result = arg + offset_of!(uffdio_move, move_);
        check_mode(mode, MOVE_DONTWAKE | MOVE_ALLOW_SRC_HOLES)?;
        let range = Range::new(to, len)?;
        let source = Range::new(from, len)?;
        let space = self.space_or(Errno::ESRCH)?;
        let his = |region: &Region| region.watch.is_some_and(|w| w.server == self.number);
        let ready = if range.is_all(&space, his) && source.is_all(&space, |_| true) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        };
        let holes = mode & MOVE_ALLOW_SRC_HOLES != 0;
        let step =
            |offset: usize| match space.move_page(source.start + offset, range.start + offset) {
                Err(ServeError::Absent) if holes => Ok(()),
                result => result.map_err(|error| match error {
                    ServeError::Unlike | ServeError::NotWatched => Errno::EINVAL,
                    ServeError::Absent => Errno::ENOENT,
                    ServeError::Shared | ServeError::Held => Errno::EBUSY,
                    other => place_errno(other),
                }),
            };
        self.by_pages(result, range, mode & MOVE_DONTWAKE == 0, ready, step)
    }

    /// Does something for each page of a range, tells at `result` how far that went, and wakes who waits
    /// for what is done.
    fn by_pages(
        &self,
        result: usize,
        range: Range,
        wake: bool,
        ready: Result<(), Errno>,
        mut step: impl FnMut(usize) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        let mut outcome = self.settled().and(ready);
        while outcome.is_ok() && done < range.len {
            outcome = self.settled().and_then(|()| step(done));
            done += if outcome.is_ok() { PAGE_SIZE } else { 0 };
        }
        let word = match outcome {
            Err(error) if done == 0 => -i64::from(error.0),
            _ => done as i64,
        };
        user::write(result, &word)?;
        if wake && done > 0 {
            self.wake(range.start, range.start + done);
        }
        match outcome {
            Ok(()) => Ok(0),
            Err(error) if done == 0 => Err(error),
            Err(_) => Err(Errno::EAGAIN),
        }
    }
}

/// EINVAL for bits of a mode that have no meaning.
fn check_mode(mode: u64, known: u64) -> Result<(), Errno> {
    if mode & !known == 0 {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// What is to be copied need not begin at a page, but must be a range.
fn check_source(from: u64, len: u64) -> Result<(), Errno> {
    let from = from & !(PAGE_MASK as u64);
    Range::new(from, len).map(|_| ())
}

/// ENOENT unless all of a range is watched; EINVAL unless pages can be write-protected in it that are to be.
fn watched(space: &Space, range: Range, protect: bool) -> Result<(), Errno> {
    if !range.is_all(space, |region| region.watch.is_some()) {
        return Err(Errno::ENOENT);
    }
    let protects = |region: &Region| {
        region
            .watch
            .is_some_and(|watch| watch.events.contains(WatchEvents::WRITE_PROTECT))
    };
    if protect && !range.is_all(space, protects) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn place(
    space: &Space,
    at: usize,
    page: scalvm::FreshPage<'static, crate::mm::Hw>,
    protect: bool,
) -> Result<(), Errno> {
    space.place(at, page, protect).map_err(place_errno)
}

fn place_errno(error: ServeError) -> Errno {
    match error {
        ServeError::NotWatched => Errno::ENOENT,
        ServeError::Present => Errno::EEXIST,
        ServeError::OutOfMemory => Errno::ENOMEM,
        _ => Errno::EFAULT,
    }
}

const _: () = {
    assert!(size_of::<uffdio_continue>() == 32);
    assert!(size_of::<uffdio_zeropage>() == 32);
    assert!(size_of::<uffdio_poison>() == 32);
    assert!(size_of::<uffdio_copy>() == 40);
};
