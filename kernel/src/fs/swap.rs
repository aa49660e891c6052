//! Swap areas: disks, and files on them, to which memory is put back when it is short.
//!
//! The manager keeps the books; here is what Linux's programs want of an area: the header that
//! mkswap(8) writes, its name, and errors. Files in memory cannot be swapped on, as on Linux.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use scalvm::{Cipher, PAGE_SIZE, Pager, SwapError, SwapId, SwapInfo, SwapOptions};

use super::ext2::swap as files;
use super::inode::{Kind, Node};
use super::{block, dev, memory, names};
use crate::linux::Errno;
use crate::mm::{Hw, Object, VM, commit};
use crate::sync::Mutex;
use crate::task::{State, WaitQueue};

/// What stands at the end of an area's first page.
const MAGIC: &[u8] = b"SWAPSPACE2";
/// Where its header is: version, number of the last page, how many pages are bad.
const HEADER: usize = 1024;
const VERSION: u32 = 1;

/// Areas that are being turned off.
static LEAVING: AtomicUsize = AtomicUsize::new(0);
/// Woken when one of them has been, or stays.
static LEFT: WaitQueue = WaitQueue::new();

/// What enciphers the contents of areas, if anything does.
static CIPHER: Mutex<Option<&'static dyn Cipher>> = Mutex::new(None);

/// Has the contents of areas that are turned on from now on enciphered.
pub fn set_cipher(cipher: &'static dyn Cipher) {
    *CIPHER.lock() = Some(cipher);
}

/// Where an area lies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The disk of this number.
    Disk(usize),
    /// The file in this place of [`files`].
    File(usize),
}

impl Place {
    /// What the manager is told of it.
    fn cookie(self) -> usize {
        match self {
            Place::File(number) => number,
            Place::Disk(index) => files::PLACES + index,
        }
    }

    /// What a cookie stands for.
    fn of(cookie: usize) -> Place {
        match cookie.checked_sub(files::PLACES) {
            None => Place::File(cookie),
            Some(index) => Place::Disk(index),
        }
    }

    /// Where memory is put back to: its pages from this one on. Blocks.
    fn store(self, first: u64) -> Result<&'static dyn Pager<Hw>, Errno> {
        match self {
            Place::Disk(index) => block::swap_store(index, first),
            Place::File(number) => Ok(files::store(number)),
        }
    }

    /// Gives it back. Blocks.
    fn release(self) {
        match self {
            Place::Disk(index) => block::release(index),
            Place::File(number) => files::release(number),
        }
    }

    /// Its path, and what kind of an area it is.
    fn name(self) -> Result<(Vec<u8>, &'static [u8]), Errno> {
        match self {
            Place::Disk(index) => {
                let mut path = memory::vec(b"/dev/")?;
                memory::extend(&mut path, &dev::disk_name(index))?;
                Ok((path, b"partition"))
            }
            Place::File(number) => {
                let node = files::node(number).ok_or(Errno::ENOENT)?;
                Ok((names::path_of(&node)?, b"file"))
            }
        }
    }
}

/// Puts memory back on the disk that this node stands for, or to this file on a disk, if mkswap(8) has made it an
/// area. The higher the priority the earlier; without one, after all that came before. Blocks.
pub fn turn_on(node: &Node, priority: Option<i16>) -> Result<(), Errno> {
    let (place, object) = match node.kind() {
        Kind::BlockDevice => {
            let index = dev::disk_index(node.stat().rdev)?;
            (Place::Disk(index), block::claim_swap(index)?)
        }
        _ => {
            let (number, object) = files::claim(node)?;
            (Place::File(number), object)
        }
    };
    start(place, &object, priority, true)
}

/// The same for a disk of this name, all of which is used if it has no header. Blocks.
pub fn turn_on_at_boot(name: &[u8]) -> Result<(), Errno> {
    let index = dev::disk_named(name)?;
    start(Place::Disk(index), &block::claim_swap(index)?, None, false)
}

/// Brings back what is there, and no longer uses it. ENOMEM if there is no room for it: then nothing
/// has changed. EINVAL if it is no area. Blocks.
pub fn turn_off(node: &Node) -> Result<(), Errno> {
    let place = match node.kind() {
        Kind::BlockDevice => Place::Disk(dev::disk_index(node.stat().rdev)?),
        _ => Place::File(files::number_of(node)?),
    };
    let id = id_of(place).ok_or(Errno::EINVAL)?;
    LEAVING.fetch_add(1, Relaxed);
    let result = VM.remove_swap(id).map_err(errno);
    LEAVING.fetch_sub(1, Relaxed);
    LEFT.wake_all();
    result?;
    commit::apply();
    place.release();
    Ok(())
}

