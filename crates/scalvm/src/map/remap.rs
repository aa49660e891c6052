//! Growing, shrinking and moving a mapping, as mremap(2) does.

use core::ops::Range;

use crate::addr::{PAGE_SHIFT, page_ceil};
use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::unmap::Spares;
use crate::map::{Attributes, Map, MapEntry, MapWrite};
use crate::object::ObjectBody;
use crate::request::Remap;
use crate::vm::Vm;

impl<'v, M: Machine> Map<'v, M> {
    /// Changes the length of what a range maps, and moves it if `how` says so and need be. Returns its
    /// address. What is kept of the old range may be several mappings, without holes, of which the last one grows;
    /// what is cut off may have holes, as with munmap(2). Lengths are rounded up to whole pages. The contents stay,
    /// guards too; what is added is untouched, and wired as the rest is, but brought in by
    /// [`bring_wired`](Map::bring_wired) alone. What moves is watched by nobody any more, but by who follows. Nothing
    /// sealed is moved, cut or replaced, and no limit exceeded. When a range shrinks *and* moves, it has shrunk even if
    /// moving fails; else a failure changes nothing.
    pub fn remap(
        &self,
        old: usize,
        old_len: usize,
        new_len: usize,
        how: Remap,
    ) -> Result<usize, MapError> {
        let vm = self.vm;
        let mut old_end = self.range(old, old_len)?;
        let new_len = page_ceil(new_len)
            .filter(|&len| len > 0)
            .ok_or(MapError::BadRange)?;
        if let Remap::Fixed(to) = how {
            let to_end = self.range(to, new_len)?;
            if to < old_end && old < to_end {
                return Err(MapError::BadRange);
            }
        }
        let new_end = old.checked_add(new_len).ok_or(MapError::NoSpace)?;
        let map = self.body.write(vm);
        map.map.tree.find(old).ok_or(MapError::NotMapped)?;
        map.map.unsealed(old, old_end)?;
        if let Remap::Fixed(to) = how {
            map.map.unsealed(to, to + new_len)?;
        }
        let kept = new_end.min(old_end);
        if kept < old_end {
            let spares = map.reserve_clips(vm, kept, old_end)?;
            map.clip(vm, kept, old_end, spares);
            map.remove(vm, kept, old_end);
            if !matches!(how, Remap::Fixed(_)) {
                return Ok(old);
            }
            old_end = kept;
        }
        let entry = map.last_of(old, old_end)?;
        if new_end > old_end {
            let replaced = match how {
                Remap::Fixed(to) => map.bytes_in(to, to + new_len),
                _ => 0,
            };
            map.map
                .may_add(entry.attributes(), new_end - old_end, replaced)?;
        }
        match how {
            Remap::InPlace | Remap::MayMove if new_end == old_end => Ok(old),
            Remap::InPlace | Remap::MayMove if map.can_extend(entry, old_end, new_end) => {
                let more = map.extension(vm, entry, old_end..new_end, entry.attributes(), 0)?;
                map.link_extension(vm, more, entry, old_end);
                map.join_range(vm, old_end, new_end);
                Ok(old)
            }
            Remap::InPlace => Err(MapError::NoSpace),
            Remap::MayMove => {
                let to = map.find_room(new_len).ok_or(MapError::NoSpace)?;
                map.relocate(vm, old..old_end, to, new_len, false)
            }
            Remap::Fixed(to) => map.relocate(vm, old..old_end, to, new_len, false),
        }
    }

    /// Moves what a range holds to another place, or to `to` if it is given, in the place of what is
    /// mapped there, and returns where. The old range stays mapped, as if nothing had been written to it:
    /// private memory shows what it was mapped from, or zeros, and is not wired; shared memory is mapped
    /// twice. One entry must map the range. A failure changes nothing.
    pub fn remap_keeping(
        &self,
        old: usize,
        len: usize,
        to: Option<usize>,
    ) -> Result<usize, MapError> {
        let vm = self.vm;
        let old_end = self.range(old, len)?;
        let len = old_end - old;
        if let Some(to) = to {
            let to_end = self.range(to, len)?;
            if to < old_end && old < to_end {
                return Err(MapError::BadRange);
            }
        }
        let map = self.body.write(vm);
        let entry = map.map.tree.find(old).ok_or(MapError::NotMapped)?;
        map.map.unsealed(old, old_end)?;
        let replaced = match to {
            Some(to) => {
                map.map.unsealed(to, to + len)?;
                map.bytes_in(to, to + len)
            }
            None => 0,
        };
        if entry.end.get() < old_end {
            return Err(MapError::NotMapped);
        }
        map.map
            .may_add(entry.attributes().unwired(), len, replaced)?;
        let to = to.or_else(|| map.find_room(len)).ok_or(MapError::NoSpace)?;
        map.relocate(vm, old..old_end, to, len, true)
    }
}

/// An entry for what is added to a mapping, and the reference of its object.
type Extension<M> = (Ptr<MapEntry<M>>, Option<Ptr<ObjectBody<M>>>);

