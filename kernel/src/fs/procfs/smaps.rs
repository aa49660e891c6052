//! /proc/PID/smaps, smaps_rollup: how much of each mapping is in memory, and of what kind; and the sums of it
//! that status wants.
//!
//! Pages are told of by [`Map::inspect`](scalvm::Map::inspect), so nothing is touched, and no lock is held for longer than a look at 64 of
//! them. The process may change, fork or end meanwhile; the text is then of no single moment, as on Linux.
//!
//! A page counts as a process's (Rss) if its page tables map it, or it is the process's own and in memory, whether or not
//! it was used since the process was forked.

use scalvm::{
    Advice, Inherit, Large, PAGE_SIZE, PageInfo, PagePlace, Prot, Region, Share, WatchEvents,
};

use super::maps;
use crate::fs::text::Text;
use crate::linux::Errno;
use crate::mm::VM;
use crate::task::{Process, Space};

const PAGE: u64 = PAGE_SIZE as u64;

/// Proportional shares are summed up in so small parts of a byte, as on Linux, that little is lost.
const PARTS: u32 = 12;

/// Bytes of a mapping, or of several, by what is known of their pages. Those called `pss` are proportional
/// shares: each page counts in part, as many have it.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub rss: u64,
    pss: u64,
    pss_dirty: u64,
    pss_anonymous: u64,
    pss_file: u64,
    pss_shared: u64,
    pss_locked: u64,
    shared_clean: u64,
    shared_dirty: u64,
    private_clean: u64,
    private_dirty: u64,
    referenced: u64,
    pub anonymous: u64,
    /// Of files.
    pub file: u64,
    lazy_free: u64,
    /// Anonymous memory that large pages map.
    large: u64,
    pub swap: u64,
    swap_pss: u64,
}

impl Sums {
    /// Of all that a process has mapped.
    pub fn of(space: &Space) -> Sums {
        let mut sums = Sums::default();
        maps::regions(space).for_each(|region| sums.add_region(space, &region));
        sums
    }

    fn add_region(&mut self, space: &Space, region: &Region) {
        each_page(space, region.start, region.end, |page| {
            self.add(&page, region.wired)
        });
    }

    fn add(&mut self, page: &PageInfo, wired: bool) {
        let sharers = u64::from(page.sharers.max(1));
        let part = (PAGE << PARTS) / sharers;
        match page.place {
            PagePlace::Swap(..) | PagePlace::Compressed => {
                self.swap += PAGE;
                self.swap_pss += part;
                return;
            }
            PagePlace::Memory(_) if page.mapped || page.own => {}
            _ => return,
        }
        self.rss += PAGE;
        self.pss += part;
        let (kind, pss) = match (page.own, page.file) {
            (true, _) => (Some(&mut self.anonymous), &mut self.pss_anonymous),
            (_, true) => (Some(&mut self.file), &mut self.pss_file),
            _ => (None, &mut self.pss_shared),
        };
        *pss += part;
        if let Some(kind) = kind {
            *kind += PAGE;
        }
        let by_use = match (sharers > 1, page.dirty) {
            (true, true) => &mut self.shared_dirty,
            (true, false) => &mut self.shared_clean,
            (false, true) => &mut self.private_dirty,
            (false, false) => &mut self.private_clean,
        };
        *by_use += PAGE;
        for (counts, sum, bytes) in [
            (page.dirty, &mut self.pss_dirty, part),
            (wired, &mut self.pss_locked, part),
            (page.accessed, &mut self.referenced, PAGE),
            (page.given_up, &mut self.lazy_free, PAGE),
            (page.large, &mut self.large, PAGE),
        ] {
            *sum += if counts { bytes } else { 0 };
        }
    }

    /// The lines; for a sum of several mappings some more.
    fn tell(&self, rollup: bool, text: &mut Text) -> Result<(), Errno> {
        let parts = [
            ("Pss_Anon:", self.pss_anonymous),
            ("Pss_File:", self.pss_file),
            ("Pss_Shmem:", self.pss_shared),
        ];
        let more = if rollup { &parts[..] } else { &[] };
        kib(text, "Rss:", self.rss)?;
        kib(text, "Pss:", self.pss >> PARTS)?;
        kib(text, "Pss_Dirty:", self.pss_dirty >> PARTS)?;
        more.iter()
            .try_for_each(|(name, pss)| kib(text, name, pss >> PARTS))?;
        // No pages are merged, and large ones are private memory's.
        for (name, bytes) in [
            ("Shared_Clean:", self.shared_clean),
            ("Shared_Dirty:", self.shared_dirty),
            ("Private_Clean:", self.private_clean),
            ("Private_Dirty:", self.private_dirty),
            ("Referenced:", self.referenced),
            ("Anonymous:", self.anonymous),
            ("KSM:", 0),
            ("LazyFree:", self.lazy_free),
            ("AnonHugePages:", self.large),
            ("ShmemPmdMapped:", 0),
            ("FilePmdMapped:", 0),
            ("Shared_Hugetlb:", 0),
            ("Private_Hugetlb:", 0),
            ("Swap:", self.swap),
            ("SwapPss:", self.swap_pss >> PARTS),
            ("Locked:", self.pss_locked >> PARTS),
        ] {
            kib(text, name, bytes)?;
        }
        Ok(())
    }
}

