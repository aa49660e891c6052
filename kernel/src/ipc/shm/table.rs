//! All segments, by their numbers, and how many there may be.
//!
//! A number is a place in the table and how often a segment was removed before it was given: so the number of one
//! that is gone is not another's soon.
//!
//! Lock: one, for the table, held for moments; whatever may block, or ends a mapping, is done without it.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use scalvm::Share;

use super::segment::{PERMISSIONS, REMOVED, Segment, Status, now, wired};
use crate::fs::memory;
use crate::linux::Errno;
use crate::mm::Object;
use crate::sync::Mutex;
use crate::task::{self, Space};

/// Places are below this.
const PLACES: usize = 1 << 15;
/// Times that a place is counted to be reused before its numbers begin anew.
const GENERATIONS: u32 = 1 << 16;
/// The key of segments that are not to be found.
const PRIVATE: i32 = 0;

/// What shmget(2) is asked with its flags.
#[derive(Clone, Copy)]
pub struct Wish {
    /// To make a segment if there is none.
    pub create: bool,
    /// To fail if there is one.
    pub exclusive: bool,
    /// Permissions of a new one.
    pub permissions: u32,
}

/// How much there may be, settings of /proc/sys/kernel.
#[derive(Clone, Copy)]
pub struct Limits {
    /// Bytes of one segment.
    pub bytes: usize,
    /// Pages of all.
    pub pages: u64,
    /// Segments.
    pub segments: usize,
}

/// Sums over all segments.
#[derive(Clone, Copy, Default)]
pub struct Totals {
    /// Segments.
    pub segments: usize,
    /// The highest place in use.
    pub highest: usize,
    /// Pages.
    pub pages: u64,
    /// Pages in memory.
    pub resident: u64,
    /// Pages that were put back.
    pub away: u64,
}

struct Table {
    places: Vec<Option<Segment>>,
    removals: u32,
    limits: Limits,
}

static TABLE: Mutex<Table> = Mutex::new(Table {
    places: Vec::new(),
    removals: 0,
    limits: Limits {
        // As on Linux: what no address space holds.
        bytes: usize::MAX - (1 << 24),
        pages: u64::MAX - (1 << 24),
        segments: 4096,
    },
});

/// Segments that were removed and are still mapped.
static DOOMED: AtomicUsize = AtomicUsize::new(0);
/// Segments.
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Table {
    fn all(&self) -> impl Iterator<Item = &Segment> {
        self.places.iter().flatten()
    }

    /// The segment of a number.
    fn segment(&mut self, id: i32) -> Result<&mut Segment, Errno> {
        let place = usize::try_from(id).map_err(|_| Errno::EINVAL)? % PLACES;
        let segment = self.places.get_mut(place).and_then(Option::as_mut);
        segment
            .filter(|segment| segment.status.id == id)
            .ok_or(Errno::EINVAL)
    }

    /// Gives a new segment its number. ENOSPC if there are as many as may be.
    fn add(&mut self, mut segment: Segment) -> Result<i32, Errno> {
        let free = self.places.iter().position(Option::is_none);
        let place = free.unwrap_or(self.places.len());
        self.check_room(segment.pages())?;
        if place == self.places.len() {
            memory::push(&mut self.places, None)?;
        }
        let id = (self.removals as usize * PLACES + place) as i32;
        segment.status.id = id;
        self.places[place] = Some(segment);
        COUNT.fetch_add(1, Relaxed);
        Ok(id)
    }

    fn check_room(&self, more: u64) -> Result<(), Errno> {
        let pages: u64 = self.all().map(Segment::pages).sum();
        let full = self.all().count() >= self.limits.segments.min(PLACES);
        if full
            || pages
                .checked_add(more)
                .is_none_or(|sum| sum > self.limits.pages)
        {
            return Err(Errno::ENOSPC);
        }
        Ok(())
    }

    /// Takes a segment out.
    fn take(&mut self, place: usize) -> Option<Segment> {
        let segment = self.places[place].take();
        if segment.is_some() {
            self.removals = (self.removals + 1) % GENERATIONS;
            COUNT.fetch_sub(1, Relaxed);
        }
        segment
    }
}

/// The number of the segment with this key, which is made if that is wished. Blocks.
pub fn get(key: i32, size: usize, wish: Wish) -> Result<i32, Errno> {
    if key != PRIVATE {
        let table = TABLE.lock();
        let found = table.all().find(|segment| segment.status.key == key);
        match found {
            Some(_) if wish.create && wish.exclusive => return Err(Errno::EEXIST),
            Some(segment) if size > segment.status.size => return Err(Errno::EINVAL),
            Some(segment) => return Ok(segment.status.id),
            None if !wish.create => return Err(Errno::ENOENT),
            None => {}
        }
    }
    let limits = limits();
    if size == 0 || size > limits.bytes {
        return Err(Errno::EINVAL);
    }
    TABLE
        .lock()
        .check_room(size.div_ceil(scalvm::PAGE_SIZE) as u64)?;
    let segment = Segment::new(key, size, wish.permissions & PERMISSIONS)?;
    TABLE.lock().add(segment)
}

