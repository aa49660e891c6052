//! The manager itself: [`Vm`] owns the frames, the pools of all structures, and the counters.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::addr::{Frame, PAGE_SIZE};
use crate::amap::{Amap, Node};
use crate::anon::Anon;
use crate::commit::Promises;
use crate::error::{OutOfMemory, SegmentError};
use crate::family::Family;
use crate::kmem::kernel_map::{Kept, KernelBody};
use crate::kmem::vmem::Arenas;
use crate::kmem::{Caches, Debug, Heap, Pool, Ptr, Types};
use crate::machine::Machine;
use crate::map::large::JoinHand;
use crate::map::limit::Maps;
use crate::map::{MapBody, MapEntry};
use crate::object::{Devices, MdlBlock, ObjectBody};
use crate::page::{DIRTY, Frames, Page, State, WRITING};
use crate::pageout::Pageout;
use crate::pager::{Compressor, DirtyObjects, Swap, Tracks};
use crate::pmap::{Debt, TableFrames};
use crate::request::LargePages;
use crate::stats::{Counters, Event, PageCounts, Stats};

/// Words that waiters for busy pages sleep on; pages share them by frame number.
const WAIT_WORDS: usize = 64;

/// A virtual memory manager. Several may live side by side; each has its own machine and memory.
///
/// It is made without memory: [`add_segment`](Vm::add_segment) brings it.
pub struct Vm<M: Machine> {
    pub(crate) machine: M,
    pub(crate) frames: Frames,
    pub(crate) heap: Heap,
    pub(crate) arenas: Arenas,
    pub(crate) caches: Caches,
    pub(crate) kernel_maps: Pool<KernelBody<M>>,
    pub(crate) kernel: Kept<M>,
    pub(crate) types: Types,
    pub(crate) debug: Debug,
    pub(crate) anons: Pool<Anon<M>>,
    pub(crate) amaps: Pool<Amap<M>>,
    pub(crate) nodes: Pool<Node<M>>,
    pub(crate) families: Pool<Family<M>>,
    pub(crate) objects: Pool<ObjectBody<M>>,
    pub(crate) entries: Pool<MapEntry<M>>,
    pub(crate) maps: Pool<MapBody<M>>,
    pub(crate) mdl_blocks: Pool<MdlBlock<M>>,
    pub(crate) compressor: Compressor<M>,
    pub(crate) swap: Swap<M>,
    pub(crate) tracks: Pool<Tracks>,
    pub(crate) spaces: Maps<M>,
    pub(crate) promises: Promises,
    pub(crate) counters: Counters,
    pub(crate) dirty: DirtyObjects<M>,
    pub(crate) devices: Devices<M>,
    pub(crate) pageout: Pageout,
    /// Bytes that new maps keep free below what grows.
    pub(crate) guard_gap: AtomicUsize,
    /// A [`LargePages`](crate::LargePages).
    pub(crate) large_pages: AtomicU8,
    pub(crate) join_hand: JoinHand,
    next_id: AtomicU64,
    /// The frame of zeros that reads of untouched memory share, plus one; 0 before it is needed.
    zero: AtomicU64,
    waits: [AtomicU32; WAIT_WORDS],
}

impl<M: Machine> Vm<M> {
    /// A manager without memory.
    pub const fn new(machine: M) -> Vm<M> {
        Vm {
            machine,
            frames: Frames::new(),
            heap: Heap::new(),
            arenas: Arenas::new(),
            caches: Caches::new(),
            kernel_maps: Pool::new(),
            kernel: Kept::nothing(),
            types: Types::new(),
            debug: Debug::new(),
            anons: Pool::new(),
            amaps: Pool::new(),
            nodes: Pool::new(),
            families: Pool::new(),
            objects: Pool::new(),
            entries: Pool::new(),
            maps: Pool::new(),
            mdl_blocks: Pool::new(),
            compressor: Compressor::new(),
            swap: Swap::new(),
            tracks: Pool::new(),
            spaces: Maps::new(),
            promises: Promises::new(),
            counters: Counters::new(),
            dirty: DirtyObjects::new(),
            devices: Devices::new(),
            pageout: Pageout::new(),
            guard_gap: AtomicUsize::new(256 * PAGE_SIZE),
            large_pages: AtomicU8::new(LargePages::Asked as u8),
            join_hand: JoinHand::new(),
            next_id: AtomicU64::new(1),
            zero: AtomicU64::new(0),
            waits: [const { AtomicU32::new(0) }; WAIT_WORDS],
        }
    }

