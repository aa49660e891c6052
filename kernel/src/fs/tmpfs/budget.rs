//! How much memory files may take: half of it, or what a mount says, so that programs that fill a file system meet
//! ENOSPC and the rest goes on; and how many there may be.
//!
//! Pages are not counted as they come and go. There is a number of pages that may be written
//! before anybody need look; when it is used up, all files are looked through again.
//!
//! Invariant: files have at most the limit's pages, less the ones that may still be written, but
//! for those that shared mappings made.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use scalvm::PAGE_SIZE;

use crate::boot_options::{bytes, number};
use crate::fs::names;
use crate::linux::Errno;
use crate::mm::VM;

/// Pages that may be written before files are looked through.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// Inodes that there are.
static NODES: AtomicU64 = AtomicU64::new(0);
/// Inodes that there may be; 0 until that is known.
static MOST_NODES: AtomicU64 = AtomicU64::new(0);

/// One more inode. ENOSPC if there are as many as half of the pages, as on Linux.
pub(super) fn add_node() -> Result<(), Errno> {
    if MOST_NODES.load(Relaxed) == 0 {
        MOST_NODES.store(limit(), Relaxed);
    }
    if NODES.load(Relaxed) >= MOST_NODES.load(Relaxed) {
        return Err(Errno::ENOSPC);
    }
    NODES.fetch_add(1, Relaxed);
    Ok(())
}

/// One inode less.
pub(super) fn remove_node() {
    NODES.fetch_sub(1, Relaxed);
}

/// The limit that a mount has set; 0 for none.
static LIMIT: AtomicU64 = AtomicU64::new(0);

/// The most pages of all files.
pub(super) fn limit() -> u64 {
    match LIMIT.load(Relaxed) {
        0 => VM.stats().frames_total / 2,
        limit => limit,
    }
}

/// Sets it by the option `size=` of a mount, bytes, with K, M or G behind them for more, or a part of
/// memory in percent. All memory file systems share one limit: it is the one set last. EINVAL for
/// anything else.
pub fn set_limit(size: &[u8]) -> Result<(), Errno> {
    let bytes = match size.strip_suffix(b"%") {
        None => bytes(size),
        Some(percent) => number(percent).and_then(|percent: u64| {
            percent.checked_mul(VM.stats().frames_total * PAGE_SIZE as u64 / 100)
        }),
    };
    let pages = bytes.ok_or(Errno::EINVAL)? / PAGE_SIZE as u64;
    LIMIT.store(pages.max(1), Relaxed);
    LEFT.store(0, Relaxed);
    Ok(())
}

/// Asks to write so many pages, new ones or not. Returns how many of them may be: fewer only when
/// files have all that they may have.
#[inline]
pub(super) fn take(pages: u64) -> u64 {
    let left = LEFT.load(Relaxed);
    if pages <= left {
        LEFT.store(left - pages, Relaxed);
        return pages;
    }
    look(pages)
}

#[cold]
fn look(pages: u64) -> u64 {
    let left = limit().saturating_sub(names::shared_memory_pages());
    let granted = pages.min(left);
    LEFT.store(left - granted, Relaxed);
    granted
}
