//! What an address space allows: how large it may become, where what may lie anywhere is put, whether
//! what is mapped from now on is wired, and whether anything may be written and executed.
//!
//! Each rule is a word of its own. They are asked with the map locked for writing, before anything is
//! changed; setting one takes no lock, and changes nothing that is mapped already.

use core::ops::Range;

use crate::addr::{PAGE_MASK, Prot, page_ceil};
use crate::error::{Limit, MapError};
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map, MapBody, MapWrite};
use crate::request::{Share, Wire};
use crate::sync::Field;

/// No limit.
const NONE: u64 = u64::MAX;

/// How large an address space may become, in bytes. What is larger already stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MapLimits {
    /// All entries.
    pub mapped: Option<u64>,
    /// Private entries that may be written and do not grow by themselves.
    pub data: Option<u64>,
    /// Wired entries.
    pub wired: Option<u64>,
    /// What grows by itself.
    pub stack: Option<u64>,
}

/// A map's rules.
pub(crate) struct Rules {
    mapped: Field<u64>,
    data: Field<u64>,
    wired: Field<u64>,
    pub stack: Field<u64>,
    /// Where what may lie anywhere is put first.
    floor: Field<usize>,
    ceiling: Field<usize>,
    future: Field<u8>,
    refuse_exec_gain: Field<bool>,
    /// No large leaves for anonymous memory (`large`).
    pub refuse_large: Field<bool>,
}

impl Rules {
    pub fn new(low: usize, high: usize) -> Rules {
        Rules {
            mapped: Field::new(NONE),
            data: Field::new(NONE),
            wired: Field::new(NONE),
            stack: Field::new(NONE),
            floor: Field::new(low),
            ceiling: Field::new(high),
            future: Field::new(0),
            refuse_exec_gain: Field::new(false),
            refuse_large: Field::new(false),
        }
    }

    /// A child's rules are its parent's, but that what it maps is not wired.
    pub fn inherit(&self, parent: &Rules) {
        self.set(parent.limits());
        self.floor.set(parent.floor.get());
        self.ceiling.set(parent.ceiling.get());
        self.refuse_exec_gain.set(parent.refuse_exec_gain.get());
        self.refuse_large.set(parent.refuse_large.get());
    }

    /// Where what may lie anywhere is put first.
    pub fn room(&self) -> Range<usize> {
        self.floor.get()..self.ceiling.get()
    }

    /// Whether what is mapped now is wired.
    pub fn future(&self) -> Option<Wire> {
        match self.future.get() {
            0 => None,
            1 => Some(Wire::Now),
            _ => Some(Wire::OnFault),
        }
    }

    /// Whether memory that has the rights `old` may be given the rights `new`; of a new mapping both are
    /// the same.
    pub fn may_have(&self, old: Prot, new: Prot) -> Result<(), MapError> {
        let gains = new.contains(Prot::WRITE) || !old.contains(Prot::EXEC);
        if self.refuse_exec_gain.get() && new.contains(Prot::EXEC) && gains {
            return Err(MapError::ExecGain);
        }
        Ok(())
    }

    fn limits(&self) -> MapLimits {
        let get = |word: &Field<u64>| Some(word.get()).filter(|&bytes| bytes != NONE);
        MapLimits {
            mapped: get(&self.mapped),
            data: get(&self.data),
            wired: get(&self.wired),
            stack: get(&self.stack),
        }
    }

    fn set(&self, limits: MapLimits) {
        let MapLimits {
            mapped,
            data,
            wired,
            stack,
        } = limits;
        self.mapped.set(mapped.unwrap_or(NONE));
        self.data.set(data.unwrap_or(NONE));
        self.wired.set(wired.unwrap_or(NONE));
        self.stack.set(stack.unwrap_or(NONE));
    }
}

impl Attributes {
    /// Whether such memory counts as data.
    pub fn is_data(&self) -> bool {
        self.share == Share::Private && self.prot.contains(Prot::WRITE) && !self.grows
    }
}

