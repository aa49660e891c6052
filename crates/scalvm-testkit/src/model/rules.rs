//! What a space allows, and what grows within it.

use std::ops::Range;

use scalvm::{Limit, MapError, MapLimits, Prot, Share, Wire, page_floor};

use super::area::{Area, Attributes};
use super::space::{GUARD, Space, pages};

/// What a space allows.
#[derive(Clone)]
pub struct Rules {
    /// How large it may become.
    pub limits: MapLimits,
    /// What may lie anywhere lies at or above this address.
    pub floor: usize,
    /// Whether what is mapped from now on is wired.
    pub future: Option<Wire>,
    /// Whether nothing may become executable.
    pub refuse_exec_gain: bool,
}

impl Rules {
    /// Whatever one likes.
    pub fn new(floor: usize) -> Rules {
        Rules {
            limits: MapLimits::default(),
            floor,
            future: None,
            refuse_exec_gain: false,
        }
    }

    /// Whether rights may be changed like that.
    pub fn may_have(&self, old: Prot, new: Prot) -> Result<(), MapError> {
        let allowed = !self.refuse_exec_gain
            || !new.contains(Prot::EXEC)
            || old.contains(Prot::EXEC) && !new.contains(Prot::WRITE);
        allowed.then_some(()).ok_or(MapError::ExecGain)
    }
}

fn within(limit: Option<u64>, bytes: usize, which: Limit) -> Result<(), MapError> {
    match limit {
        Some(limit) if bytes as u64 > limit => Err(MapError::OverLimit(which)),
        _ => Ok(()),
    }
}

impl Space {
    /// Bytes of a range in areas that are like that.
    pub fn bytes(&self, range: &Range<usize>, like: impl Fn(&Attributes) -> bool) -> usize {
        self.areas
            .iter()
            .filter(|(start, area)| **start < range.end && area.end > range.start)
            .filter(|(_, area)| like(&area.attributes))
            .map(|(start, area)| area.end.min(range.end) - (*start).max(range.start))
            .sum()
    }

    fn total(&self, like: impl Fn(&Attributes) -> bool) -> usize {
        self.bytes(&(self.low..self.high), like)
    }

    /// Whether anything in a range is sealed.
    pub fn unsealed(&self, range: &Range<usize>) -> Result<(), MapError> {
        match self.bytes(range, |attributes| attributes.sealed) {
            0 => Ok(()),
            _ => Err(MapError::Sealed),
        }
    }

    /// Whether no seal keeps contents in a range.
    pub fn may_discard(&self, range: &Range<usize>) -> Result<(), MapError> {
        let kept =
            |a: &Attributes| a.sealed && a.share == Share::Private && !a.prot.contains(Prot::WRITE);
        match self.bytes(range, kept) {
            0 => Ok(()),
            _ => Err(MapError::Sealed),
        }
    }

    /// Whether bytes may be added, in the place of others.
    pub fn may_add(
        &self,
        attributes: &Attributes,
        add: usize,
        replaced: usize,
    ) -> Result<(), MapError> {
        let more = add.saturating_sub(replaced);
        self.may_map(more)?;
        if attributes.is_data() {
            self.may_add_data(more)?;
        }
        if attributes.wired {
            self.may_wire(add)?;
        }
        Ok(())
    }

    /// Whether bytes more may be mapped.
    pub fn may_map(&self, bytes: usize) -> Result<(), MapError> {
        let mapped = self.total(|_| true) + bytes;
        within(
            self.rules.limits.mapped.filter(|_| bytes > 0),
            mapped,
            Limit::Mapped,
        )
    }

    /// Whether bytes more may be data.
    pub fn may_add_data(&self, bytes: usize) -> Result<(), MapError> {
        let data = self.total(Attributes::is_data) + bytes;
        within(
            self.rules.limits.data.filter(|_| bytes > 0),
            data,
            Limit::Data,
        )
    }

    /// Whether bytes more may be wired.
    pub fn may_wire(&self, bytes: usize) -> Result<(), MapError> {
        let wired = self.total(|attributes| attributes.wired) + bytes;
        within(
            self.rules.limits.wired.filter(|_| bytes > 0),
            wired,
            Limit::Wired,
        )
    }

    /// Marks all that is mapped wired, or no more.
    pub fn wire_all(&mut self, how: Option<Wire>) -> Result<(), MapError> {
        if how.is_some() {
            self.may_wire(self.total(|attributes| !attributes.wired))?;
        }
        for area in self.areas.values_mut() {
            area.attributes.wired = how.is_some();
            area.attributes.on_fault = how == Some(Wire::OnFault);
        }
        Ok(())
    }

    /// Seals a range.
    pub fn seal(&mut self, start: usize, len: usize) -> Result<(), MapError> {
        self.set(start, len, |attributes| attributes.sealed = true)
    }

    /// Lengthens what lies above an address down to it, if that grows.
    pub fn grow_down(&mut self, addr: usize) -> Result<(), MapError> {
        let va = page_floor(addr);
        if let Some((_, here)) = self.area(va) {
            return if here.attributes.guarded {
                Err(MapError::NotMapped)
            } else {
                Ok(())
            };
        }
        let (&end, area) = self.areas.range(va..).next().ok_or(MapError::NotMapped)?;
        let attributes = Attributes {
            guarded: false,
            ..area.attributes
        };
        if !attributes.grows {
            return Err(MapError::NotMapped);
        }
        if va < self.low {
            return Err(MapError::BadRange);
        }
        if let Some((_, below)) = self.areas.range(..va).next_back() {
            let Attributes { prot, grows, .. } = below.attributes;
            if va - below.end < GUARD && !grows && !prot.is_empty() {
                return Err(MapError::NoSpace);
            }
        }
        if pages(end - va) >= 1 << 32 {
            return Err(MapError::NoSpace);
        }
        let mut top = end;
        while let Some((_, area)) = self.area(top).filter(|(_, area)| area.attributes.grows) {
            top = area.end;
        }
        within(self.rules.limits.stack, top - va, Limit::Stack)?;
        self.may_add(&attributes, end - va, 0)?;
        let mut attributes = attributes;
        attributes.renew();
        let new = Area {
            end,
            attributes,
            layer: Area::empty_layer(),
            source: None,
        };
        self.areas.insert(va, new);
        Ok(())
    }
}
