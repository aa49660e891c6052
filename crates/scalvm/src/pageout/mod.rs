//! Page-out: keeping frames free.
//!
//! ```text
//!   faults ──note──► rings ──► policies: one for anonymous pages, one for file pages
//!                                 │ which page next? was it used since?
//!   frames < low ──wake──► daemon ┴─► claim ─► evict ─► compressor, swap pager, vnode pager
//!   no frame left ───────► make_room (the same, by whoever needs it)
//! ```
//!
//! Replacement is global and lazy: nothing on the way of a fault knows it but the ring of its
//! processor. The daemon finds by the reverse map whether a page was used, and takes it from wherever
//! it is mapped. One thread at a time does this, in the order in which they came; the others wait
//! for what it frees.
//!
//! **Marks.** Below `low` free frames the daemon is woken, and works until there are `high`. The last
//! `reserve` frames are kept from programs: the kernel's own structures may take half of them, the
//! compressor's store all. So putting pages back never waits for memory: what it needs is there.
//!
//! **Kernel memory.** The daemon begins with what pools have not needed lately; and before memory is
//! said to have ended, all that is free in any pool is given back (`kmem/pools.rs`).
//!
//! **Balance.** Anonymous and file pages compete by what their loss has cost: pages that had to be
//! brought back soon after they were evicted count for their kind, halved again and again so that
//! the past fades. The kind that was missed less is taken from; but none falls below its floor, a
//! tenth of all pageable pages ([`Paging::floor`]), while the other is above its own, and a kind
//! that cannot leave (no store takes anonymous pages, say) is not looked at.
//!
//! Invariants:
//! - **P1** a page is `KNOWN` if and only if it is in the lists of the policy of its kind.
//! - **P2** `busy` counts the pages that are being written to swap.
//!
//! Locks: rank Policy for the two policies; the rest is told in `claim.rs` and `evict.rs`.

mod advised;
mod batch;
mod claim;
mod daemon;
mod empty;
mod evict;
pub(crate) mod policy;
mod ring;
mod room;
mod spill;
#[cfg(test)]
mod tests;

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use crate::error::OutOfMemory;
use crate::machine::{MAX_CPUS, Machine};
use crate::page::Segments;
use crate::sync::SpinLock;
use crate::vm::Vm;

pub(crate) use advised::Leaving;
use policy::Policy;
pub use policy::PolicyKind;
use ring::Ring;
pub use room::Room;

/// How much is kept free, and which pages leave first. Counts are frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paging {
    /// Below so many free frames the daemon begins.
    pub low: u64,
    /// It ends when so many are free.
    pub high: u64,
    /// The last frames, which only the kernel and page-out may take.
    pub reserve: u64,
    /// The least share of pageable pages that either kind keeps while the other has more, in percent.
    pub floor: u32,
    /// How anonymous pages are chosen.
    pub anonymous: PolicyKind,
    /// How file pages are chosen.
    pub file: PolicyKind,
}

impl Paging {
    /// What suits a machine with so many frames: a reserve of 1/64, but enough for the compressor's
    /// store to begin a block where it lacks one; the daemon from 1/64 above it up to twice that
    /// (arbitrary, as UVM's are).
    pub fn for_frames(total: u64) -> Paging {
        let reserve = (total / 64).clamp(12, 1024).min(total / 8);
        let step = (total / 64).clamp(4, 4096);
        Paging {
            low: reserve + step,
            high: reserve + 2 * step,
            reserve,
            floor: 10,
            anonymous: PolicyKind::ClockPro,
            file: PolicyKind::ClockPro,
        }
    }
}

/// All that page-out keeps.
pub(crate) struct Pageout {
    on: AtomicBool,
    low: AtomicU64,
    high: AtomicU64,
    floor: AtomicU32,
    /// Of anonymous pages, and of file pages; and their lock.
    policies: [Policy; 2],
    lock: SpinLock,
    rings: [Ring; MAX_CPUS],
    /// Whether pages came that neither a ring nor a policy knows (R1).
    unnoted: AtomicBool,
    /// Whether the policies were made to forget pages because they are wired (R1).
    some_wired: AtomicBool,
    /// Pages that were unwired since all frames were last gone through for such.
    unwired: AtomicU64,
    /// Anons whose contents were given up (A6).
    pub(crate) given_up: AtomicU64,
    /// Whether pages may be among them that no search has found: these leave though nothing takes
    /// anonymous pages.
    pub(crate) some_given_up: AtomicBool,
    /// What evictions of each kind have cost lately; the policies' lock.
    missed: [AtomicU32; 2],
    /// Pages on their way to swap (P2).
    pub(crate) busy: AtomicU32,
    /// Changes whenever frames have become free, or a write has ended.
    progress: AtomicU32,
    /// Whose turn it is to reclaim, and the next number to be drawn.
    serving: AtomicU32,
    drawn: AtomicU32,
}

impl Pageout {
    pub const fn new() -> Pageout {
        Pageout {
            on: AtomicBool::new(false),
            low: AtomicU64::new(0),
            high: AtomicU64::new(0),
            floor: AtomicU32::new(0),
            policies: [Policy::new(false), Policy::new(true)],
            lock: SpinLock::new(),
            rings: [const { Ring::new() }; MAX_CPUS],
            unnoted: AtomicBool::new(false),
            some_wired: AtomicBool::new(false),
            unwired: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            some_given_up: AtomicBool::new(false),
            missed: [const { AtomicU32::new(0) }; 2],
            busy: AtomicU32::new(0),
            progress: AtomicU32::new(0),
            serving: AtomicU32::new(0),
            drawn: AtomicU32::new(0),
        }
    }

    /// Whether pages leave at all.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Panics where a policy contradicts itself. Nothing is paged meanwhile.
    pub(crate) fn check_invariants(&self, segments: &Segments) {
        for policy in &self.policies {
            policy.check_invariants(segments);
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Begins to page: from now on memory that is not used can leave, to wherever a swap device or
    /// compressor takes it, or its file is. Called once, when memory has been added, before there
    /// are programs. Pages that are in memory already stay there.
    pub fn start_paging(&self, paging: Paging) -> Result<(), OutOfMemory> {
        let pageout = &self.pageout;
        let _policies = pageout
            .lock
            .lock(&self.machine, crate::machine::Rank::Policy);
        if pageout.on.load(Acquire) {
            return Ok(());
        }
        pageout.policies[0].start(&self.machine, &self.frames, paging.anonymous)?;
        pageout.policies[1].start(&self.machine, &self.frames, paging.file)?;
        self.set_marks(paging);
        pageout.on.store(true, Release);
        Ok(())
    }

    /// Changes how much is kept free, at any time; the choice of policies stays.
    pub fn set_marks(&self, paging: Paging) {
        let pageout = &self.pageout;
        pageout.low.store(paging.low, Relaxed);
        pageout.high.store(paging.high.max(paging.low + 1), Relaxed);
        pageout.floor.store(paging.floor.min(50), Relaxed);
        self.frames.set_marks(paging.reserve, paging.low);
    }
}
