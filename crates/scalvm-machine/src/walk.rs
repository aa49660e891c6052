//! The MMU: it walks x86_64 tables of four levels, byte for byte what a real one would read.
//!
//! It is written from the processor's manual, not from the page-table port, so that each checks the
//! other.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use scalvm::{Access, Frame};

use crate::arena::Arena;
use crate::cache::{Translation, Way};
use crate::cpu::Mode;

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const CACHE: u64 = 1 << 3 | 1 << 4 | 1 << 7;
const NX: u64 = 1 << 63;

/// A walk that ended without a translation.
#[derive(Debug)]
pub(crate) struct Miss;

fn frame_of(entry: u64) -> Frame {
    Frame::containing(entry & 0x000f_ffff_ffff_f000)
}

fn index(va: usize, level: u32) -> usize {
    va >> (12 + 9 * level) & 511
}

/// Sets bits in an entry that is as it was read. False if it is not: then the walk begins anew.
fn set(arena: &Arena, table: Frame, index: usize, entry: u64, bits: u64) -> bool {
    entry & bits == bits
        || arena
            .word(table, index)
            .compare_exchange(entry, entry | bits, SeqCst, Relaxed)
            .is_ok()
}

/// Walks the upper levels, setting accessed bits on the way.
pub(crate) fn way(arena: &Arena, root: Frame, va: usize) -> Result<Way, Miss> {
    'anew: loop {
        let mut way = Way {
            table: root,
            write: true,
            exec: true,
            user: true,
        };
        for level in (1..4).rev() {
            let entry = arena.word(way.table, index(va, level)).load(SeqCst);
            if entry & PRESENT == 0 {
                return Err(Miss);
            }
            assert!(
                entry & LARGE == 0,
                "machine check: bit 7 in a link: {entry:#x}, {va:#x}"
            );
            if !set(arena, way.table, index(va, level), entry, ACCESSED) {
                continue 'anew;
            }
            way.write &= entry & WRITE != 0;
            way.exec &= entry & NX == 0;
            way.user &= entry & USER != 0;
            way.table = frame_of(entry);
        }
        return Ok(way);
    }
}

/// Walks the last level for an access: checks rights, sets the accessed bit, and for a store the
/// dirty bit.
pub(crate) fn leaf(
    arena: &Arena,
    way: Way,
    va: usize,
    access: Access,
    mode: Mode,
) -> Result<Translation, Miss> {
    loop {
        let entry = arena.word(way.table, index(va, 0)).load(SeqCst);
        let write = way.write && entry & WRITE != 0;
        let exec = way.exec && entry & NX == 0;
        let granted = match access {
            Access::Read => true,
            Access::Write => write,
            Access::Exec => exec,
        };
        let user = way.user && entry & USER != 0;
        if entry & PRESENT == 0 || !granted || !mode.may_use(user, va) {
            return Err(Miss);
        }
        let bits = if access == Access::Write {
            ACCESSED | DIRTY
        } else {
            ACCESSED
        };
        if set(arena, way.table, index(va, 0), entry, bits) {
            let dirty = (entry | bits) & DIRTY != 0;
            return Ok(Translation {
                frame: frame_of(entry),
                write,
                exec,
                user,
                dirty,
                cache: entry & CACHE,
            });
        }
    }
}

/// What the tables say now: the way, and the translation with whether its accessed bit is set.
/// Changes nothing.
pub(crate) fn look(
    arena: &Arena,
    root: Frame,
    va: usize,
) -> (Option<Way>, Option<(Translation, bool)>) {
    let mut way = Way {
        table: root,
        write: true,
        exec: true,
        user: true,
    };
    for level in (1..4).rev() {
        let entry = arena.word(way.table, index(va, level)).load(SeqCst);
        if entry & PRESENT == 0 {
            return (None, None);
        }
        way.write &= entry & WRITE != 0;
        way.exec &= entry & NX == 0;
        way.user &= entry & USER != 0;
        way.table = frame_of(entry);
    }
    let entry = arena.word(way.table, index(va, 0)).load(SeqCst);
    if entry & PRESENT == 0 {
        return (Some(way), None);
    }
    let translation = Translation {
        frame: frame_of(entry),
        write: way.write && entry & WRITE != 0,
        exec: way.exec && entry & NX == 0,
        user: way.user && entry & USER != 0,
        dirty: entry & DIRTY != 0,
        cache: entry & CACHE,
    };
    (Some(way), Some((translation, entry & ACCESSED != 0)))
}
