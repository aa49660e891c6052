//! Map-local trimming: an address space gives up what it has not used lately.
//!
//! The seed, "Adaptations for map-local trimming": "`vm_anon_t` would have to carry an 'actually
//! mapped' refcnt" (that is `Page::mapped`), and "`vm_amap_entry_t` would have to carry a bool 'is
//! this page actually mapped into the address space'" (the bits `mapped` of a chunk, M4).
//!
//! A hand goes round the map in the order of addresses. What was used since it last came by is
//! spared, and its accessed bit cleared; what was not is unmapped. It stays in memory, with its
//! anon: a fault finds it again without I/O. A page that nobody maps any more is the page daemon's
//! next candidate. So memory is taken in two steps, each of which knows what it has to: this one
//! whose page it is and how much that one has, the daemon what is in memory and on backing store.
//!
//! Locks: the map for reading, its hand, and the object of the entry at which the hand is. One step looks at
//! a bounded number of pages, so that neither is held for long.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::amap::Way;
use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::map::body::MapRead;
use crate::map::{MapBody, MapEntry};
use crate::object::ObjectBody;
use crate::page::{Page, TRIMMED};
use crate::pmap::{Clear, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

/// The most pages that are looked at together: one for each bit of a word.
const MOST: usize = 64;
/// The least, so that little that is wanted is not sought page by page.
const LEAST: usize = 8;
/// The most pages that are looked over where nothing seems to be mapped (arbitrary: a turn of the
/// hand takes 64 leaps through 4 TiB of which nothing is mapped).
const LEAP: usize = 1 << 24;
/// Looks that one step takes (arbitrary).
const LOOKS: u32 = 64;

/// A range that the hand has come to.
struct Stretch<M: Machine> {
    entry: Ptr<MapEntry<M>>,
    range: Range<usize>,
}

impl<M: Machine> MapBody<M> {
    /// The range at the hand: within one entry that is not wired, at most `pages` long. None where
    /// the hand only moved on.
    fn at_hand(&self, pages: usize) -> Option<Stretch<M>> {
        let limits = &self.limits;
        let Some(entry) = self.tree.at_or_above(limits.hand.get()) else {
            limits.turns.set(limits.turns.get() + 1);
            limits.hand.set(self.low);
            return None;
        };
        if entry.attributes().wired {
            limits.hand.set(entry.end.get());
            return None;
        }
        let start = limits.hand.get().max(entry.start.get());
        let len = (entry.end.get() - start).min(pages << PAGE_SHIFT);
        Some(Stretch {
            entry,
            range: start..start + len,
        })
    }
}

impl<M: Machine> Vm<M> {
    /// One step of trimming: takes up to `want` pages out of the page tables, but not the one at
    /// `keep`, and moves the hand on.
    pub(crate) fn trim_map(&self, map: &MapRead<'_, M>, want: u64, keep: usize) -> u64 {
        let body = map.map.target();
        let limits = &body.limits;
        let _hand = limits.lock.lock(&self.machine, Rank::Hand);
        let window = (want.min(MOST as u64) as usize)
            .next_power_of_two()
            .max(LEAST);
        let mut reach = window;
        let mut pages = 0;
        let mut looks = LOOKS;
        while pages < want && looks > 0 {
            looks -= 1;
            let Some(Stretch { entry, mut range }) = body.at_hand(reach) else {
                continue;
            };
            let object = entry.object.get();
            let _object = object.map(|object| object.lock(self));
            if reach > window {
                match self.first_mapped(body, range.clone()) {
                    Some(first) => {
                        range = first..range.end.min(first + window * PAGE_SIZE);
                        reach = window;
                    }
                    None => {
                        limits.hand.set(range.end);
                        reach = (2 * reach).min(LEAP);
                        continue;
                    }
                }
            }
            let (some, idle) = self.idle_pages(body, range.clone(), keep);
            if !some {
                reach = 2 * window;
            }
            pages += self.take_idle(entry, range.start, idle, want - pages);
            limits.hand.set(range.end);
        }
        limits.trimmed.fetch_add(pages, Relaxed);
        self.counters.add(self.machine.cpu(), Event::Trim, pages);
        pages
    }

    /// The first address of a range at which something is mapped.
    fn first_mapped(&self, map: &MapBody<M>, range: Range<usize>) -> Option<usize> {
        let mut first: Option<usize> = None;
        let nothing = Clear {
            accessed: false,
            dirty: false,
        };
        let debt = map
            .pmap
            .harvest(&self.machine, self, range, nothing, |seen| {
                first = Some(first.map_or(seen.va, |first| first.min(seen.va)));
            });
        self.pay(debt, &map.pmap);
        first
    }

    /// Begins a new age for the pages of a range, at most 64. Tells whether any is mapped, and by a
    /// bit for each which were not used in the last one.
    fn idle_pages(&self, map: &MapBody<M>, range: Range<usize>, keep: usize) -> (bool, u64) {
        let (mut some, mut idle) = (false, 0);
        let clear = Clear {
            accessed: true,
            dirty: false,
        };
        let start = range.start;
        let debt = map.pmap.harvest(&self.machine, self, range, clear, |seen| {
            some = true;
            if !seen.accessed && seen.va != keep {
                idle |= 1 << ((seen.va - start) >> PAGE_SHIFT);
            }
        });
        self.pay(debt, &map.pmap);
        (some, idle)
    }

    /// Unmaps the first `most` of these pages. The entry's object is locked.
    fn take_idle(&self, entry: Ptr<MapEntry<M>>, start: usize, idle: u64, most: u64) -> u64 {
        let (mut idle, mut taken) = (idle, 0);
        while idle != 0 && taken < most {
            let first = idle.trailing_zeros() as usize;
            let run = ((idle >> first).trailing_ones() as usize).min((most - taken) as usize);
            idle &= !(u64::MAX >> (64 - run) << first);
            let from = start + (first << PAGE_SHIFT);
            taken += self.take_run(entry, from..from + (run << PAGE_SHIFT));
        }
        taken
    }

    /// Unmaps a range of at most 64 pages.
    fn take_run(&self, entry: Ptr<MapEntry<M>>, range: Range<usize>) -> u64 {
        let (start, mut taken) = (range.start, 0);
        let mut frames = [Frame::NONE; MOST];
        entry.map().note_peak();
        let debt = entry.map().pmap.remove(&self.machine, self, range, |gone| {
            self.unmapped(gone);
            taken += 1;
            if gone.managed && !self.is_zero_frame(gone.frame) {
                frames[(gone.va - start) >> PAGE_SHIFT] = gone.frame;
            }
        });
        self.pay(debt, &entry.map().target().pmap);
        let object = entry.object.get();
        for (i, frame) in frames.into_iter().enumerate().filter(|(_, f)| f.is_some()) {
            if let (Some(object), Some(page)) = (object, self.page(frame)) {
                let index = entry.index_of(start + (i << PAGE_SHIFT));
                self.trimmed_page(object, index, page);
            }
        }
        taken
    }

    /// A page of an object, which is locked, was trimmed.
    fn trimmed_page(&self, object: Ptr<ObjectBody<M>>, index: u32, page: Ptr<Page>) {
        page.set_flags(TRIMMED);
        if page.mapped.load(Relaxed) > 0 {
            return;
        }
        for holder in [Some(object), object.under].into_iter().flatten() {
            // Where others have the chunk too, they may be entering the page right now.
            if let Some(amap) = holder.amap.get()
                && let Way::Own(own) = amap.own_way(index)
                && own.place().anon().and_then(|anon| anon.page.get()) == Some(page)
            {
                own.place().clear_mapped();
            }
        }
        self.cooled(page);
    }

    /// A page that had been trimmed was entered again.
    #[cold]
    pub(crate) fn was_trimmed(&self, map: Ptr<MapBody<M>>, page: Ptr<Page>) {
        page.clear_flags(TRIMMED);
        map.limits.refaults.fetch_add(1, Relaxed);
        self.count(Event::TrimRefault);
    }
}
