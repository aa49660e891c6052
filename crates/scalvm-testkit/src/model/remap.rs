//! Moving and resizing of mappings, as mremap(2) does it.

use std::ops::Range;

use scalvm::{MapError, PAGE_MASK, PAGE_SIZE, Remap, page_ceil};

use super::space::{Space, pages};

/// No object has more pages.
const MOST_PAGES: u64 = 1 << 32;

impl Space {
    /// Whether a remap is refused. Where the old range is full, but not certainly a single mapping (made by
    /// one call, and with the same attributes all over), it may be refused for that too, with `NotMapped`: that is
    /// told by false.
    pub fn may_remap(
        &mut self,
        old: usize,
        old_len: usize,
        new_len: usize,
        how: Remap,
    ) -> (bool, Result<(), MapError>) {
        match self.range(old, old_len) {
            Ok(range) if self.is_full(&range) => (
                self.is_single(&range),
                self.may_remap_single(range, new_len, how),
            ),
            Ok(range) => (true, self.may_remap_single(range, new_len, how)),
            Err(error) => (true, Err(error)),
        }
    }

    fn may_remap_single(
        &self,
        old: Range<usize>,
        new_len: usize,
        how: Remap,
    ) -> Result<(), MapError> {
        let new_len = page_ceil(new_len)
            .filter(|&len| len != 0)
            .ok_or(MapError::BadRange)?;
        if let Remap::Fixed(to) = how {
            let new = self.range(to, new_len)?;
            if new.start < old.end && old.start < new.end {
                return Err(MapError::BadRange);
            }
        }
        if !self.is_full(&old) {
            return Err(MapError::NotMapped);
        }
        let in_place = new_len <= old.len() || {
            let end = old
                .start
                .checked_add(new_len)
                .filter(|&end| end <= self.high);
            end.is_some_and(|end| self.is_free(&(old.end..end)))
        };
        match how {
            Remap::Fixed(_) => {}
            _ if in_place => {}
            Remap::MayMove if self.has_gap(new_len) => {}
            _ => return Err(MapError::NoSpace),
        }
        // What is added must have a page number in the object.
        let (start, area) = self.area(old.start).expect("the range is full");
        let first = area.source.as_ref().map_or(0, |(_, first)| first + pages(old.start - start));
        let added = pages(new_len).saturating_sub(pages(old.len()));
        let end = if area.source.is_some() { first + pages(new_len) } else { added };
        if added > 0 && end > MOST_PAGES {
            return Err(MapError::BadOffset);
        }
        Ok(())
    }

    /// Carries out a remap that was not refused. `to` is where the manager says it put the mapping; an
    /// explanation is given where that is not allowed.
    pub fn remap(
        &mut self,
        old: usize,
        old_len: usize,
        new_len: usize,
        how: Remap,
        to: usize,
    ) -> Result<(), String> {
        let old_len = page_ceil(old_len).expect("not refused");
        let new_len = page_ceil(new_len).expect("not refused");
        let kept = old_len.min(new_len);
        self.take(&(old + kept..old + old_len));
        if to != old {
            let allowed = match how {
                Remap::InPlace => false,
                Remap::MayMove => {
                    to & PAGE_MASK == 0
                        && self
                            .range(to, new_len)
                            .is_ok_and(|range| self.is_free(&range))
                }
                Remap::Fixed(wanted) => to == wanted,
            };
            if !allowed {
                return Err(format!("moved to {to:#x}"));
            }
            self.take(&(to..to + new_len));
            self.shift(old, kept, to);
        }
        if new_len > old_len {
            self.grow(to + old_len, new_len - old_len);
        }
        Ok(())
    }

    /// Whether a full range was made by one call and has the same attributes all over.
    fn is_single(&self, range: &Range<usize>) -> bool {
        let (start, first) = self.area(range.start).expect("the range is full");
        let mut at = first.end;
        while at < range.end {
            let (_, next) = self.area(at).expect("the range is full");
            let expected = first.tail(pages(at - start));
            if next.birth != first.birth
                || next.attributes != first.attributes
                || next.source.as_ref().map(|(_, page)| page)
                    != expected.source.as_ref().map(|(_, page)| page)
            {
                return false;
            }
            at = next.end;
        }
        debug_assert!(at.is_multiple_of(PAGE_SIZE));
        true
    }
}