/// While an area is being turned off memory is short for a time, until that is done or refused: waits
/// for it, until a time at most. False if there is nothing to wait for. Blocks.
pub fn wait_for_turning_off(until: u64) -> bool {
    if LEAVING.load(Relaxed) == 0 {
        return false;
    }
    LEFT.wait((), State::Killable, Some(until));
    true
}

/// Shows each area: its path and kind, and the manager's figures.
pub fn for_each(
    mut each: impl FnMut(&[u8], &[u8], SwapInfo) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for cookie in 0..files::PLACES + block::count() {
        if let Some(info) = info_of(cookie) {
            let (path, kind) = Place::of(cookie).name()?;
            each(&path, kind, info)?;
        }
    }
    Ok(())
}

/// Pages of all areas, and how many of them are free.
pub fn totals() -> (u64, u64) {
    let (mut pages, mut free) = (0, 0);
    VM.each_swap(|info| {
        pages += info.pages - info.bad;
        free += info.pages - info.bad - info.used;
    });
    (pages, free)
}

/// What the manager knows of the area with this cookie.
fn info_of(cookie: usize) -> Option<SwapInfo> {
    let mut found = None;
    VM.each_swap(|info| {
        if info.cookie == cookie {
            found = Some(info);
        }
    });
    found
}

/// What the manager calls the area in a place.
fn id_of(place: Place) -> Option<SwapId> {
    info_of(place.cookie()).map(|info| info.id)
}

/// Makes a place that was claimed an area, or gives it back.
fn start(
    place: Place,
    object: &Object,
    priority: Option<i16>,
    needs_header: bool,
) -> Result<(), Errno> {
    let result = add(place, object, priority, needs_header);
    if result.is_err() {
        place.release();
    }
    result
}

fn add(
    place: Place,
    object: &Object,
    priority: Option<i16>,
    needs_header: bool,
) -> Result<(), Errno> {
    let on_disk = object.size() / PAGE_SIZE as u64;
    let (first, pages) = match last_page(object)? {
        // The first page is the header's.
        Some(last) if (1..on_disk).contains(&last) => (1, last),
        None if !needs_header => (0, on_disk),
        _ => return Err(Errno::EINVAL),
    };
    let how = SwapOptions {
        priority: priority.unwrap_or_else(lowest_priority),
        cipher: *CIPHER.lock(),
    };
    let store = place.store(first)?;
    VM.add_swap(store, place.cookie(), pages, how)
        .map_err(errno)?;
    commit::apply();
    Ok(())
}

/// The number of an area's last page, as its header says it; none if there is no header. EINVAL for
/// one that is not understood.
fn last_page(object: &Object) -> Result<Option<u64>, Errno> {
    let mut page = Vec::new();
    page.try_reserve_exact(PAGE_SIZE)
        .map_err(|_| Errno::ENOMEM)?;
    page.resize(PAGE_SIZE, 0);
    let read = object.read_at(0, &mut page)?;
    if read < PAGE_SIZE || !page.ends_with(MAGIC) {
        return Ok(None);
    }
    let word = |at: usize| {
        let bytes = page[HEADER + 4 * at..][..4].try_into().unwrap_or_default();
        u32::from_le_bytes(bytes)
    };
    let (version, last, bad) = (word(0), word(1), word(2));
    // Pages that mkswap(8) found bad are not kept apart: such a disk is not used.
    if version != VERSION || bad != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Some(u64::from(last)))
}

/// A priority below those of all areas, and below 0.
fn lowest_priority() -> i16 {
    let mut lowest = -1;
    VM.each_swap(|info| lowest = info.priority.min(lowest));
    lowest.saturating_sub(1)
}

fn errno(error: SwapError) -> Errno {
    match error {
        SwapError::TooMany => Errno::EPERM,
        SwapError::OutOfMemory | SwapError::NoRoom => Errno::ENOMEM,
        SwapError::Busy => Errno::EBUSY,
        SwapError::Io => Errno::EIO,
        _ => Errno::EINVAL,
    }
}