    /// The machine it runs on.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Adds the frames from `start` to `end`, exclusive: at the start, or at any time later. The
    /// first of them hold the descriptors of all, 40 bytes each.
    ///
    /// # Safety
    ///
    /// The frames are memory that nobody else uses as long as the manager lives.
    pub unsafe fn add_segment(&self, start: Frame, end: Frame) -> Result<(), SegmentError> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.frames.add_segment(&self.machine, start, end) }
    }

    /// All counters. They are read one after the other while others may change them.
    pub fn stats(&self) -> Stats {
        let frames = &self.frames;
        let event = |event| self.counters.read(event);
        Stats {
            frames_total: frames.total(),
            frames_free: frames.free_count(),
            frames_kernel: [State::Kernel, State::Slab, State::Rest]
                .map(|state| frames.count(state))
                .into_iter()
                .sum(),
            frames_tables: frames.count(State::Table),
            frames_anon: frames.count(State::Anon),
            frames_file: frames.count(State::File),
            anons: self.anons.in_use(),
            amaps: self.amaps.in_use(),
            nodes: self.nodes.in_use(),
            families: self.families.in_use(),
            objects: self.objects.in_use(),
            entries: self.entries.in_use(),
            maps: self.maps.in_use(),
            committed: self.promises.pages(),
            commit_limit: self.promises.limit(),
            faults: event(Event::Fault),
            faults_major: event(Event::MajorFault),
            cow_copies: event(Event::CowCopy),
            zero_fills: event(Event::ZeroFill),
            around: event(Event::Around),
            pageins: event(Event::PageIn),
            pageouts: event(Event::PageOut),
            swapins: event(Event::SwapIn),
            swapouts: event(Event::SwapOut),
            decompressed: event(Event::Decompressed),
            balances: event(Event::Balance),
            searches: event(Event::Search),
            searches_vain: event(Event::SearchVain),
            scanned: event(Event::Scan),
            evicted: event(Event::Evict),
            refaults: event(Event::Refault),
            ahead: event(Event::Ahead),
            ahead_hits: event(Event::AheadHit),
            ahead_wasted: event(Event::AheadWasted),
            given_up: event(Event::GiveUp),
            given_up_gone: event(Event::GivenUpGone),
            cooled: event(Event::Cool),
            paged_out: event(Event::PagedOut),
            populated: event(Event::Populate),
            dropped: event(Event::Drop),
            trimmed: event(Event::Trim),
            trim_refaults: event(Event::TrimRefault),
            forks: event(Event::Fork),
            extracted: event(Event::Extract),
            loans: event(Event::Lend).saturating_sub(event(Event::Repay)),
            lent: event(Event::Lend),
            lent_copies: event(Event::LendCopy),
            flushes: event(Event::Flush),
            large_devices: event(Event::LargeDevice),
            large_faults: event(Event::LargeFault),
            large_fallbacks: event(Event::LargeFallback),
            large_joins: event(Event::LargeJoin),
            large_splits: event(Event::LargeSplit),
        }
    }

    /// Counts pages by what goes on with them: goes through all descriptors, a few nanoseconds each.
    pub fn page_counts(&self) -> PageCounts {
        let mut counts = PageCounts::default();
        self.frames.for_each(|page| {
            if !matches!(page.state(), State::Anon | State::File) {
                return;
            }
            let mapped = u64::from(page.mapped.load(Relaxed) > 0);
            if page.state() == State::Anon {
                counts.anon_mapped += mapped;
                return;
            }
            counts.file_mapped += mapped;
            counts.file_dirty += u64::from(page.test_flags(DIRTY) != 0);
            counts.file_writing += u64::from(page.test_flags(WRITING) != 0);
        });
        counts
    }

    #[inline(always)]
    pub(crate) fn count(&self, event: Event) {
        self.counters.add(self.machine.cpu(), event, 1);
    }

    pub(crate) fn new_id(&self) -> u64 {
        self.next_id.fetch_add(1, Relaxed)
    }

    /// The descriptor of a frame that a page table maps.
    #[inline(always)]
    pub(crate) fn page(&self, frame: Frame) -> Option<Ptr<Page>> {
        self.frames.page(frame)
    }

    /// A page with one hold, of undefined contents.
    #[inline]
    pub(crate) fn new_page(&self, state: State) -> Result<Ptr<Page>, OutOfMemory> {
        let page = self
            .frames
            .alloc_page(&self.machine, state)
            .ok_or(OutOfMemory)?;
        page.holds().store(1, Relaxed);
        Ok(page)
    }

    /// The shared frame of zeros.
    #[inline]
    pub(crate) fn zero_frame(&self) -> Result<Frame, OutOfMemory> {
        match self.zero.load(Acquire) {
            0 => self.make_zero_frame(),
            frame => Ok(Frame(frame - 1)),
        }
    }

    #[cold]
    fn make_zero_frame(&self) -> Result<Frame, OutOfMemory> {
        let page = self.new_page(State::Zero)?;
        self.machine.zero_frame(page.frame());
        let made = page.frame().0 + 1;
        match self.zero.compare_exchange(0, made, Release, Acquire) {
            Ok(_) => Ok(page.frame()),
            Err(other) => {
                self.let_go(page);
                Ok(Frame(other - 1))
            }
        }
    }

    /// Whether this is the shared frame of zeros, which nobody counts.
    #[inline(always)]
    pub(crate) fn is_zero_frame(&self, frame: Frame) -> bool {
        self.zero.load(Relaxed) == frame.0 + 1
    }

    /// The word that waiters for this page sleep on.
    pub(crate) fn wait_word(&self, page: &Page) -> &AtomicU32 {
        &self.waits[page.frame().0 as usize % WAIT_WORDS]
    }

    /// Wakes those who wait for this page; what they wait for has changed.
    pub(crate) fn wake(&self, page: &Page) {
        let word = self.wait_word(page);
        word.fetch_add(1, Release);
        self.machine.wake(word);
    }

    /// Flushes what a change of a page table made stale.
    #[inline]
    pub(crate) fn pay(&self, debt: Debt, pmap: &M::Pmap) {
        if debt.is_owed() {
            self.count(Event::Flush);
            debt.pay(&self.machine, pmap, self);
        }
    }
}

impl<M: Machine> TableFrames for Vm<M> {
    fn alloc(&self) -> Option<Frame> {
        let page = self.frames.alloc_page(&self.machine, State::Table)?;
        self.machine.zero_frame(page.frame());
        Some(page.frame())
    }

    fn free(&self, frame: Frame) {
        if let Some(page) = self.frames.page(frame) {
            self.frames.free_page(&self.machine, page);
        }
    }

    #[inline(always)]
    fn word(&self, frame: Frame) -> &AtomicU64 {
        match self.frames.page(frame) {
            Some(page) => page.target().word(),
            None => unreachable!("a page table asks about a frame that it was not given"),
        }
    }

    fn was_split(&self) {
        self.count(Event::LargeSplit);
    }
}
