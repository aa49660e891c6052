//! Growing, shrinking and moving a mapping, as mremap(2) does.

use crate::addr::{PAGE_SHIFT, PAGE_SIZE, page_ceil};
use crate::error::{MapError, OutOfMemory};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::unmap::Spares;
use crate::map::{Map, MapEntry, MapWrite};
use crate::object::ObjectBody;
use crate::request::Remap;
use crate::vm::Vm;

impl<'v, M: Machine> Map<'v, M> {
    /// Changes the length of a mapping, and moves it if `how` says so and need be. Returns its
    /// address. One entry must map what is kept of the old range; what is cut off may have holes,
    /// as with munmap(2). Lengths are rounded up to whole pages. The contents stay, what is added
    /// is untouched. When the mapping shrinks *and* moves, it has shrunk even if moving fails; else
    /// a failure changes nothing.
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
        let entry = map.map.tree.find(old).ok_or(MapError::NotMapped)?;
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
        if entry.end.get() < old_end {
            return Err(MapError::NotMapped);
        }
        match how {
            Remap::InPlace | Remap::MayMove if new_end == old_end => Ok(old),
            Remap::InPlace | Remap::MayMove if map.can_extend(entry, old_end, new_end) => {
                let more = map.extension(vm, entry, old_end, new_end, 0)?;
                map.link_extension(vm, more, entry, old_end);
                map.join_range(vm, old_end, new_end);
                Ok(old)
            }
            Remap::InPlace => Err(MapError::NoSpace),
            Remap::MayMove => {
                let (low, high) = (self.body.low, self.body.high);
                let to = map.map.tree.find_gap_down(new_len, PAGE_SIZE, low, high);
                map.relocate(vm, old, old_end, to.ok_or(MapError::NoSpace)?, new_len)
            }
            Remap::Fixed(to) => map.relocate(vm, old, old_end, to, new_len),
        }
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

    /// Makes an entry that goes on where `entry` is at `old_end`: with what it was mapped from, not
    /// with what it has copied. The two are joined later if they can be one. Promises of `credit`
    /// pages end with the operation.
    fn extension(
        &self,
        vm: &Vm<M>,
        entry: Ptr<MapEntry<M>>,
        old_end: usize,
        new_end: usize,
        credit: u64,
    ) -> Result<Extension<M>, MapError> {
        let origin = match entry.object.get() {
            Some(object) if object.private => object.under,
            other => other,
        };
        let first = entry.index_of(old_end);
        let pages = ((new_end - old_end) >> PAGE_SHIFT) as u64;
        if pages > 1 << 32 || origin.is_some() && u64::from(first) + pages > 1 << 32 {
            return Err(MapError::BadOffset);
        }
        let more = MapEntry::new(entry.map, 0, new_end - old_end, first, entry.attributes());
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
        (more, origin): Extension<M>,
        entry: Ptr<MapEntry<M>>,
        start: usize,
    ) {
        more.end.set(start + more.end.get());
        more.start.set(start);
        more.offset.set(entry.index_of(start));
        self.map.link(vm, more, origin);
    }

    /// Moves a range, which lies in one entry, to `to`, in the place of what is mapped there, and
    /// lengthens it there to `new_len`.
    fn relocate(
        &self,
        vm: &Vm<M>,
        old: usize,
        old_end: usize,
        to: usize,
        new_len: usize,
    ) -> Result<usize, MapError> {
        let entry = self.map.tree.find(old).ok_or(MapError::NotMapped)?;
        let old_len = old_end - old;
        let more = if new_len > old_len {
            let credit = self.promised_in(to, to + new_len);
            Some(self.extension(vm, entry, old_end, old + new_len, credit)?)
        } else {
            None
        };
        let ready = self
            .reserve_move(vm, old..old_end, to..to + new_len)
            .and_then(|(here, there)| {
                self.clip(vm, old, old_end, here);
                let entry = self.map.tree.find(old).unwrap_or(entry);
                match vm.separate(entry) {
                    Ok(()) => Ok((entry, there)),
                    Err(error) => {
                        self.join_range(vm, old, old_end);
                        there.give_back(vm);
                        Err(error)
                    }
                }
            });
        let (entry, there) = match ready {
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
                return Err(error.into());
            }
        };
        self.clip(vm, to, to + new_len, there);
        self.remove(vm, to, to + new_len);
        self.unmap_pages(vm, old..old_end);
        self.shift(vm, entry, to);
        if let Some(more) = more {
            self.link_extension(vm, more, entry, to + old_len);
        }
        self.join_range(vm, to, to + new_len);
        Ok(to)
    }

    fn reserve_move(
        &self,
        vm: &Vm<M>,
        old: core::ops::Range<usize>,
        new: core::ops::Range<usize>,
    ) -> Result<(Spares<M>, Spares<M>), OutOfMemory> {
        let here = self.reserve_clips(vm, old.start, old.end)?;
        match self.reserve_clips(vm, new.start, new.end) {
            Ok(there) => Ok((here, there)),
            Err(error) => {
                here.give_back(vm);
                Err(error)
            }
        }
    }

    /// Moves an entry, of which nothing is in the page tables, to a free place.
    fn shift(&self, vm: &Vm<M>, entry: Ptr<MapEntry<M>>, to: usize) {
        let len = entry.end.get() - entry.start.get();
        self.map.tree.remove(entry);
        let object = entry.object.get();
        let guard = object.map(|object| object.lock(vm));
        entry.start.set(to);
        entry.end.set(to + len);
        if object.is_none() {
            entry.offset.set((to >> PAGE_SHIFT) as u32);
        }
        drop(guard);
        self.map.tree.insert(entry);
    }
}
