//! The format of x86_64.
//!
//! Duties of the kernel: `EFER.NXE` and `CR0.WP` on, and in the page attribute table ([`PAGE_ATTRIBUTES`]) entry 1
//! set to write-combining and entry 2 to write-through. (At reset they are write-through and uncached, which is
//! slower but right.)
//!
//! The right to read cannot be withheld: every leaf grants it. The processor caches a translation
//! only after it has set the accessed bit of its leaf (Intel SDM volume 3, 4.10.2.3), so a leaf
//! that never had it needs no flush. Clearing the bit leaves a mark, `SEEN`, because the
//! translation may stay cached until the debt for that is paid. A fault drops what the processor
//! has cached for its address (4.10.4.1), so added rights need no flush either.
//!
//! A large leaf has bit 7 set, which in a leaf belongs to the number of its entry in the page attribute table; the
//! first four do without that bit.

use scalvm::{Access, Cache, Clear, Frame, PAGE_SHIFT, Prot};

use crate::format::Format;

/// The entries of x86_64, in tables of so many levels, of which those of leaves have 2^`LEAF_BITS`
/// entries. Processors have nine; a machine that is emulated may have fewer, so that small programs meet
/// large leaves. See the module's text in `x86_64.rs` for what the kernel must set up.
#[derive(Debug)]
pub struct X86<const LEVELS: usize, const LEAF_BITS: u32>;

/// The format of x86_64 with four levels.
pub type X86_64 = X86<4, 9>;

/// What the kernel writes to the model-specific register 0x277, the page attribute table, on each processor, before
/// anything is mapped but by entries 0 and 3: write-back, write-combining, write-through and uncached, twice.
pub const PAGE_ATTRIBUTES: u64 = 0x0004_0106_0004_0106;

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const PWT: u64 = 1 << 3;
const PCD: u64 = 1 << 4;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const PAT: u64 = 1 << 7;
/// Of an entry at level 1: a large leaf.
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
/// Ours: the frame is the manager's.
const MANAGED: u64 = 1 << 9;
/// Ours: the accessed bit was cleared, and the translation may be cached all the same.
const SEEN: u64 = 1 << 10;
const NX: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const CACHE: u64 = PWT | PCD | PAT;
const USED: u64 = ACCESSED | DIRTY | SEEN;

// SAFETY: as the processor's manual has it; see the head.
unsafe impl<const LEVELS: usize, const LEAF_BITS: u32> Format for X86<LEVELS, LEAF_BITS> {
    const LEVELS: usize = LEVELS;
    const LEAF_BITS: u32 = LEAF_BITS;
    const USER_ENTRIES: usize = 256;

    #[inline(always)]
    fn leaf(frame: Frame, prot: Prot, cache: Cache, managed: bool) -> u64 {
        let write = if prot.contains(Prot::WRITE) { WRITE } else { 0 };
        let nx = if prot.contains(Prot::EXEC) { 0 } else { NX };
        let cache = match cache {
            Cache::WriteBack => 0,
            Cache::WriteCombining => PWT,
            Cache::WriteThrough => PCD,
            Cache::Uncached => PCD | PWT,
        };
        let managed = if managed { MANAGED } else { 0 };
        frame.address() & FRAME | PRESENT | USER | write | nx | cache | managed
    }

    #[inline(always)]
    fn touched(leaf: u64, access: Access) -> u64 {
        match access {
            Access::Write => leaf | ACCESSED | DIRTY,
            Access::Read | Access::Exec => leaf | ACCESSED,
        }
    }

    #[inline(always)]
    fn inherit(new: u64, old: u64) -> u64 {
        new | old & USED
    }

    #[inline(always)]
    fn restrict(leaf: u64, prot: Prot) -> u64 {
        let lost = if prot.contains(Prot::WRITE) { 0 } else { WRITE };
        let nx = if prot.contains(Prot::EXEC) { 0 } else { NX };
        leaf & !lost | nx
    }

    #[inline(always)]
    fn clear(leaf: u64, what: Clear) -> u64 {
        let mut new = leaf;
        if what.accessed && leaf & ACCESSED != 0 {
            new = new & !ACCESSED | SEEN;
        }
        if what.dirty {
            new &= !DIRTY;
        }
        new
    }

    #[inline(always)]
    fn frame(entry: u64) -> Frame {
        Frame::containing(entry & FRAME)
    }

    #[inline(always)]
    fn prot(leaf: u64) -> Prot {
        let mut prot = Prot::READ;
        prot.set(Prot::WRITE, leaf & WRITE != 0);
        prot.set(Prot::EXEC, leaf & NX == 0);
        prot
    }

    #[inline(always)]
    fn accessed(leaf: u64) -> bool {
        leaf & ACCESSED != 0
    }

    #[inline(always)]
    fn dirty(leaf: u64) -> bool {
        leaf & DIRTY != 0
    }

    #[inline(always)]
    fn managed(leaf: u64) -> bool {
        leaf & MANAGED != 0
    }

    #[inline(always)]
    fn same_cache(leaf: u64, other: u64) -> bool {
        (leaf ^ other) & (CACHE | MANAGED) == 0
    }

    #[inline(always)]
    fn may_be_cached(leaf: u64) -> bool {
        leaf & (ACCESSED | SEEN) != 0
    }

    #[inline(always)]
    fn large(leaf: u64) -> u64 {
        leaf | LARGE
    }

    #[inline(always)]
    fn small(large: u64, n: usize) -> u64 {
        (large & !LARGE) + ((n as u64) << PAGE_SHIFT)
    }

    #[inline(always)]
    fn is_large(entry: u64) -> bool {
        entry & LARGE != 0
    }

    #[inline(always)]
    fn link(table: Frame) -> u64 {
        // Accessed from the start: the processor would only waste time on setting it.
        table.address() & FRAME | PRESENT | USER | WRITE | ACCESSED
    }

    #[inline(always)]
    fn kernel_link(table: Frame) -> u64 {
        // The processor grants users what all levels grant them.
        Self::link(table) & !USER
    }

    #[inline(always)]
    fn grants_write(link: u64) -> bool {
        link & WRITE != 0
    }

    #[inline(always)]
    fn with_write(link: u64, write: bool) -> u64 {
        if write { link | WRITE } else { link & !WRITE }
    }

    fn is_valid(entry: u64, level: usize) -> bool {
        let always = PRESENT | USER;
        let of_large = FRAME << LEAF_BITS & FRAME;
        let allowed = match level {
            1 if Self::is_large(entry) => {
                always | WRITE | CACHE | USED | MANAGED | NX | LARGE | of_large
            }
            0 => always | WRITE | CACHE | USED | MANAGED | NX | FRAME,
            // The processor ignores DIRTY in links and never sets it.
            _ => always | WRITE | ACCESSED | FRAME,
        };
        entry & always == always && entry & !allowed == 0 && entry & GLOBAL == 0
    }
}
