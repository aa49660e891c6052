//! Which pages of an object are read one after the other, found out from the pages that are missed.
//!
//! Up to four sequences of accesses are followed at a time, as *tracks*. A miss that continues none
//! begins one, in the place of the one that has not moved for longest, and brings a few pages; a
//! second one that goes on where the first ended confirms it, and from then on twice as many are
//! brought each time. One page of what has been brought ahead is the *trigger*: its first use asks
//! for the next window, before the reader gets there. So a reader finds one window in memory while
//! the next one is being read.
//!
//! Where a request for several pages fails, each of them is read alone when it is missed next, so
//! that only those fail that are bad.
//!
//! What tells against reading ahead: where tracks end that were never confirmed, as random accesses
//! leave them, misses soon bring their own page alone; and a miss within what has been brought means
//! that it was dropped before it was used, so the window is halved.

use crate::request::Advice;
use crate::sync::Field;

/// Sequences that are followed at a time (arbitrary: a copy, a merge, a linker's passes).
const TRACKS: usize = 4;
/// Pages that the first miss of a track brings.
const SMALL: u32 = 4;
/// The most pages of a window.
const LARGE: u32 = 16;
/// So many tracks more that ended unconfirmed, and a miss brings one page (arbitrary).
const STRAYS: u32 = 3;
/// So many requests that failed, more than those that did not, and all pages are read alone: so that
/// two readers at two bad places do not make each other forget theirs for ever.
const FAILURES: u32 = 8;
/// No page: objects have fewer pages than would make it the trigger of anything.
const NONE: u32 = u32::MAX;

/// A run of pages that are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub first: u32,
    pub count: u32,
}

/// A sequence of accesses.
#[derive(Clone, Copy)]
struct Track {
    /// Where the window that the reader is in begins.
    from: u32,
    /// The first page that has not been asked for.
    next: u32,
    trigger: u32,
    /// Pages of the last window; 0 for no track.
    window: u32,
    confirmed: bool,
}

impl Track {
    const EMPTY: Track = Track {
        from: NONE,
        next: NONE,
        trigger: NONE,
        window: 0,
        confirmed: false,
    };

    /// Whether a miss of this page goes on with what the track has seen.
    fn expects(&self, index: u32) -> bool {
        self.window > 0 && (self.from..=self.next).contains(&index)
    }

    /// One that begins with a miss.
    fn begin(index: u32, window: u32) -> Track {
        let next = index.saturating_add(window);
        Track {
            from: index,
            next,
            trigger: if window > 1 { next - 1 } else { NONE },
            window,
            confirmed: false,
        }
    }

    /// A miss that the track expects.
    fn go_on(&mut self, index: u32) {
        self.window = if index < self.next {
            (self.window / 2).max(SMALL)
        } else {
            grown(self.window)
        };
        self.from = index;
        self.next = index.saturating_add(self.window);
        self.trigger = index.saturating_add(1);
        self.confirmed = true;
    }

    /// The trigger is used: the next window.
    fn pull(&mut self) -> Span {
        self.window = grown(self.window);
        let span = Span {
            first: self.next,
            count: self.window,
        };
        self.from = self.trigger;
        self.trigger = self.next;
        self.next = self.next.saturating_add(self.window);
        self.confirmed = true;
        span
    }
}

fn grown(window: u32) -> u32 {
    (window * 2).clamp(SMALL, LARGE)
}

/// A [`Track`] at rest.
struct Cell {
    from: Field<u32>,
    next: Field<u32>,
    trigger: Field<u32>,
    window: Field<u32>,
    confirmed: Field<bool>,
}

impl Cell {
    fn new() -> Cell {
        let Track {
            from,
            next,
            trigger,
            window,
            confirmed,
        } = Track::EMPTY;
        Cell {
            from: Field::new(from),
            next: Field::new(next),
            trigger: Field::new(trigger),
            window: Field::new(window),
            confirmed: Field::new(confirmed),
        }
    }

    fn get(&self) -> Track {
        Track {
            from: self.from.get(),
            next: self.next.get(),
            trigger: self.trigger.get(),
            window: self.window.get(),
            confirmed: self.confirmed.get(),
        }
    }

    fn set(&self, track: Track) {
        self.from.set(track.from);
        self.next.set(track.next);
        self.trigger.set(track.trigger);
        self.window.set(track.window);
        self.confirmed.set(track.confirmed);
    }
}

/// The tracks of one object. Its lock.
pub(crate) struct Tracks {
    /// The one that has moved last comes first.
    cells: [Cell; TRACKS],
    /// Tracks that ended unconfirmed, more than those that were confirmed.
    strays: Field<u32>,
    /// The last request that failed: its first page, and how many.
    bad: (Field<u32>, Field<u32>),
    /// Requests that failed, more than those that did not.
    failures: Field<u32>,
    /// What a trigger asked for, until whoever used it has let go of the lock.
    pending: (Field<u32>, Field<u32>),
}