/// What attaching a segment maps, and how many bytes.
pub fn attach(id: i32) -> Result<(Object, usize), Errno> {
    let mut table = TABLE.lock();
    let segment = table.segment(id)?;
    Ok((segment.object.clone(), segment.status.size))
}

/// The number and size of the segment whose object carries this cookie.
pub fn find(cookie: usize) -> Option<(i32, usize)> {
    let table = TABLE.lock();
    let mut found = table
        .all()
        .filter(|segment| segment.object.cookie() == cookie);
    found
        .next()
        .map(|segment| (segment.status.id, segment.status.size))
}

/// Notes that the running process attaches or detaches what a space maps, or is about to map no more.
pub fn used_by(space: &Space, attaches: bool) {
    if COUNT.load(Relaxed) == 0 {
        return;
    }
    let mut at = 0;
    while let Some(region) = space.query(at) {
        at = region.end;
        if region.share == Share::Shared
            && let Some((id, _)) = region.cookie.and_then(find)
            && let Ok(segment) = TABLE.lock().segment(id)
        {
            segment.used(attaches);
        }
    }
}

impl Segment {
    /// Notes that the running process attaches it, or detaches it.
    fn used(&mut self, attaches: bool) {
        self.status.used_by = task::current().pid;
        if attaches {
            self.status.attached = now();
        } else {
            self.status.detached = now();
        }
    }
}

/// Notes the same of one segment.
pub fn note_use(id: i32, attaches: bool) {
    if let Ok(segment) = TABLE.lock().segment(id) {
        segment.used(attaches);
    }
}

/// What can be told of a segment.
pub fn status(id: i32) -> Result<Status, Errno> {
    Ok(TABLE.lock().segment(id)?.status())
}

/// What can be told of the one at a place of the table.
pub fn status_at(place: usize) -> Result<Status, Errno> {
    let table = TABLE.lock();
    let segment = table.places.get(place).and_then(Option::as_ref);
    Ok(segment.ok_or(Errno::EINVAL)?.status())
}

/// Sets a segment's owner and permissions.
pub fn set(id: i32, owner: [u32; 2], permissions: u32) -> Result<(), Errno> {
    let mut table = TABLE.lock();
    let status = &mut table.segment(id)?.status;
    status.owner = owner;
    status.mode = status.mode & !PERMISSIONS | permissions & PERMISSIONS;
    status.changed = now();
    Ok(())
}

/// Removes a segment: it is not found by its key any more, and goes with its last mapping.
pub fn remove(id: i32) -> Result<(), Errno> {
    let mut table = TABLE.lock();
    let status = &mut table.segment(id)?.status;
    status.key = PRIVATE;
    if status.mode & REMOVED == 0 {
        status.mode |= REMOVED;
        DOOMED.fetch_add(1, Relaxed);
    }
    drop(table);
    sweep();
    Ok(())
}

/// Lets the removed segments go that nothing maps any more.
pub fn sweep() {
    if DOOMED.load(Relaxed) == 0 {
        return;
    }
    let gone = |segment: &Segment| segment.status.mode & REMOVED != 0 && segment.mappings() == 0;
    loop {
        let mut table = TABLE.lock();
        let place = table
            .places
            .iter()
            .position(|place| place.as_ref().is_some_and(gone));
        let segment = place.and_then(|place| table.take(place));
        drop(table);
        let Some(segment) = segment else { return };
        DOOMED.fetch_sub(1, Relaxed);
        drop(segment);
    }
}

/// Locks a segment in memory, or no more. Blocks.
pub fn lock(id: i32, on: bool) -> Result<(), Errno> {
    let (object, size) = attach(id)?;
    let map = if on {
        Some(wired(&object, size)?)
    } else {
        None
    };
    let mut table = TABLE.lock();
    let old = table.segment(id).map(|segment| segment.set_lock(map));
    drop(table);
    old.map(drop)
}

/// Calls a function for each segment.
pub fn for_each(mut each: impl FnMut(&Status) -> Result<(), Errno>) -> Result<(), Errno> {
    let places = TABLE.lock().places.len();
    for place in 0..places {
        // The function may take memory.
        if let Ok(status) = status_at(place) {
            each(&status)?;
        }
    }
    Ok(())
}

/// Sums over all segments.
pub fn totals() -> Totals {
    let mut totals = Totals::default();
    let table = TABLE.lock();
    for (place, segment) in table.places.iter().enumerate() {
        let Some(segment) = segment else { continue };
        totals.segments += 1;
        totals.highest = place;
        totals.pages += segment.pages();
        totals.resident += segment.object.resident();
        totals.away += segment.object.put_back();
    }
    totals
}

/// How much there may be.
pub fn limits() -> Limits {
    TABLE.lock().limits
}

/// Changes that.
pub fn set_limits(change: impl FnOnce(&mut Limits)) {
    change(&mut TABLE.lock().limits);
}
