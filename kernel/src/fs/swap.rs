//! Swap areas: disks on which memory is put back when it is short.
//!
//! The manager keeps the books; here is what Linux's programs want of an area: the header that
//! mkswap(8) writes, its name, and errors. Files cannot be swapped on: those in memory as on Linux,
//! and those on disks neither.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use linux_raw_sys::general::{S_IFBLK, S_IFMT};
use scalvm::{Cipher, PAGE_SIZE, SwapError, SwapId, SwapInfo, SwapOptions};

use super::inode::Node;
use super::{block, dev};
use crate::linux::Errno;
use crate::mm::{Object, VM, commit};
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

/// Puts memory back on the disk that this node stands for, if mkswap(8) has made it an area. The
/// higher the priority the earlier; without one, after all that came before. Blocks.
pub fn turn_on(node: &Node, priority: Option<i16>) -> Result<(), Errno> {
    let index = disk_of(node)?;
    start(index, priority, true)
}

/// The same for a disk of this name, all of which is used if it has no header. Blocks.
pub fn turn_on_at_boot(name: &[u8]) -> Result<(), Errno> {
    start(dev::disk_named(name)?, None, false)
}

/// Brings back what is there, and no longer uses it. ENOMEM if there is no room for it: then nothing
/// has changed. EINVAL if it is no area. Blocks.
pub fn turn_off(node: &Node) -> Result<(), Errno> {
    let index = disk_of(node)?;
    let id = id_of(index).ok_or(Errno::EINVAL)?;
    LEAVING.fetch_add(1, Relaxed);
    let result = VM.remove_swap(id).map_err(errno);
    LEAVING.fetch_sub(1, Relaxed);
    LEFT.wake_all();
    result?;
    commit::apply();
    block::release(index);
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

/// Shows each area: the disk's name, and the manager's figures.
pub fn for_each(mut each: impl FnMut(&[u8], SwapInfo) -> Result<(), Errno>) -> Result<(), Errno> {
    for index in 0..block::count() {
        let mut found = None;
        VM.each_swap(|info| found = found.or((info.cookie == index).then_some(info)));
        if let Some(info) = found {
            each(&dev::disk_name(index), info)?;
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

/// The number of the disk that a node stands for; EINVAL if it is something else.
fn disk_of(node: &Node) -> Result<usize, Errno> {
    let stat = node.stat();
    if stat.mode & S_IFMT != S_IFBLK {
        return Err(Errno::EINVAL);
    }
    dev::disk_index(stat.rdev)
}

/// What the manager calls the area on a disk.
fn id_of(index: usize) -> Option<SwapId> {
    let mut found = None;
    VM.each_swap(|info| {
        if info.cookie == index {
            found = Some(info.id);
        }
    });
    found
}

fn start(index: usize, priority: Option<i16>, needs_header: bool) -> Result<(), Errno> {
    let object = block::claim_swap(index)?;
    let result = add(index, &object, priority, needs_header);
    if result.is_err() {
        block::release(index);
    }
    result
}

fn add(
    index: usize,
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
    let store = block::swap_store(index, first)?;
    VM.add_swap(store, index, pages, how).map_err(errno)?;
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