impl Tracks {
    pub fn new() -> Tracks {
        Tracks {
            cells: core::array::from_fn(|_| Cell::new()),
            strays: Field::new(0),
            bad: (Field::new(0), Field::new(0)),
            failures: Field::new(0),
            pending: (Field::new(0), Field::new(0)),
        }
    }

    /// What to read for a page that is missed: itself, and what follows it.
    pub fn miss(&self, index: u32, advice: Advice) -> Span {
        if self.failures.get() >= FAILURES
            || index.wrapping_sub(self.bad.0.get()) < self.bad.1.get()
        {
            return Span {
                first: index,
                count: 1,
            };
        }
        let known = self.find(|track| track.expects(index));
        let mut track;
        match known {
            Some(place) => {
                track = self.cells[place].get();
                self.confirm(&track);
                track.go_on(index);
                self.to_front(place, track);
            }
            None => {
                let place = self.victim();
                let old = self.cells[place].get();
                if old.window > 0 && !old.confirmed {
                    self.strays.set((self.strays.get() + 1).min(2 * STRAYS));
                }
                let few = if self.strays.get() < STRAYS { SMALL } else { 1 };
                track = Track::begin(index, few);
                self.to_front(place, track);
            }
        }
        if advice == Advice::Sequential {
            // As much as can be under way: two windows.
            track.window = LARGE;
            track.trigger = index.saturating_add(LARGE);
            track.next = track.trigger.saturating_add(LARGE);
            track.confirmed = true;
            self.cells[0].set(track);
        }
        Span {
            first: index,
            count: track.next - track.from,
        }
    }

    /// Notes the first use of a page that was brought ahead, or the wait for one.
    pub fn used(&self, index: u32) {
        let Some(place) = self.find(|track| track.expects(index)) else {
            return;
        };
        let mut track = self.cells[place].get();
        if track.trigger == index && index != NONE {
            self.confirm(&track);
            let span = track.pull();
            self.pending.0.set(span.first);
            self.pending.1.set(span.count);
        }
        self.to_front(place, track);
    }

    /// Whether the first use of this page must be seen.
    pub fn is_trigger(&self, index: u32) -> bool {
        self.find(|track| track.trigger == index).is_some()
    }

    /// What a trigger asked for.
    #[inline]
    pub fn take_pending(&self) -> Option<Span> {
        let count = self.pending.1.get();
        if count == 0 {
            return None;
        }
        self.pending.1.set(0);
        Some(Span {
            first: self.pending.0.get(),
            count,
        })
    }

    /// Notes that a request for several pages has failed.
    pub fn failed(&self, span: Span) {
        self.bad.0.set(span.first);
        self.bad.1.set(span.count);
        self.failures
            .set((self.failures.get() + 1).min(2 * FAILURES));
    }

    /// Notes that one has not.
    pub fn succeeded(&self) {
        self.failures.set(self.failures.get().saturating_sub(1));
    }

    fn find(&self, is: impl Fn(&Track) -> bool) -> Option<usize> {
        self.cells.iter().position(|cell| is(&cell.get()))
    }

    /// The place of the track that makes room: the one that has not moved for longest, or the one
    /// next to it if that is confirmed and this is not. So one stream outlasts random accesses.
    fn victim(&self) -> usize {
        let last = TRACKS - 1;
        let confirmed = |place: usize| self.cells[place].get().confirmed;
        if confirmed(last) && !confirmed(last - 1) {
            last - 1
        } else {
            last
        }
    }

    /// A track that goes on for the first time tells that reading ahead is of use.
    fn confirm(&self, track: &Track) {
        if !track.confirmed {
            self.strays.set(self.strays.get() / 2);
        }
    }

