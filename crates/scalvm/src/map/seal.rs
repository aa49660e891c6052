//! Sealing: ranges whose place, rights and contents stay, after Linux's mseal(2).

use crate::addr::Prot;
use crate::error::MapError;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map, MapBody};
use crate::request::Share;

impl<M: Machine> Map<'_, M> {
    /// Seals a range, which has no holes: from now on it is not unmapped, replaced, moved or resized,
    /// its rights do not change, and what is private and may not be written is not discarded:
    /// [`MapError::Sealed`]. Nothing takes the seal away but the end of the address space,
    /// [`clear`](Map::clear) included. A child's copy is sealed too.
    pub fn seal(&self, start: usize, len: usize) -> Result<(), MapError> {
        let seal = |old| Attributes {
            sealed: true,
            ..old
        };
        self.change(start, len, |_| Ok(()), seal)
    }
}

impl Attributes {
    /// Whether a seal keeps the contents: who may write could destroy them anyway.
    pub fn keeps_contents(&self) -> bool {
        self.sealed && self.share == Share::Private && !self.prot.contains(Prot::WRITE)
    }
}

impl<M: Machine> MapBody<M> {
    /// Whether nothing in a range is sealed. The map is locked.
    pub fn unsealed(&self, start: usize, end: usize) -> Result<(), MapError> {
        self.none_in(start, end, |attributes| attributes.sealed)
    }

    /// Whether no entry of a range is like that; else it is [`MapError::Sealed`]. The map is locked.
    pub fn none_in(
        &self,
        start: usize,
        end: usize,
        like: impl Fn(Attributes) -> bool,
    ) -> Result<(), MapError> {
        let mut next = self.tree.at_or_above(start);
        while let Some(entry) = next.filter(|entry| entry.start.get() < end) {
            if like(entry.attributes()) {
                return Err(MapError::Sealed);
            }
            next = Tree::next(entry);
        }
        Ok(())
    }
}