impl<M: Machine> MapBody<M> {
    /// Whether `add` bytes with these attributes may be added, where `replaced` bytes leave.
    pub fn may_add(
        &self,
        attributes: Attributes,
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

    /// Whether `bytes` more may be mapped.
    pub fn may_map(&self, bytes: usize) -> Result<(), MapError> {
        within(&self.rules.mapped, self.bytes.get(), bytes, Limit::Mapped)
    }

    /// Whether `bytes` more may be data.
    pub fn may_add_data(&self, bytes: usize) -> Result<(), MapError> {
        within(&self.rules.data, self.data.get(), bytes, Limit::Data)
    }

    /// Whether `bytes` more may be wired.
    pub fn may_wire(&self, bytes: usize) -> Result<(), MapError> {
        within(&self.rules.wired, self.wired.get(), bytes, Limit::Wired)
    }
}

fn within(limit: &Field<u64>, now: usize, more: usize, which: Limit) -> Result<(), MapError> {
    if more > 0 && now.saturating_add(more) as u64 > limit.get() {
        return Err(MapError::OverLimit(which));
    }
    Ok(())
}

impl<M: Machine> MapWrite<'_, M> {
    /// Bytes of a range that are mapped.
    pub fn bytes_in(&self, start: usize, end: usize) -> usize {
        self.bytes_like(start, end, |_| true)
    }

    /// Bytes of a range that are mapped by entries like that.
    pub fn bytes_like(&self, start: usize, end: usize, like: impl Fn(Attributes) -> bool) -> usize {
        let mut bytes = 0;
        let mut next = self.map.tree.at_or_above(start);
        while let Some(entry) = next.filter(|entry| entry.start.get() < end) {
            if like(entry.attributes()) {
                bytes += entry.end.get().min(end) - entry.start.get().max(start);
            }
            next = Tree::next(entry);
        }
        bytes
    }
}

impl<M: Machine> Map<'_, M> {
    /// Limits how large the address space may become; what would exceed a limit is refused with
    /// [`MapError::OverLimit`] before anything has changed. A child has its parent's limits. For what
    /// it may keep in memory see [`set_resident_limits`](Map::set_resident_limits).
    pub fn set_limits(&self, limits: MapLimits) {
        self.body.target().rules.set(limits);
    }

    /// The limits.
    pub fn limits(&self) -> MapLimits {
        self.body.target().rules.limits()
    }

    /// Says where what may lie anywhere is put: from `low` to `high`, exclusive, as long as there is
    /// room, then at any other place above `low`. Both are rounded to whole pages, inwards. So a kernel
    /// keeps addresses free: for a stack that grows, or page 0. A child has its parent's room.
    pub fn set_room(&self, low: usize, high: usize) {
        let body = self.body.target();
        let low = page_ceil(low).unwrap_or(body.high).max(body.low);
        let high = (high & !PAGE_MASK).min(body.high);
        body.rules.floor.set(low.min(high));
        body.rules.ceiling.set(high);
    }

    /// Says whether what is mapped from now on is wired. A child's is not, until it says so itself.
    pub fn set_wire_future(&self, how: Option<Wire>) {
        self.body.target().rules.future.set(match how {
            None => 0,
            Some(Wire::Now) => 1,
            Some(Wire::OnFault) => 2,
        });
    }

    /// Whether what is mapped from now on is wired.
    pub fn wire_future(&self) -> Option<Wire> {
        self.body.target().rules.future()
    }

    /// Says whether memory is refused, with [`MapError::ExecGain`], that may be written and executed, or
    /// that becomes executable after it was not: so a program can never execute what it wrote itself. A
    /// child has its parent's rule.
    pub fn set_refuse_exec_gain(&self, refuse: bool) {
        self.body.target().rules.refuse_exec_gain.set(refuse);
    }

    /// Whether it is refused.
    pub fn refuses_exec_gain(&self) -> bool {
        self.body.target().rules.refuse_exec_gain.get()
    }
}
