//! The patterns in and around pieces.

use core::alloc::Layout;

use super::record::Record;
use super::{DebugOptions, Wrong};

/// What the heap must give for a layout with red zones, and how many of its bytes go before.
pub(super) fn widen(layout: Layout, red_zones: usize) -> Option<(Layout, usize)> {
    let front = red_zones.checked_next_multiple_of(layout.align())?;
    let size = front.checked_add(layout.size())?.checked_add(red_zones)?;
    Some((Layout::from_size_align(size, layout.align()).ok()?, front))
}

/// A piece is given out.
pub(super) fn paint(record: &Record, options: &DebugOptions) {
    let (before, after) = (record.front, record.front + record.size);
    // SAFETY: the piece is the caller's, and has so many bytes.
    unsafe {
        let base = record.base();
        if options.red_zones != 0 {
            base.write_bytes(DebugOptions::ZONE, before);
            base.add(after)
                .write_bytes(DebugOptions::ZONE, record.piece.bytes - after);
        }
        if options.fill {
            record.memory.write_bytes(DebugOptions::NEW, record.size);
        }
    }
}

/// What was written around a piece in use that should not have been.
pub(super) fn broken_zone(record: &Record, options: &DebugOptions) -> Option<Wrong> {
    if options.red_zones == 0 {
        return None;
    }
    let odd = |n: &usize| byte(record, *n) != DebugOptions::ZONE;
    let after = record.front + record.size;
    if let Some(n) = (0..record.front).rev().find(odd) {
        return Some(Wrong::WrittenBefore(record.front - n));
    }
    let n = (after..record.piece.bytes).find(odd)?;
    Some(Wrong::WrittenBeyond(n - record.front))
}

/// A piece has been freed.
pub(super) fn poison(record: &Record, options: &DebugOptions) {
    if options.poison {
        // SAFETY: the piece is the caller's, and has so many bytes.
        unsafe { record.memory.write_bytes(DebugOptions::FREE, record.size) };
    }
}

/// What was written to a piece in quarantine.
pub(super) fn broken_poison(record: &Record, options: &DebugOptions) -> Option<Wrong> {
    if !options.poison {
        return None;
    }
    let odd = |n: &usize| byte(record, record.front + n) != DebugOptions::FREE;
    (0..record.size).find(odd).map(Wrong::WrittenWhileFree)
}

/// The n-th byte of a piece.
fn byte(record: &Record, n: usize) -> u8 {
    // SAFETY: within the piece, and written by `paint` or `poison`. Whoever writes there at the same
    // time is who is looked for, so it is read as if it were a device's.
    unsafe { record.base().add(n).read_volatile() }
}