    /// Moves a track, which is `track` now, to the front.
    fn to_front(&self, place: usize, track: Track) {
        for i in (0..place).rev() {
            self.cells[i + 1].set(self.cells[i].get());
        }
        self.cells[0].set(track);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::collections::BTreeSet;
    use std::vec;
    use std::vec::Vec;

    /// Pages in memory, of an object whose accesses are followed.
    struct Reader {
        tracks: Tracks,
        ahead: BTreeSet<u32>,
        here: BTreeSet<u32>,
        spans: Vec<Span>,
    }

    impl Reader {
        fn new() -> Reader {
            Reader {
                tracks: Tracks::new(),
                ahead: BTreeSet::new(),
                here: BTreeSet::new(),
                spans: Vec::new(),
            }
        }

        fn bring(&mut self, span: Span, wanted: bool) {
            self.spans.push(span);
            for index in span.first..span.first + span.count {
                if self.here.insert(index) && !(wanted && index == span.first) {
                    self.ahead.insert(index);
                }
            }
        }

        /// True if the page was not there.
        fn access(&mut self, index: u32) -> bool {
            let missed = !self.here.contains(&index);
            if missed {
                let span = self.tracks.miss(index, Advice::Normal);
                assert_eq!(span.first, index);
                self.bring(span, true);
            } else if self.ahead.remove(&index) {
                self.tracks.used(index);
                if let Some(span) = self.tracks.take_pending() {
                    self.bring(span, false);
                }
            }
            missed
        }
    }

    #[test]
    fn a_sequential_reader_misses_once() {
        let mut reader = Reader::new();
        let missed: Vec<u32> = (0..500).filter(|i| reader.access(*i)).collect();
        assert_eq!(missed, vec![0]);
        let counts: Vec<u32> = reader.spans.iter().map(|span| span.count).collect();
        assert_eq!(counts[..4], [4, 8, 16, 16]);
        // One window ahead, and no more.
        assert!(reader.here.len() <= 500 + 2 * LARGE as usize);
    }

    #[test]
    fn four_interleaved_readers_miss_once_each() {
        let mut reader = Reader::new();
        let mut missed = 0;
        for i in 0..300 {
            for stream in 0..4 {
                missed += u32::from(reader.access(stream * 10_000 + i));
            }
        }
        assert_eq!(missed, 4);
    }

    #[test]
    fn random_accesses_soon_bring_one_page_each() {
        let mut reader = Reader::new();
        let mut random = Random(5);
        for _ in 0..1000 {
            reader.access(random.below(1_000_000) as u32);
        }
        let brought: u32 = reader.spans.iter().map(|span| span.count).sum();
        assert!(brought < 1050, "{brought}");
    }

    #[test]
    fn a_stream_outlasts_random_accesses_between_its_own() {
        let mut reader = Reader::new();
        let mut random = Random(7);
        let mut missed = 0;
        for i in 0..1000 {
            missed += u32::from(reader.access(i));
            for _ in 0..3 {
                reader.access(100_000 + random.below(1_000_000) as u32);
            }
        }
        assert!(missed < 10, "{missed}");
    }

    #[test]
    fn a_stream_that_begins_among_random_accesses_gets_its_window() {
        let mut reader = Reader::new();
        let mut random = Random(9);
        for _ in 0..100 {
            reader.access(100_000 + random.below(1_000_000) as u32);
        }
        let missed = (0..200).filter(|i| reader.access(*i)).count();
        assert!(missed <= 2, "{missed}");
    }

    #[test]
    fn what_is_dropped_unused_halves_the_window() {
        let tracks = Tracks::new();
        let mut at = 0;
        for _ in 0..4 {
            at += tracks.miss(at, Advice::Normal).count;
        }
        assert_eq!(tracks.miss(at, Advice::Normal).count, LARGE);
        // It missed the first page of the window: the rest was dropped before it came there.
        assert_eq!(tracks.miss(at + 1, Advice::Normal).count, LARGE / 2);
        assert_eq!(tracks.miss(at + 2, Advice::Normal).count, SMALL);
        assert_eq!(tracks.miss(at + 2 + SMALL, Advice::Normal).count, LARGE / 2);
    }

    #[test]
    fn what_failed_together_is_read_alone() {
        let tracks = Tracks::new();
        let span = tracks.miss(100, Advice::Normal);
        assert_eq!(span.count, SMALL);
        tracks.failed(span);
        for index in 100..100 + SMALL {
            assert_eq!(tracks.miss(index, Advice::Sequential).count, 1);
        }
        assert!(tracks.miss(100 + SMALL, Advice::Normal).count > 1);
        // Two readers, each of which makes the other's failure forgotten.
        let mut tried = 0;
        while let span = tracks.miss(if tried % 2 == 0 { 0 } else { 500 }, Advice::Normal)
            && span.count > 1
        {
            tracks.failed(span);
            tried += 1;
        }
        assert!(tried <= FAILURES);
        (0..=FAILURES).for_each(|_| tracks.succeeded());
        assert!(tracks.miss(7000, Advice::Normal).count > 1);
    }

    #[test]
    fn advice_saves_the_learning() {
        let tracks = Tracks::new();
        let span = tracks.miss(7, Advice::Sequential);
        assert_eq!((span.first, span.count), (7, 2 * LARGE));
        tracks.used(7 + LARGE);
        let next = Span {
            first: 7 + 2 * LARGE,
            count: LARGE,
        };
        assert_eq!(tracks.take_pending(), Some(next));
        assert_eq!(tracks.take_pending(), None);
    }

    #[test]
    fn the_last_page_there_can_be_is_no_trouble() {
        let tracks = Tracks::new();
        for advice in [Advice::Normal, Advice::Sequential] {
            for index in [
                u32::MAX - 20,
                u32::MAX - 3,
                u32::MAX - 1,
                u32::MAX,
                u32::MAX,
            ] {
                assert_eq!(tracks.miss(index, advice).first, index);
                tracks.used(index);
                tracks.take_pending();
            }
        }
    }
}
