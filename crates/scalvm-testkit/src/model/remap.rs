//! Moving and resizing of mappings, as mremap(2) does it.

use scalvm::{MapError, PAGE_MASK, Remap, page_ceil};

use super::area::{Area, Attributes};
use super::space::{Space, pages};

/// No object has more pages.
const MOST_PAGES: u64 = 1 << 32;

impl Space {
    /// Whether a remap is refused.
    pub fn may_remap(
        &self,
        old: usize,
        old_len: usize,
        new_len: usize,
        how: Remap,
    ) -> Result<(), MapError> {
        let old = self.range(old, old_len)?;
        let new_len = page_ceil(new_len)
            .filter(|&len| len != 0)
            .ok_or(MapError::BadRange)?;
        let is_fixed = matches!(how, Remap::Fixed(_));
        if let Remap::Fixed(to) = how {
            let new = self.range(to, new_len)?;
            if new.start < old.end && old.start < new.end {
                return Err(MapError::BadRange);
            }
        }
        old.start.checked_add(new_len).ok_or(MapError::NoSpace)?;
        self.area(old.start).ok_or(MapError::NotMapped)?;
        self.unsealed(&old)?;
        if let Remap::Fixed(to) = how {
            self.unsealed(&(to..to + new_len))?;
        }
        if new_len < old.len() && !is_fixed {
            // What is cut off need not be mapped.
            return Ok(());
        }
        if !self.is_full(&(old.start..old.end.min(old.start + new_len))) {
            return Err(MapError::NotMapped);
        }
        // What is added goes on with the last area.
        let end = old.end.min(old.start + new_len);
        let (start, area) = self.area(end - 1).ok_or(MapError::NotMapped)?;
        if new_len > old.len() {
            let replaced = match how {
                Remap::Fixed(to) => self.bytes(&(to..to + new_len), |_| true),
                _ => 0,
            };
            self.may_add(&area.attributes, new_len - old.len(), replaced)?;
        }
        let in_place = new_len <= old.len() || {
            let end = old
                .start
                .checked_add(new_len)
                .filter(|&end| end <= self.high);
            end.is_some_and(|end| self.is_free(&(old.end..end)))
        };
        let may_move = how == Remap::MayMove && self.has_gap(new_len);
        if !is_fixed && !in_place && !may_move {
            return Err(MapError::NoSpace);
        }
        // What is added must have a page number in the object.
        let first = area
            .source
            .as_ref()
            .map_or(0, |(_, first)| first + pages(end - start));
        let added = pages(new_len).saturating_sub(pages(old.len()));
        let end = first + added;
        if added > 0 && end > MOST_PAGES {
            return Err(MapError::BadOffset);
        }
        Ok(())
    }

    /// Carries out what a remap does that fails since what it should move has a hole: it has shrunk.
    pub fn shrink(&mut self, old: usize, old_len: usize, new_len: usize) {
        let kept = page_ceil(new_len).expect("not refused");
        let len = page_ceil(old_len).expect("not refused");
        if kept < len {
            self.take(&(old + kept..old + len));
        }
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
                            .is_ok_and(|range| self.is_clear(&range))
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

    /// Whether moving a range away, which leaves one of its kind behind, is refused.
    pub fn may_remap_keeping(
        &self,
        old: usize,
        len: usize,
        to: Option<usize>,
    ) -> Result<(), MapError> {
        let old = self.range(old, len)?;
        let new = to.map(|to| self.range(to, old.len())).transpose()?;
        if new
            .as_ref()
            .is_some_and(|new| new.start < old.end && old.start < new.end)
        {
            return Err(MapError::BadRange);
        }
        self.area(old.start).ok_or(MapError::NotMapped)?;
        self.unsealed(&old)?;
        new.as_ref().map_or(Ok(()), |new| self.unsealed(new))?;
        if !self.is_full(&old) {
            return Err(MapError::NotMapped);
        }
        let replaced = new.as_ref().map_or(0, |new| self.bytes(new, |_| true));
        self.may_map(old.len().saturating_sub(replaced))?;
        let data = self.bytes(&old, Attributes::is_data);
        self.may_add_data(data.saturating_sub(replaced))?;
        if new.is_none() && !self.has_gap(old.len()) {
            return Err(MapError::NoSpace);
        }
        Ok(())
    }

    /// Carries that out. An explanation is given where `to` is not allowed.
    pub fn remap_keeping(
        &mut self,
        old: usize,
        len: usize,
        wanted: Option<usize>,
        to: usize,
    ) -> Result<(), String> {
        let range = self.range(old, len).expect("not refused");
        let new = self
            .range(to, len)
            .map_err(|_| format!("moved to {to:#x}"))?;
        if wanted.map_or(!self.is_clear(&new), |wanted| wanted != to) {
            return Err(format!("moved to {to:#x}"));
        }
        let stays: Vec<_> = self
            .within(&range)
            .map(|(start, area)| (start, area.clone()))
            .collect();
        self.shift(old, range.len(), to);
        for (start, mut area) in stays {
            area.attributes.wired = false;
            area.attributes.on_fault = false;
            area.attributes.renew();
            if area.layer.is_some() {
                area.layer = Area::empty_layer();
            }
            self.areas.insert(start, area);
        }
        Ok(())
    }
}
