//! An address space as the model sees it: areas by where they begin.

use std::collections::BTreeMap;
use std::ops::Range;

use scalvm::{MapError, PAGE_MASK, PAGE_SIZE, Region, page_ceil};

use super::area::Area;
use super::rules::Rules;

/// An address space. Areas are cut where an operation begins or ends, and never merged again.
#[derive(Clone)]
pub struct Space {
    /// The first address it may use.
    pub low: usize,
    /// The end of what it may use.
    pub high: usize,
    /// Areas by their first address. They do not overlap.
    pub areas: BTreeMap<usize, Area>,
    /// What it allows.
    pub rules: Rules,
}

/// So many bytes are kept free below what grows.
pub const GUARD: usize = 3 * PAGE_SIZE;

/// The pages in a number of bytes.
pub fn pages(bytes: usize) -> u64 {
    (bytes / PAGE_SIZE) as u64
}

impl Space {
    /// An empty space.
    pub fn new(low: usize, high: usize) -> Space {
        Space {
            low,
            high,
            areas: BTreeMap::new(),
            rules: Rules::new(low),
        }
    }

    /// The range of whole pages that an operation is about, if it is a proper one.
    pub fn range(&self, start: usize, len: usize) -> Result<Range<usize>, MapError> {
        let len = page_ceil(len).ok_or(MapError::BadRange)?;
        let end = start.checked_add(len).ok_or(MapError::BadRange)?;
        if start & PAGE_MASK != 0 || len == 0 || start < self.low || end > self.high {
            return Err(MapError::BadRange);
        }
        Ok(start..end)
    }

    /// The area that holds an address.
    pub fn area(&self, addr: usize) -> Option<(usize, &Area)> {
        let (&start, area) = self.areas.range(..=addr).next_back()?;
        (addr < area.end).then_some((start, area))
    }

    /// Makes `addr` a boundary between areas, if it lies within one.
    fn cut(&mut self, addr: usize) {
        let Some((start, area)) = self.area(addr) else {
            return;
        };
        if start < addr {
            let tail = area.tail(pages(addr - start));
            self.areas.get_mut(&start).expect("it was found").end = addr;
            self.areas.insert(addr, tail);
        }
    }

    /// The areas of a range, cut to it, with where they begin.
    pub fn within(&mut self, range: &Range<usize>) -> impl Iterator<Item = (usize, &mut Area)> {
        self.cut(range.start);
        self.cut(range.end);
        self.areas
            .range_mut(range.clone())
            .map(|(&start, area)| (start, area))
    }

    /// Whether every page of the range is mapped.
    pub fn is_full(&self, range: &Range<usize>) -> bool {
        let mut at = range.start;
        while at < range.end {
            match self.area(at) {
                Some((_, area)) => at = area.end,
                None => return false,
            }
        }
        true
    }

    /// Whether no page of the range is mapped.
    pub fn is_free(&self, range: &Range<usize>) -> bool {
        let next = self.areas.range(range.start..range.end).next();
        self.area(range.start).is_none() && next.is_none()
    }

    /// Whether no page of the range is mapped or kept free below what grows.
    pub fn is_clear(&self, range: &Range<usize>) -> bool {
        let next = self.areas.range(range.start..).next();
        self.is_free(range)
            && next.is_none_or(|(&start, area)| guard_start(start, area) >= range.end)
    }

    /// Whether there is a gap of `len` bytes for what may lie anywhere.
    pub fn has_gap(&self, len: usize) -> bool {
        let starts = self
            .areas
            .iter()
            .map(|(&start, area)| guard_start(start, area))
            .chain([self.high]);
        let ends = [self.rules.floor].into_iter().chain(
            self.areas
                .values()
                .map(|area| area.end.max(self.rules.floor)),
        );
        ends.zip(starts)
            .any(|(end, start)| start.saturating_sub(end) >= len)
    }

    /// Takes the areas of a range out.
    pub fn take(&mut self, range: &Range<usize>) -> Vec<(usize, Area)> {
        self.cut(range.start);
        self.cut(range.end);
        let starts: Vec<usize> = self.areas.range(range.clone()).map(|(&s, _)| s).collect();
        let take = |start| (start, self.areas.remove(&start).expect("it was found"));
        starts.into_iter().map(take).collect()
    }

    /// What `query` must show, as runs of pages that are alike.
    pub fn regions(&self) -> Vec<Region> {
        let mut regions = Vec::new();
        for (&start, area) in &self.areas {
            let source = area
                .source
                .as_ref()
                .map(|(object, first)| (object.borrow(), *first));
            let a = area.attributes;
            let region = Region {
                start,
                end: area.end,
                prot: a.prot,
                max_prot: a.max_prot,
                share: a.share,
                inherit: a.inherit,
                advice: a.advice,
                large: a.large,
                wired: a.wired,
                no_dump: a.no_dump,
                on_fault: a.on_fault,
                grows: a.grows,
                sealed: a.sealed,
                watch: a.watch,
                write_protected: a.write_protected,
                poisoned: a.poisoned,
                guarded: a.guarded,
                tag: a.tag,
                offset: source
                    .as_ref()
                    .map_or(0, |(_, first)| first * PAGE_SIZE as u64),
                object_id: source.as_ref().and_then(|(object, _)| object.id.get()),
                cookie: source.as_ref().map(|(object, _)| object.cookie),
            };
            push_run(&mut regions, region);
        }
        regions
    }
}

/// Where the room begins that an area keeps free below itself.
fn guard_start(start: usize, area: &Area) -> usize {
    let guard = [0, GUARD][usize::from(area.attributes.grows)];
    start.saturating_sub(guard)
}

/// Adds a region to a list of runs: where it only continues the last one, that one grows. Entries may be cut
/// anywhere; runs are the same for the same pages with the same attributes.
pub fn push_run(runs: &mut Vec<Region>, next: Region) {
    if let Some(last) = runs.last_mut() {
        let grown = if next.object_id.is_some() {
            (last.end - last.start) as u64
        } else {
            0
        };
        let continued = Region {
            start: last.end,
            end: next.end,
            offset: last.offset.wrapping_add(grown),
            ..*last
        };
        if continued == next {
            last.end = next.end;
            return;
        }
    }
    runs.push(next);
}
