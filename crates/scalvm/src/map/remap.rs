//! Growing, shrinking and moving a mapping, as mremap(2) does.

use core::ops::Range;

use crate::addr::{PAGE_SHIFT, page_ceil};
use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::unmap::Spares;
use crate::map::{Attributes, Map, MapEntry, MapWrite};
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
                let ready = map.none_ready();
                let (added, attributes) = (old_end..new_end, entry.attributes());
                map.make_ready(vm, &ready, (entry, added), (old_end, attributes), 0)?;
                map.link_ready(vm, &ready);
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
    /// mapped there, and returns where. The range, which has no holes, stays mapped, as if nothing had been written to
    /// it: private memory shows what it was mapped from, or zeros, and is not wired; shared memory is mapped
    /// twice; guards are where the memory is. It is watched as before, but no page is write-protected; what has moved
    /// is watched only by who follows. A failure changes nothing.
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
        map.map.tree.find(old).ok_or(MapError::NotMapped)?;
        map.map.unsealed(old, old_end)?;
        let replaced = match to {
            Some(to) => {
                map.map.unsealed(to, to + len)?;
                map.bytes_in(to, to + len)
            }
            None => 0,
        };
        map.last_of(old, old_end)?;
        map.map.may_map(len.saturating_sub(replaced))?;
        let data = map.bytes_like(old, old_end, |attributes| attributes.is_data());
        map.map.may_add_data(data.saturating_sub(replaced))?;
        let to = to.or_else(|| map.find_room(len)).ok_or(MapError::NoSpace)?;
        map.relocate(vm, old..old_end, to, len, true)
    }
}

/// Entries that are ready to be linked in where they say: each has the reference of its object, but is not in that
/// one's list yet.
type Ready<M> = Tree<MapEntry<M>>;

impl<M: Machine> MapWrite<'_, M> {
    /// Whether there is room to grow from the entry's end to `new_end`.
    fn can_extend(&self, entry: Ptr<MapEntry<M>>, old_end: usize, new_end: usize) -> bool {
        entry.end.get() == old_end
            && new_end <= self.map.high
            && Tree::next(entry).is_none_or(|next| next.start.get() >= new_end)
    }

    fn none_ready(&self) -> Ready<M> {
        Tree::new(self.map.low, self.map.high)
    }

    /// Makes an entry ready for a range within `entry`, or one that goes on where it ends, to be linked in at `start`:
    /// with what it was mapped from, not with what it has copied. Promises of `credit` pages end with the operation.
    fn make_ready(
        &self,
        vm: &Vm<M>,
        ready: &Ready<M>,
        (entry, range): (Ptr<MapEntry<M>>, Range<usize>),
        (start, attributes): (usize, Attributes),
        credit: u64,
    ) -> Result<(), MapError> {
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
        let end = start + range.len();
        let more = MapEntry::new(entry.map(), start, end, first, attributes);
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
        more.object.set(origin);
        ready.insert_after(ready.last(), more);
        Ok(())
    }

    /// The same for the entries of a range without holes, one for each, in their places.
    fn make_twins_ready(
        &self,
        vm: &Vm<M>,
        ready: &Ready<M>,
        range: Range<usize>,
        credit: u64,
    ) -> Result<(), MapError> {
        self.for_each(range.start, range.end, |entry| {
            let start = entry.start.get().max(range.start);
            let part = (entry, start..entry.end.get().min(range.end));
            let attributes = entry.attributes().unwired();
            self.make_ready(vm, ready, part, (start, attributes), credit)
        })
    }

    /// Links in what is ready.
    fn link_ready(&self, vm: &Vm<M>, ready: &Ready<M>) {
        while let Some(entry) = ready.first() {
            ready.remove(entry);
            self.map.link(vm, entry, entry.object.get());
        }
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
    /// `new_len`, or, with `stays`, leaves one of its kind behind.
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
        let ready = self.none_ready();
        // Only a mapping that keeps its length leaves one behind.
        let made = if stays {
            self.make_twins_ready(vm, &ready, old..old_end, credit)
        } else if new_len > old_len {
            let added = (entry, old_end..old + new_len);
            let place = (to + old_len, entry.attributes().moved());
            self.make_ready(vm, &ready, added, place, credit)
        } else {
            Ok(())
        };
        let prepared = made.and_then(|()| self.prepare_move(vm, old..old_end, to..to + new_len));
        let there = match prepared {
            Ok(there) => there,
            Err(error) => {
                vm.drop_ready(&ready);
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
        if let Some(added) = ready.first().filter(|_| !stays) {
            // Untouched memory has other page numbers where it is now.
            added.offset.set(last.index_of(added.start.get()));
        }
        self.link_ready(vm, &ready);
        if stays {
            self.join_range(vm, old, old_end);
        }
        self.join_range(vm, to, to + new_len);
        Ok(to)
    }

    /// Does all of a move that may fail: at the old place, where it cannot be seen. What the new place needs is set
    /// aside. On failure nothing has changed.
    fn prepare_move(
        &self,
        vm: &Vm<M>,
        old: Range<usize>,
        new: Range<usize>,
    ) -> Result<Spares<M>, MapError> {
        let (here, there) = self.reserve_move(vm, old.clone(), new)?;
        self.clip(vm, old.start, old.end, here);
        let separated = self.for_each(old.start, old.end, |entry| Ok(vm.separate(entry)?));
        match separated {
            Ok(()) => Ok(there),
            Err(error) => {
                self.join_range(vm, old.start, old.end);
                there.give_back(vm);
                Err(error)
            }
        }
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

impl<M: Machine> Vm<M> {
    /// Frees what was made ready and is not needed.
    fn drop_ready(&self, ready: &Ready<M>) {
        while let Some(entry) = ready.first() {
            ready.remove(entry);
            if entry.attributes().promised {
                self.take_back(entry.pages() as u64);
            }
            let origin = entry.object.get();
            self.entries.free(&self.machine, &self.frames, entry);
            if let Some(origin) = origin {
                self.release_object(origin);
            }
        }
    }
}