impl<M: Machine> MapWrite<'_, M> {
    /// Whether there is room to grow from the entry's end to `new_end`.
    fn can_extend(&self, entry: Ptr<MapEntry<M>>, old_end: usize, new_end: usize) -> bool {
        entry.end.get() == old_end
            && new_end <= self.map.high
            && Tree::next(entry).is_none_or(|next| next.start.get() >= new_end)
    }

    /// Makes an entry for a range within `entry`, or one that goes on where it ends: with what it was
    /// mapped from, not with what it has copied. It begins at 0 as yet. Promises of `credit` pages end
    /// with the operation.
    fn extension(
        &self,
        vm: &Vm<M>,
        entry: Ptr<MapEntry<M>>,
        range: Range<usize>,
        attributes: Attributes,
        credit: u64,
    ) -> Result<Extension<M>, MapError> {
        let origin = match entry.object.get() {
            Some(object) if object.private => object.under,
            other => other,
        };
        let first = entry.index_of(range.start);
        let pages = (range.len() >> PAGE_SHIFT) as u64;
        if pages > 1 << 32 || origin.is_some() && u64::from(first) + pages > 1 << 32 {
            return Err(MapError::BadOffset);
        }
        let attributes = Attributes {
            unsettled: false,
            ..attributes.fresh()
        };
        let more = MapEntry::new(entry.map(), 0, range.len(), first, attributes);
        let more = vm.entries.alloc(&vm.machine, &vm.frames, more)?;
        if more.attributes().promised
            && let Err(error) = vm.promise(pages, credit)
        {
            vm.entries.free(&vm.machine, &vm.frames, more);
            return Err(error.into());
        }
        if let Some(origin) = origin {
            origin.retain();
        }
        Ok((more, origin))
    }

    /// Links an extension in, at this address, which is the end of the entry that it extends.
    fn link_extension(
        &self,
        vm: &Vm<M>,
        more: Extension<M>,
        entry: Ptr<MapEntry<M>>,
        start: usize,
    ) {
        more.0.offset.set(entry.index_of(start));
        self.link_at(vm, more, start);
    }

    /// Links an entry in that begins at 0 as yet.
    fn link_at(&self, vm: &Vm<M>, (more, origin): Extension<M>, start: usize) {
        more.end.set(start + more.end.get());
        more.start.set(start);
        self.map.link(vm, more, origin);
    }

    /// The last entry of a range, which has no holes.
    fn last_of(&self, start: usize, end: usize) -> Result<Ptr<MapEntry<M>>, MapError> {
        let mut last = None;
        self.for_each(start, end, |entry| {
            last = Some(entry);
            Ok(())
        })?;
        last.ok_or(MapError::NotMapped)
    }

    /// Moves a range without holes to `to`, in the place of what is mapped there, and lengthens it there to
    /// `new_len`, or, with `stays`, where it lies in one entry, leaves one of its kind behind.
    fn relocate(
        &self,
        vm: &Vm<M>,
        range: Range<usize>,
        to: usize,
        new_len: usize,
        stays: bool,
    ) -> Result<usize, MapError> {
        let Range {
            start: old,
            end: old_end,
        } = range;
        let entry = self.last_of(old, old_end)?;
        let old_len = old_end - old;
        let credit = self.promised_in(to, to + new_len);
        let attributes = entry.attributes();
        // Only a mapping that keeps its length leaves one behind.
        let more = if stays {
            Some(self.extension(vm, entry, old..old_end, attributes.unwired(), credit)?)
        } else if new_len > old_len {
            Some(self.extension(vm, entry, old_end..old + new_len, attributes, credit)?)
        } else {
            None
        };
        let ready = self
            .reserve_move(vm, old..old_end, to..to + new_len)
            .and_then(|(here, there)| {
                self.clip(vm, old, old_end, here);
                match self.for_each(old, old_end, |entry| Ok(vm.separate(entry)?)) {
                    Ok(()) => Ok(there),
                    Err(error) => {
                        self.join_range(vm, old, old_end);
                        there.give_back(vm);
                        Err(error)
                    }
                }
            });
        let there = match ready {
            Ok(ready) => ready,
            Err(error) => {
                if let Some((entry, origin)) = more {
                    if entry.attributes().promised {
                        vm.take_back(entry.pages() as u64);
                    }
                    vm.entries.free(&vm.machine, &vm.frames, entry);
                    origin
                        .into_iter()
                        .for_each(|origin| vm.release_object(origin));
                }
                return Err(error);
            }
        };
        self.clip(vm, to, to + new_len, there);
        self.remove(vm, to, to + new_len);
        self.unmap_pages(vm, old..old_end);
        let (mut at, mut last) = (old, entry);
        // The range has no holes.
        while at < old_end
            && let Some(entry) = self.map.tree.find(at)
        {
            let next = entry.end.get();
            self.shift(vm, entry, to + (at - old));
            self.set_attributes(entry, entry.attributes().moved());
            (at, last) = (next, entry);
        }
        match more {
            Some(left) if stays => {
                self.link_at(vm, left, old);
                self.join_range(vm, old, old_end);
            }
            Some(more) => {
                more.0.set_attributes(more.0.attributes().moved());
                self.link_extension(vm, more, last, to + old_len);
            }
            None => {}
        }
        self.join_range(vm, to, to + new_len);
        Ok(to)
    }

    fn reserve_move(
        &self,
        vm: &Vm<M>,
        old: Range<usize>,
        new: Range<usize>,
    ) -> Result<(Spares<M>, Spares<M>), MapError> {
        let here = self.reserve_clips(vm, old.start, old.end)?;
        match self.reserve_clips(vm, new.start, new.end) {
            Ok(there) => Ok((here, there)),
            Err(error) => {
                here.give_back(vm);
                Err(error.into())
            }
        }
    }

    /// Moves an entry, of which nothing is in the page tables, to a free place.
    fn shift(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>, to: usize) {
        self.map.tree.remove(entry);
        self.map.take_over(vm, self.map, entry, to);
    }
}