/// Pages of files and of shared memory that the page tables map.
pub(super) fn mapped_of_objects(space: &Space) -> u64 {
    let mut count = 0;
    for region in maps::regions(space).filter(|region| region.object_id.is_some()) {
        each_page(space, region.start, region.end, |page| {
            let in_memory = matches!(page.place, PagePlace::Memory(_));
            count += u64::from(in_memory && page.mapped && !page.own);
        });
    }
    count
}

/// Calls `f` for each page of a range, as far as it is still mapped.
pub(super) fn each_page(space: &Space, start: usize, end: usize, mut f: impl FnMut(PageInfo)) {
    let mut at = start;
    while at < end {
        let mut pages = [PageInfo::default(); 64];
        let most = pages.len().min((end - at) / PAGE_SIZE);
        let told = space.inspect(at, &mut pages[..most]);
        if told == 0 {
            return;
        }
        pages[..told].iter().for_each(|page| f(*page));
        at += told * PAGE_SIZE;
    }
}

fn kib(text: &mut Text, name: &str, bytes: u64) -> Result<(), Errno> {
    writeln!(text, "{name:<16}{:8} kB", bytes / 1024)
}

/// The lines that tell of one mapping.
pub(super) fn smap(space: &Space, region: &Region, text: &mut Text) -> Result<(), Errno> {
    maps::line(space, region, text)?;
    kib(text, "Size:", (region.end - region.start) as u64)?;
    kib(text, "KernelPageSize:", PAGE)?;
    kib(text, "MMUPageSize:", PAGE)?;
    let mut sums = Sums::default();
    sums.add_region(space, region);
    sums.tell(false, text)?;
    let eligible = u8::from(is_eligible(space, region));
    writeln!(text, "{:<16}{eligible:8}", "THPeligible:")?;
    flags(region, text)
}

pub(super) fn rollup(process: &Process, text: &mut Text) -> Result<(), Errno> {
    let space = process.map();
    let first = maps::regions(&space)
        .next()
        .map_or(0, |region| region.start);
    let end = maps::regions(&space).last().map_or(0, |region| region.end);
    let start = text.len();
    write!(text, "{first:08x}-{end:08x} ---p 00000000 00:00 0 ")?;
    text.pad(start, maps::NAME_COLUMN)?;
    writeln!(text, "[rollup]")?;
    Sums::of(&space).tell(true, text)
}

/// Whether faults may bring large pages there.
fn is_eligible(space: &Space, region: &Region) -> bool {
    let wanted = VM.large_pages().wants(region.large);
    let size = space.large_bytes();
    let has_room = region.start.next_multiple_of(size) + size <= region.end;
    let is_private = region.share == Share::Private && region.object_id.is_none();
    wanted && space.allows_large() && is_private && has_room
}

/// What Linux calls the flags of a mapping.
fn flags(region: &Region, text: &mut Text) -> Result<(), Errno> {
    let shared = region.share == Share::Shared;
    let has = |prot| region.prot.contains(prot);
    let may = |prot| region.max_prot.contains(prot);
    let watch = region
        .watch
        .map_or(WatchEvents::empty(), |watch| watch.events);
    let watches = |event| watch.contains(event);
    text.bytes(b"VmFlags: ")?;
    for (set, flag) in [
        (has(Prot::READ), "rd "),
        (has(Prot::WRITE), "wr "),
        (has(Prot::EXEC), "ex "),
        // One that can never be written is private to Linux, though it shows what others write.
        (shared && may(Prot::WRITE), "sh "),
        (may(Prot::READ), "mr "),
        (may(Prot::WRITE), "mw "),
        (may(Prot::EXEC), "me "),
        (shared, "ms "),
        (region.grows, "gd "),
        (watches(WatchEvents::MISSING), "um "),
        (watches(WatchEvents::WRITE_PROTECT), "uw "),
        (region.wired, "lo "),
        (region.advice == Advice::Sequential, "sr "),
        (region.advice == Advice::Random, "rr "),
        (region.inherit == Inherit::None, "dc "),
        (region.wired && region.on_fault, "lf "),
        (!shared && has(Prot::WRITE), "ac "),
        (region.inherit == Inherit::Zero, "wf "),
        (region.no_dump, "dd "),
        (region.large == Large::Asked, "hg "),
        (region.large == Large::Never, "nh "),
        (region.sealed, "sl "),
        (watches(WatchEvents::MINOR), "ui "),
    ] {
        text.bytes(if set { flag.as_bytes() } else { b"" })?;
    }
    text.bytes(b"\n")
}
