//! What a page-table port brings: the [`Pmap`] trait, and the [`Debt`] its changes leave.
//!
//! A pmap is one address space in the MMU's own format, and only a cache of what the map says: it
//! may forget any mapping at any time, faults bring it back. It locks itself ([`Rank::Pmap`]; only
//! the allocation of frames lies further in), so that faults on one map run in parallel. It keeps
//! no records of frames.
//!
//! [`Rank::Pmap`]: crate::Rank::Pmap

use core::ops::Range;
use core::sync::atomic::AtomicU64;

use crate::addr::{Access, Frame, PAGE_SIZE, Prot};
use crate::error::OutOfMemory;
use crate::machine::{CpuSet, Machine};

/// Where page tables get their frames.
pub trait TableFrames {
    /// A frame of zeros, or nothing.
    fn alloc(&self) -> Option<Frame>;
    /// Takes a frame back that [`alloc`](TableFrames::alloc) gave and no MMU can reach any more.
    fn free(&self, frame: Frame);
    /// A word that belongs to whoever allocated the frame, outside of its bytes: zero at first.
    /// Page tables count their live entries there; a [`Debt`] chains the frames it owns through it.
    fn word(&self, frame: Frame) -> &AtomicU64;
    /// Told of each large leaf that was split; its lock may be held.
    fn was_split(&self) {}
}

/// Which cached translations are stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// None.
    Nothing,
    /// Those of the pages in this range of addresses.
    Range {
        /// The first address, at the start of a page.
        start: usize,
        /// The end, exclusive, at the start of a page.
        end: usize,
    },
    /// All of the space.
    All,
}

impl Scope {
    /// The least scope that holds both.
    #[inline]
    pub fn join(self, other: Scope) -> Scope {
        match (self, other) {
            (Scope::Nothing, s) | (s, Scope::Nothing) => s,
            (Scope::Range { start: a, end: b }, Scope::Range { start: c, end: d }) => {
                Scope::Range {
                    start: a.min(c),
                    end: b.max(d),
                }
            }
            _ => Scope::All,
        }
    }
}

/// What a change of a page table leaves to be done: translations to be flushed on every processor
/// that may have cached them, and table frames that may be freed only then. It must be paid before
/// a frame that was mapped is used for something else, and before the caller relies on a right
/// having been taken away.
#[must_use = "stale translations remain until the debt is paid"]
#[derive(Debug)]
pub struct Debt {
    scope: Scope,
    /// The first of a chain of frames through [`TableFrames::word`]; the word holds the next
    /// frame's number plus one, or zero.
    frames: Frame,
}

impl Debt {
    /// Nothing owed.
    pub const fn none() -> Debt {
        Debt {
            scope: Scope::Nothing,
            frames: Frame::NONE,
        }
    }

    /// The translations of one scope.
    pub const fn scope(scope: Scope) -> Debt {
        Debt {
            scope,
            frames: Frame::NONE,
        }
    }

    /// The translation of the page at `va`.
    pub const fn page(va: usize) -> Debt {
        Debt::scope(Scope::Range {
            start: va,
            end: va + PAGE_SIZE,
        })
    }

    /// Adds stale translations.
    #[inline]
    pub fn add(&mut self, scope: Scope) {
        self.scope = self.scope.join(scope);
    }

    /// Hands a table frame over, to be freed after the flush.
    pub fn own(&mut self, frame: Frame, tables: &impl TableFrames) {
        use core::sync::atomic::Ordering::Relaxed;
        let next = if self.frames.is_some() {
            self.frames.0 + 1
        } else {
            0
        };
        tables.word(frame).store(next, Relaxed);
        self.frames = frame;
    }

    /// Whether there is something to flush or to free.
    pub fn is_owed(&self) -> bool {
        self.scope != Scope::Nothing || self.frames.is_some()
    }

