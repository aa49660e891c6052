//! The MMU: it walks x86_64 tables, byte for byte what a real one would read. Their shape may be
//! another than a real one's.
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
/// Of an entry at level 1: a large leaf.
const LARGE: u64 = 1 << 7;
/// Of a large leaf: what bit 7 of a leaf is.
const LARGE_PAT: u64 = 1 << 12;
const CACHE: u64 = 1 << 3 | 1 << 4 | 1 << 7;
const NX: u64 = 1 << 63;

/// A walk that ended without a translation.
#[derive(Debug)]
pub(crate) enum Miss {
    /// The tables do not grant the access.
    Fault,
    /// A large leaf was replaced meanwhile: the walk begins anew.
    Changed,
}

/// The shape of page tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    /// Levels of tables.
    pub levels: u32,
    /// log2 of the entries in use of a table of leaves; others have 512.
    pub leaf_bits: u32,
}

impl Shape {
    /// Entries in use of a table of leaves; pages that a large leaf maps.
    pub fn leaves(self) -> usize {
        1 << self.leaf_bits
    }

    /// The number of the first page that the table of leaves for an address stands for.
    pub fn first_page(self, va: usize) -> usize {
        va >> 12 >> self.leaf_bits << self.leaf_bits
    }

    /// The entry for an address in a table of this level.
    fn index(self, va: usize, level: u32) -> usize {
        match level {
            0 => va >> 12 & (self.leaves() - 1),
            _ => va >> (12 + self.leaf_bits + 9 * (level - 1)) & 511,
        }
    }
}

fn frame_of(entry: u64) -> Frame {
    Frame::containing(entry & 0x000f_ffff_ffff_f000)
}

/// Sets bits in an entry that is as it was read. False if it is not: then the walk begins anew.
fn set(arena: &Arena, table: Frame, index: usize, entry: u64, bits: u64) -> bool {
    entry & bits == bits
        || arena
            .word(table, index)
            .compare_exchange(entry, entry | bits, SeqCst, Relaxed)
            .is_ok()
}

impl Way {
    /// The way that begins at a root.
    fn from(root: Frame, shape: Shape) -> Way {
        Way {
            table: root,
            level: shape.levels - 1,
            write: true,
            exec: true,
            user: true,
        }
    }

    /// Goes on by a link.
    fn follow(&mut self, link: u64) {
        self.write &= link & WRITE != 0;
        self.exec &= link & NX == 0;
        self.user &= link & USER != 0;
        self.table = frame_of(link);
        self.level -= 1;
    }
}

/// Walks the upper levels, setting accessed bits on the way, to the table where the leaf is.
pub(crate) fn way(arena: &Arena, shape: Shape, root: Frame, va: usize) -> Result<Way, Miss> {
    'anew: loop {
        let mut way = Way::from(root, shape);
        while way.level > 0 {
            let index = shape.index(va, way.level);
            let entry = arena.word(way.table, index).load(SeqCst);
            if entry & PRESENT == 0 {
                return Err(Miss::Fault);
            }
            if entry & LARGE != 0 {
                assert!(
                    way.level == 1,
                    "machine check: bit 7 in a link: {entry:#x}, {va:#x}"
                );
                break;
            }
            if !set(arena, way.table, index, entry, ACCESSED) {
                continue 'anew;
            }
            way.follow(entry);
        }
        return Ok(way);
    }
}

/// What a leaf in the table at the end of a way says, with these bits set, for an address.
fn translation(shape: Shape, way: Way, va: usize, entry: u64) -> Translation {
    let large = way.level == 1;
    let mut frame = frame_of(entry);
    let mut cache = entry & CACHE;
    if large {
        let mask = shape.leaves() as u64 - 1;
        assert!(
            frame.0 & mask & !1 == 0,
            "machine check: reserved bits in a large leaf: {entry:#x}, {va:#x}"
        );
        let pat = if entry & LARGE_PAT == 0 { 0 } else { LARGE };
        cache = entry & CACHE & !LARGE | pat;
        frame = Frame(frame.0 & !mask | (va >> 12) as u64 & mask);
    }
    Translation {
        frame,
        write: way.write && entry & WRITE != 0,
        exec: way.exec && entry & NX == 0,
        user: way.user && entry & USER != 0,
        dirty: entry & DIRTY != 0,
        cache,
        large,
    }
}

/// Reads the leaf for an access: checks rights, sets the accessed bit, and for a store the dirty bit.
pub(crate) fn leaf(
    arena: &Arena,
    shape: Shape,
    way: Way,
    va: usize,
    access: Access,
    mode: Mode,
) -> Result<Translation, Miss> {
    let index = shape.index(va, way.level);
    loop {
        let entry = arena.word(way.table, index).load(SeqCst);
        if way.level == 1 && entry & (PRESENT | LARGE) != PRESENT | LARGE {
            return Err(Miss::Changed);
        }
        if entry & PRESENT == 0 {
            return Err(Miss::Fault);
        }
        let bits = if access == Access::Write {
            ACCESSED | DIRTY
        } else {
            ACCESSED
        };
        let found = translation(shape, way, va, entry | bits);
        let granted = match access {
            Access::Read => true,
            Access::Write => found.write,
            Access::Exec => found.exec,
        };
        if !granted || !mode.may_use(found.user, va) {
            return Err(Miss::Fault);
        }
        if set(arena, way.table, index, entry, bits) {
            return Ok(found);
        }
    }
}

/// What the tables say now: the way to the leaf's table, and the translation with whether its accessed
/// bit is set. Changes nothing.
pub(crate) fn look(
    arena: &Arena,
    shape: Shape,
    root: Frame,
    va: usize,
) -> (Option<Way>, Option<(Translation, bool)>) {
    let mut way = Way::from(root, shape);
    while way.level > 0 {
        let entry = arena
            .word(way.table, shape.index(va, way.level))
            .load(SeqCst);
        if entry & PRESENT == 0 {
            return (None, None);
        }
        if way.level == 1 && entry & LARGE != 0 {
            break;
        }
        way.follow(entry);
    }
    let entry = arena
        .word(way.table, shape.index(va, way.level))
        .load(SeqCst);
    if entry & PRESENT == 0 {
        return (Some(way), None);
    }
    let found = translation(shape, way, va, entry);
    (Some(way), Some((found, entry & ACCESSED != 0)))
}
