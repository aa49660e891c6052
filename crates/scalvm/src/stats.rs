//! Counters: what the manager holds now, and what it has done since it began.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::machine::MAX_CPUS;

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// A snapshot of all counters.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Stats {
            /// Each counter's name and value, in the order of the fields.
            pub fn for_each(&self, mut f: impl FnMut(&'static str, u64)) {
                $(f(stringify!($name), self.$name);)*
            }
        }
    };
}

stats! {
    /// Frames of all segments, without those that hold page descriptors.
    frames_total,
    /// Frames that are free, in the buddy lists or a processor's cache.
    frames_free,
    /// Frames of kernel memory: [`alloc_frames`](crate::Vm::alloc_frames), heap and pools.
    frames_kernel,
    /// Frames that hold page tables.
    frames_tables,
    /// Frames that hold pages of anonymous objects.
    frames_anon,
    /// Frames that hold pages of vnode objects.
    frames_file,
    /// Anons in use.
    anons,
    /// Amaps in use.
    amaps,
    /// Nodes of amaps in use: directories and chunks.
    nodes,
    /// Families of objects in use.
    families,
    /// Objects in use.
    objects,
    /// Map entries in use.
    entries,
    /// Maps in use.
    maps,
    /// Pages promised to programs.
    committed,
    /// Pages that may be promised; all ones if any number may.
    commit_limit,
    /// Faults handled.
    faults,
    /// Faults that had to wait for a pager.
    faults_major,
    /// Pages copied because a shared one was written.
    cow_copies,
    /// Pages filled with zeros at first write.
    zero_fills,
    /// Neighbours mapped along with the page that faulted.
    around,
    /// Pages read by pagers.
    pageins,
    /// Pages written by pagers.
    pageouts,
    /// Anonymous pages read from swap.
    swapins,
    /// Anonymous pages written to swap.
    swapouts,
    /// Pages brought back from the compressor.
    decompressed,
    /// Rounds of the page daemon.
    balances,
    /// Searches for pages that can leave, by the page daemon and by those who needed memory.
    searches,
    /// Searches that found none.
    searches_vain,
    /// Pages that were looked at by them.
    scanned,
    /// Pages that left memory.
    evicted,
    /// Pages that were missed soon after they had left.
    refaults,
    /// Pages read ahead of their use.
    ahead,
    /// Pages read ahead that were found to be used.
    ahead_hits,
    /// Pages read ahead that went before anyone had found them to be used.
    ahead_wasted,
    /// Pages whose contents programs gave up, to be discarded under pressure.
    given_up,
    /// Those of them that were discarded.
    given_up_gone,
    /// Pages that programs said they will not use soon.
    cooled,
    /// Pages that left memory because a program said so.
    paged_out,
    /// Pages brought in because a program said so.
    populated,
    /// Clean pages of vnode objects dropped because somebody said so.
    dropped,
    /// Pages taken out of page tables by trimming.
    trimmed,
    /// Faults that found a page which had been trimmed still in memory.
    trim_refaults,
    /// Address spaces forked.
    forks,
    /// Map entries that were extracted from an address space.
    extracted,
    /// Pages that are lent now, each as often as it is lent.
    loans,
    /// Pages that were lent, copies included.
    lent,
    /// Pages of which a copy was lent, since somebody might have written them.
    lent_copies,
    /// Translation flushes asked of the machine.
    flushes,
    /// Large leaves made for parts of devices.
    large_devices,
    /// Faults that brought a row of pages, mapped by a large leaf.
    large_faults,
    /// Faults that would have done so if there had been a row of free frames, and memory for what else it takes.
    large_fallbacks,
    /// Ranges whose pages were joined, to be mapped by a large leaf.
    large_joins,
    /// Large leaves split, since a part of what they map was changed.
    large_splits,
}

/// Pages by what goes on with them, see [`Vm::page_counts`](crate::Vm::page_counts). Counted one after
/// the other while they may change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PageCounts {
    /// Pages of anonymous objects that are in page tables.
    pub anon_mapped: u64,
    /// Pages of vnode objects that are in page tables.
    pub file_mapped: u64,
    /// Pages of vnode objects that must be written, as far as is known: what was written through a
    /// mapping shows when that is looked at, by write-back or the page daemon.
    pub file_dirty: u64,
    /// Pages of vnode objects that are being written.
    pub file_writing: u64,
}

/// What is counted as it happens.
#[derive(Clone, Copy)]
#[repr(usize)]
pub(crate) enum Event {
    Fault,
    MajorFault,
    CowCopy,
    ZeroFill,
    Around,
    PageIn,
    PageOut,
    SwapIn,
    SwapOut,
    Decompressed,
    Balance,
    Search,
    SearchVain,
    Scan,
    Evict,
    Refault,
    Ahead,
    AheadHit,
    AheadWasted,
    GiveUp,
    GivenUpGone,
    Cool,
    PagedOut,
    Populate,
    Drop,
    Trim,
    TrimRefault,
    Fork,
    Extract,
    Lend,
    LendCopy,
    Repay,
    Flush,
    LargeDevice,
    LargeFault,
    LargeFallback,
    LargeJoin,
    LargeSplit,
}

const EVENTS: usize = Event::LargeSplit as usize + 1;

/// Event counters, one line for each processor so that counting shares nothing.
pub(crate) struct Counters {
    lines: [Line; MAX_CPUS],
}

#[repr(align(64))]
struct Line([AtomicU64; EVENTS]);

impl Counters {
    pub const fn new() -> Counters {
        Counters {
            lines: [const { Line([const { AtomicU64::new(0) }; EVENTS]) }; MAX_CPUS],
        }
    }

    #[inline(always)]
    pub fn add(&self, cpu: usize, event: Event, n: u64) {
        self.lines[cpu % MAX_CPUS].0[event as usize].fetch_add(n, Relaxed);
    }

    pub fn read(&self, event: Event) -> u64 {
        self.lines
            .iter()
            .map(|line| line.0[event as usize].load(Relaxed))
            .sum()
    }
}