    /// Flushes on all processors that may have cached translations of `pmap`, then frees the
    /// frames.
    pub fn pay<M: Machine>(self, machine: &M, pmap: &impl Pmap<M>, tables: &impl TableFrames) {
        use core::sync::atomic::Ordering::Relaxed;
        if self.scope != Scope::Nothing {
            let cpus = pmap.cpus();
            if cpus != 0 {
                machine.flush(cpus, pmap.root(), self.scope);
            }
        }
        let mut next = self.frames;
        while next.is_some() {
            let frame = next;
            let word = tables.word(frame).swap(0, Relaxed);
            next = if word == 0 {
                Frame::NONE
            } else {
                Frame(word - 1)
            };
            tables.free(frame);
        }
    }
}

/// How a mapping is entered.
#[derive(Clone, Copy, Debug)]
pub struct Enter {
    /// The frame to map.
    pub frame: Frame,
    /// The rights, never empty.
    pub prot: Prot,
    /// The access that is about to happen: presets the accessed bit, and the dirty bit for a write.
    pub access: Access,
    /// How caches treat it.
    pub cache: Cache,
    /// Whether the frame is the manager's: told again by [`Mapping::managed`].
    pub managed: bool,
    /// The object this page belongs to, and its page number there: for ports where the kernel
    /// underneath maps objects, not frames.
    pub origin: (u64, u64),
}

/// How the processor's caches treat a mapping. A machine that lacks one takes the next one that is stricter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cache {
    /// What is read and written is cached: ordinary memory, and what is like it.
    #[default]
    WriteBack,
    /// What is read is cached; what is written reaches the device at once.
    WriteThrough,
    /// Nothing is cached, but writes may wait and be put together: frame buffers.
    WriteCombining,
    /// Each access reaches the device as it is made: registers.
    Uncached,
}

/// One mapping, as [`Pmap::query`] finds it and range operations show it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// The page's address.
    pub va: usize,
    /// The frame mapped there.
    pub frame: Frame,
    /// The rights that the MMU grants, all levels taken together.
    pub prot: Prot,
    /// Whether the MMU has seen an access since the bit was last cleared.
    pub accessed: bool,
    /// Whether the MMU has seen a write since the bit was last cleared.
    pub dirty: bool,
    /// False for frames that the manager does not own (devices).
    pub managed: bool,
    /// Whether a large leaf maps it, and the pages around it.
    pub large: bool,
}

/// The accessed and dirty bits that [`Pmap::harvest`] clears.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clear {
    /// Clear accessed bits.
    pub accessed: bool,
    /// Clear dirty bits.
    pub dirty: bool,
}

/// One address space in the format of a machine's MMU.
///
/// Addresses are page-aligned and lie in the user half, or in the range of the kernel's own space;
/// ranges do not wrap. Operations on ranges
/// cost what is mapped, not what is spanned. All may be called from several processors at once.
///
/// # Large leaves
///
/// Where the MMU has leaves of more than one size, [`enter_large`](Pmap::enter_large) may map a row of
/// aligned frames by one *large leaf*. That is a matter of the page table alone: every other operation
/// sees and tells of [`large_pages`](Pmap::large_pages) pages, which have the rights and the accessed
/// and dirty bits of the leaf in common. What concerns some of them only *splits* the leaf first into
/// one for each page. That needs no memory, since a table for it is set aside when the leaf is made; and
/// it goes by the rule of all architectures, break before make: the leaf is removed, flushed on all
/// processors, which is done at once, and only then is the table put in its place. Leaves are never
/// joined to a large one but by `enter_large`, which the manager calls when nothing is mapped there and
/// all debts for that are paid.
///
/// # Safety
///
/// 1. A mapping that `enter` or `fill` made is reachable by the MMU with exactly the rights given
///    until it is changed, and no other frame is.
/// 2. The debt that an operation returns covers every translation that it made stale: those whose
///    frame changed, or which granted a right that they no longer grant, or whose dirty or accessed
///    bit was cleared.
/// 3. Table frames reach [`TableFrames::free`] only through a debt, or in `destroy`.
/// 4. A dirty bit is never lost: it is reported by `remove` and `harvest`, or still there.
pub unsafe trait Pmap<M: Machine>: Sync + Sized {
    /// An empty space, whose kernel half is the machine's.
    fn new(machine: &M, tables: &impl TableFrames) -> Result<Self, OutOfMemory>;

