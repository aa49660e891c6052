//! [`Ring`]: the bytes of a pipe, or another stream: a queue of [`Segment`]s.
//!
//! Bytes that are copied in fill the last segment before a new one begins, so that small writes share pages. Pages
//! of the kernel's own are taken when bytes come to lie in them and given back when the last byte has left, but
//! for one: a pipe that passes small messages uses the same page again and again.
//!
//! Invariants: `len` is the bytes of all segments; only the last segment may have none, where bytes were about to
//! be written.

use core::ptr;

use scalvm::PAGE_SIZE;

use super::segment::{Page, Segment, new_page};
use crate::linux::Errno;

/// The most segments in a ring.
const SEGMENTS: usize = 16;
/// The most bytes in a ring: what Linux's pipes hold.
pub const CAPACITY: usize = SEGMENTS * PAGE_SIZE;

/// A queue of bytes.
pub struct Ring {
    segments: [Option<Segment>; SEGMENTS],
    /// Where the first segment is, and how many there are.
    first: usize,
    count: usize,
    len: usize,
    /// A page for the next segment.
    spare: Option<Page>,
}

impl Ring {
    /// No bytes, no pages.
    pub const fn new() -> Ring {
        Ring {
            segments: [const { None }; SEGMENTS],
            first: 0,
            count: 0,
            len: 0,
            spare: None,
        }
    }

    /// The bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many bytes may be copied in.
    pub fn room(&self) -> usize {
        let begun = self.last().filter(|last| last.len() > 0);
        self.free_segments() * PAGE_SIZE + begun.map_or(0, Segment::room)
    }

    /// How many segments may be pushed.
    pub fn free_segments(&self) -> usize {
        let empty = self.last().is_some_and(|last| last.len() == 0);
        SEGMENTS - self.count + usize::from(empty)
    }

    fn place(&self, nth: usize) -> usize {
        (self.first + nth) % SEGMENTS
    }

    fn last(&self) -> Option<&Segment> {
        let nth = self.count.checked_sub(1)?;
        self.segments[self.place(nth)].as_ref()
    }

    /// The first bytes that lie one behind the other: where, and how many. They stay until they are
    /// consumed.
    pub fn front(&self) -> (*const u8, usize) {
        match &self.segments[self.first] {
            Some(segment) => (segment.as_ptr(), segment.len()),
            None => (ptr::dangling(), 0),
        }
    }

    /// Takes the first `count` bytes away, which lie one behind the other.
    pub fn consume(&mut self, count: usize) {
        let Some(segment) = &mut self.segments[self.first] else {
            return;
        };
        segment.consume(count);
        self.len -= count;
        if segment.len() == 0 {
            self.drop_first();
        }
    }

    /// The first segment, or the first `most` bytes of it; none if there are no bytes.
    pub fn pop(&mut self, most: usize) -> Result<Option<Segment>, Errno> {
        if self.len == 0 {
            return Ok(None);
        }
        match &mut self.segments[self.first] {
            Some(segment) if segment.len() > most => {
                let part = segment.duplicate(most)?;
                segment.consume(most);
                self.len -= most;
                Ok(Some(part))
            }
            first => {
                let segment = first.take();
                self.len -= segment.as_ref().map_or(0, Segment::len);
                self.first_gone();
                Ok(segment)
            }
        }
    }

    /// A copy of segment number `nth`, or of the first `most` bytes of it, as [`Segment::duplicate`] makes it;
    /// none behind the last.
    pub fn duplicate(&self, nth: usize, most: usize) -> Result<Option<Segment>, Errno> {
        let segment = (nth < self.count).then(|| self.segments[self.place(nth)].as_ref());
        let segment = segment.flatten().filter(|segment| segment.len() > 0);
        segment.map(|segment| segment.duplicate(most)).transpose()
    }

    /// Appends a segment. ENOMEM if there is no place for it.
    pub fn push(&mut self, segment: Segment) -> Result<(), Errno> {
        // Where bytes were about to be written and were not.
        if self.last().is_some_and(|last| last.len() == 0) {
            self.count -= 1;
            let place = self.place(self.count);
            self.keep(place);
        }
        if self.count == SEGMENTS {
            return Err(Errno::ENOMEM);
        }
        self.len += segment.len();
        let place = self.place(self.count);
        self.segments[place] = Some(segment);
        self.count += 1;
        Ok(())
    }

    /// The first free bytes that lie one behind the other: where, and how many. They stay free until
    /// they are produced. ENOMEM if there is no page.
    pub fn back(&mut self) -> Result<(*mut u8, usize), Errno> {
        if self.last().is_none_or(|last| last.room() == 0) {
            if self.count == SEGMENTS {
                return Err(Errno::ENOMEM);
            }
            let page = self.spare.take().map_or_else(new_page, Ok)?;
            let place = self.place(self.count);
            self.segments[place] = Some(Segment::empty(page));
            self.count += 1;
        }
        let place = self.place(self.count - 1);
        let last = self.segments[place].as_mut().ok_or(Errno::ENOMEM)?;
        let room = last.room();
        Ok((last.end().ok_or(Errno::ENOMEM)?, room))
    }

    /// Appends the `count` bytes that were written where [`back`](Ring::back) said.
    pub fn produce(&mut self, count: usize) {
        let place = self.place(self.count.saturating_sub(1));
        if let Some(last) = &mut self.segments[place] {
            last.grow(count);
            self.len += count;
        }
    }

    /// Drops all bytes and pages.
    pub fn clear(&mut self) {
        *self = Ring::new();
    }

    /// The last byte of the first segment has left.
    fn drop_first(&mut self) {
        self.keep(self.first);
        self.first_gone();
    }

    fn first_gone(&mut self) {
        self.first = self.place(1);
        self.count -= 1;
    }

    /// Takes a segment out whose page may be used again.
    fn keep(&mut self, place: usize) {
        let page = self.segments[place].take().and_then(Segment::into_page);
        if self.spare.is_none() {
            self.spare = page;
        }
    }
}
