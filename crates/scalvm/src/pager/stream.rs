//! What one reader of a file has read, for whoever can tell readers apart.

use crate::pager::tracks::Span;

/// The least that is asked for ahead of a sequential reader at a time, in pages.
const SMALL: u64 = 4;
/// The most that is asked for at a time; half of what is ahead of it at most.
const LARGE: u64 = 16;

/// The state of one reader of an object: a kernel has one with each open file, and gives it to
/// [`Object::read_ahead`](crate::Object::read_ahead) before each read(2). It may be copied and
/// thrown away at will.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stream {
    /// Where the last read ended.
    position: u64,
    /// The first page that has not been asked for.
    next: u64,
    /// How much is asked for ahead at a time; 0 for none.
    window: u64,
}

impl Stream {
    /// A reader that has not read anything: from the start of a file it is taken for a sequential
    /// one.
    pub const fn new() -> Stream {
        Stream {
            position: 0,
            next: 0,
            window: 0,
        }
    }

    /// What to read for an access to so many pages: those that may have to be brought for it, and
    /// a window ahead, asked for when less than that is ahead.
    pub(super) fn access(&mut self, index: u64, count: u64) -> Option<Span> {
        let end = index.saturating_add(count);
        // The page in which the last read ended may be read on.
        let goes_on = index == self.position || index.checked_add(1) == Some(self.position);
        let asked = if goes_on { self.next.max(index) } else { index };
        self.window = if goes_on {
            (2 * self.window).clamp(SMALL, LARGE)
        } else {
            0
        };
        self.position = end;
        let mut until = end;
        if goes_on && asked < end.saturating_add(self.window) {
            until = asked.max(end).saturating_add(self.window);
        }
        self.next = if goes_on { asked.max(until) } else { until };
        let first = u32::try_from(index).ok()?;
        let count = (until - index).min(u64::from(u32::MAX - first) + 1);
        (count > 0).then_some(Span {
            first,
            count: count as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(first: u32, count: u32) -> Option<Span> {
        Some(Span { first, count })
    }

    #[test]
    fn a_sequential_reader_is_kept_ahead_of() {
        let mut stream = Stream::new();
        assert_eq!(stream.access(0, 1), span(0, 5));
        // Three are ahead, and then eight more.
        assert_eq!(stream.access(1, 1), span(1, 12));
        for at in 2..1000 {
            let span = stream.access(at, 1).expect("itself");
            assert!(u64::from(span.count) <= 1 + 2 * LARGE);
            let ahead = stream.next - (at + 1);
            assert!((8..2 * LARGE).contains(&ahead), "{ahead} at {at}");
        }
    }

    #[test]
    fn a_random_reader_gets_what_it_asks_for() {
        let mut stream = Stream::new();
        for at in [500, 20, 7000, 3] {
            assert_eq!(stream.access(at, 3), span(at as u32, 3));
        }
        assert_eq!(stream.access(6, 3), span(6, 3 + 4), "goes on");
    }

    #[test]
    fn small_reads_within_one_page_go_on() {
        let mut stream = Stream::new();
        stream.access(0, 1);
        assert_eq!(stream.access(0, 1).map(|span| span.first), Some(0));
        assert!(stream.window > 0);
    }

    #[test]
    fn what_no_object_has_is_not_asked_for() {
        let mut stream = Stream::new();
        assert_eq!(stream.access(u64::MAX, 2), None);
        assert_eq!(stream.access(u64::from(u32::MAX), 9), span(u32::MAX, 1));
        assert_eq!(stream.access(7, 0), None);
    }
}