    /// The kernel's own space, for a range of addresses in the machine's kernel half, of whole pages,
    /// that nothing else uses: what is entered there, every space has. Upper-level tables are made here
    /// and stay for good; so this must be called before the first [`new`](Pmap::new), or for a range
    /// for which it was called before. There is one for a range at a time. All processors may have
    /// cached its translations: [`cpus`](Pmap::cpus) is all of them. Fails also where the machine's
    /// spaces share no kernel half, and for a range that is not in it.
    fn new_kernel(
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
    ) -> Result<Self, OutOfMemory>;

    /// Frees all tables of a space that no processor uses and that maps nothing. (Mappings that are
    /// left are dropped without being reported.)
    fn destroy(&mut self, machine: &M, tables: &impl TableFrames);

    /// What names this space to the MMU and to [`Machine::flush`]: the frame of its root table.
    fn root(&self) -> Frame;

    /// The processors that may hold cached translations of this space.
    fn cpus(&self) -> CpuSet;

    /// Makes this the current space of the processor that calls.
    fn activate(&self, machine: &M);

    /// Called when the processor that calls has another space now, or none.
    fn deactivate(&self, machine: &M);

    /// Maps a frame at `va`, in the place of what is there: what that was is returned, and covered
    /// by the debt if it could be stale. Fails only where a table is lacking, and then changes
    /// nothing.
    fn enter(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<(Option<Mapping>, Debt), OutOfMemory>;

    /// Maps `frames[i]` at `va + i * PAGE_SIZE` where nothing is mapped yet and no table is
    /// lacking; skips [`Frame::NONE`]. Never replaces, never allocates, sets no accessed bit. At
    /// most 64 frames; bit i of the result tells that frame i was entered. (The neighbours of a
    /// fault.)
    fn fill(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        va: usize,
        frames: &[Frame],
        prot: Prot,
    ) -> u64;

    /// How many pages a large leaf maps, a power of two; 1: there are none.
    fn large_pages(&self) -> usize {
        1
    }

    /// Maps [`large_pages`](Pmap::large_pages) frames, from `how.frame` on, at `va` and behind it by
    /// one large leaf: if there are such, if address and frame are aligned to what one maps, and if
    /// nothing is mapped in all of that range. Else false, and nothing is done. No debt of the range may
    /// be unpaid. Fails only where a table is lacking, or the one to be set aside, and then changes
    /// nothing.
    fn enter_large(
        &self,
        _machine: &M,
        _tables: &impl TableFrames,
        _va: usize,
        _how: Enter,
    ) -> Result<bool, OutOfMemory> {
        Ok(false)
    }

    /// Removes all mappings of the range, calling `gone` for each (with the lock held: it may not
    /// come back here), and the tables this leaves empty.
    fn remove(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
        gone: impl FnMut(Mapping),
    ) -> Debt;

    /// Takes from the mappings of the range all rights that are not in `prot`, which has at least
    /// one. Gives none.
    fn protect(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
        prot: Prot,
    ) -> Debt;

    /// Takes the right to write from every mapping of the space, for fork: at the uppermost level
    /// that can express it, so that the cost does not grow with the number of mappings.
    fn write_protect_all(&self, machine: &M, tables: &impl TableFrames) -> Debt;

    /// The mapping at `va`.
    fn query(&self, machine: &M, va: usize) -> Option<Mapping>;

    /// Calls `seen` for each mapping of the range (lock held), and clears the bits asked for. (A large
    /// leaf of which only a part lies in the range is split where there is a bit to clear.)
    fn harvest(
        &self,
        machine: &M,
        tables: &impl TableFrames,
        range: Range<usize>,
        clear: Clear,
        seen: impl FnMut(Mapping),
    ) -> Debt;

    /// Pages mapped now, large leaves, and frames that the tables take.
    fn counts(&self) -> PmapCounts;

    /// Panics where the tables contradict themselves. For tests.
    fn check_invariants(&self, machine: &M, tables: &impl TableFrames);
}

/// What [`Pmap::counts`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PmapCounts {
    /// Pages mapped.
    pub mapped: usize,
    /// Large leaves that map ordinary memory.
    pub large: usize,
    /// Frames that hold tables, or are set aside for it.
    pub tables: usize,
}
