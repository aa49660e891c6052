//! The parts of entries that lie in a range: how the verbs that change no entry go through one.

use core::ops::Range;

use crate::addr::PAGE_SHIFT;
use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::body::MapRead;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map, MapEntry};
use crate::object::ObjectBody;

/// What an entry maps in a part of a range, told while the map was locked. The object is held.
pub(super) struct Part<M: Machine> {
    pub range: Range<usize>,
    pub attributes: Attributes,
    pub object: Option<Ptr<ObjectBody<M>>>,
    /// The first page of the part in the object, and the last.
    pub first: u32,
    pub last: u32,
}

impl<M: Machine> MapRead<'_, M> {
    /// Calls `f` for the part of each entry that lies in a range. Holes are skipped, and then reported as
    /// `NotMapped`.
    pub(super) fn each_part(
        &self,
        range: Range<usize>,
        mut f: impl FnMut(Ptr<MapEntry<M>>, Range<usize>) -> Result<(), MapError>,
    ) -> Result<(), MapError> {
        let mut at = range.start;
        let mut next = self.map.tree.at_or_above(at);
        let mut hole = false;
        while let Some(entry) = next.filter(|entry| entry.start.get() < range.end) {
            let from = entry.start.get().max(range.start);
            let to = entry.end.get().min(range.end);
            hole |= entry.start.get() > at;
            f(entry, from..to)?;
            at = to;
            next = Tree::next(entry);
        }
        if hole || at < range.end {
            Err(MapError::NotMapped)
        } else {
            Ok(())
        }
    }
}

impl<M: Machine> Map<'_, M> {
    /// The same for verbs that may block or start I/O: the map is locked only to find each part.
    pub(super) fn each_part_unlocked(
        &self,
        range: Range<usize>,
        mut f: impl FnMut(&Part<M>),
    ) -> Result<(), MapError> {
        let (mut at, mut hole) = (range.start, false);
        while at < range.end
            && let Some(part) = self.part(at..range.end)
        {
            hole |= part.range.start > at;
            at = part.range.end;
            f(&part);
            if let Some(object) = part.object {
                self.vm.release_object(object);
            }
        }
        if hole || at < range.end {
            Err(MapError::NotMapped)
        } else {
            Ok(())
        }
    }

    /// The lowest part of a range that is mapped.
    fn part(&self, range: Range<usize>) -> Option<Part<M>> {
        let map = self.body.read(self.vm);
        let entry = map.map.tree.at_or_above(range.start);
        let entry = entry.filter(|entry| entry.start.get() < range.end)?;
        let from = entry.start.get().max(range.start);
        let to = entry.end.get().min(range.end);
        let first = entry.index_of(from);
        Some(Part {
            range: from..to,
            attributes: entry.attributes(),
            object: entry.object.get().inspect(|object| object.retain()),
            first,
            last: first.wrapping_add(((to - from) >> PAGE_SHIFT) as u32 - 1),
        })
    }
}
