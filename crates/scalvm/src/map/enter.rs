//! Mapping.

use crate::addr::{PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, page_ceil};
use crate::error::MapError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::tree::Ranged;
use crate::map::{Attributes, Map, MapEntry, MapWrite};
use crate::object::{Kind, NewObject, ObjectBody};
use crate::request::{Advice, Large, MapRequest, Place, Share, Source, Wire};
use crate::vm::Vm;

/// The most pages in one entry, and the first page number that no object has.
pub(super) const MOST_PAGES: u64 = 1 << 32;

impl<'v, M: Machine> Map<'v, M> {
    /// Maps what is asked for and returns its address. Nothing is brought in. A private mapping of
    /// a device is a shared one. Fails before anything has changed where the address space may not
    /// become so large ([`MapError::OverLimit`]), what is to be replaced is sealed, or memory may not
    /// become executable ([`MapError::ExecGain`]).
    pub fn map(&self, request: MapRequest<'_, 'v, M>) -> Result<usize, MapError> {
        let vm = self.vm;
        let len = page_ceil(request.len)
            .filter(|&len| len > 0)
            .ok_or(MapError::BadRange)?;
        let pages = (len >> PAGE_SHIFT) as u64;
        if pages >= MOST_PAGES {
            return Err(MapError::NoSpace);
        }
        if !request.max_prot.contains(request.prot) {
            return Err(MapError::Protection);
        }
        self.body.rules.may_have(request.prot, request.prot)?;
        let is_private = request.share == Share::Private;
        if request.grows && !(is_private && matches!(request.source, Source::Anonymous)) {
            return Err(MapError::BadRange);
        }
        let wire = request.wire.or(self.body.rules.future());
        let mut attributes = Attributes {
            prot: request.prot,
            max_prot: request.max_prot,
            inherit: request.inherit,
            advice: Advice::Normal,
            large: Large::Unsaid,
            share: request.share,
            promised: false,
            no_reserve: request.no_reserve && vm.may_skip_reserve(),
            no_dump: false,
            wired: wire.is_some(),
            on_fault: wire == Some(Wire::OnFault),
            unsettled: false,
            grows: request.grows,
            sealed: false,
            watch: None,
            write_protected: false,
            poisoned: false,
            guarded: false,
            tag: 0,
        };
        let (object, offset) = match request.source {
            Source::Object(object, offset) => {
                if offset & PAGE_MASK as u64 != 0 || (offset >> PAGE_SHIFT) + pages > MOST_PAGES {
                    return Err(MapError::BadOffset);
                }
                if let Kind::Device(..) = object.body.kind {
                    attributes.share = Share::Shared;
                }
                object.body.retain();
                (Some(object.body), Some((offset >> PAGE_SHIFT) as u32))
            }
            Source::Anonymous if request.share == Share::Shared => {
                let new = NewObject {
                    promised: !attributes.no_reserve,
                    ..NewObject::public(Kind::Anonymous, len as u64)
                };
                (Some(vm.promise_object(new)?), Some(0))
            }
            Source::Anonymous => (None, None),
        };
        self.map_object(request.place, len, attributes.promise(), object, offset)
    }

    /// Maps shared memory a second time: what is mapped at `start`, `len` bytes of its object from
    /// there on, with the same attributes, but that nobody watches it. Private memory is refused as `BadRange`, sealed memory as
    /// `Sealed`.
    pub fn map_again(&self, start: usize, len: usize, place: Place) -> Result<usize, MapError> {
        self.map_pages(start, None, len, place)
    }

    /// The same from another page of the object on, if one is given.
    pub fn map_pages(
        &self,
        start: usize,
        page: Option<u32>,
        len: usize,
        place: Place,
    ) -> Result<usize, MapError> {
        let len = page_ceil(len)
            .filter(|&len| len > 0)
            .ok_or(MapError::BadRange)?;
        let map = self.body.read(self.vm);
        let entry = map.map.tree.find(start).ok_or(MapError::NotMapped)?;
        let attributes = Attributes {
            unsettled: false,
            ..entry.attributes().unwatched().fresh()
        };
        let (Some(object), Share::Shared) = (entry.object.get(), attributes.share) else {
            return Err(MapError::BadRange);
        };
        map.map.unsealed(start, start + PAGE_SIZE)?;
        let offset = page.unwrap_or_else(|| entry.index_of(start));
        if u64::from(offset) + (len >> PAGE_SHIFT) as u64 > MOST_PAGES {
            return Err(MapError::BadOffset);
        }
        object.retain();
        drop(map);
        self.map_object(place, len, attributes, Some(object), Some(offset))
    }

    /// Makes an entry, which takes over the reference of its object.
    fn map_object(
        &self,
        place: Place,
        len: usize,
        attributes: Attributes,
        object: Option<Ptr<ObjectBody<M>>>,
        offset: Option<u32>,
    ) -> Result<usize, MapError> {
        let vm = self.vm;
        let entry = MapEntry::new(self.body, 0, 0, 0, attributes);
        let result = match vm.entries.alloc(&vm.machine, &vm.frames, entry) {
            Ok(entry) => {
                let map = self.body.write(vm);
                map.place(vm, place, len, entry, object, offset)
                    .inspect_err(|_| {
                        vm.entries.free(&vm.machine, &vm.frames, entry);
                    })
            }
            Err(error) => Err(error.into()),
        };
        if let (Err(_), Some(object)) = (result, object) {
            vm.release_object(object);
        }
        result
    }
}

impl<M: Machine> MapWrite<'_, M> {
    /// Finds the place for a new entry and links it in.
    fn place(
        &self,
        vm: &Vm<M>,
        place: Place,
        len: usize,
        entry: Ptr<MapEntry<M>>,
        object: Option<Ptr<ObjectBody<M>>>,
        offset: Option<u32>,
    ) -> Result<usize, MapError> {
        let attributes = entry.attributes();
        if let Place::Fixed(start) | Place::Free(start) = place
            && (start & PAGE_MASK != 0 || !self.fits(start, len))
        {
            return Err(MapError::BadRange);
        }
        let (replaced, credit) = match place {
            Place::Fixed(start) => {
                let end = start + len;
                self.map.unsealed(start, end)?;
                (self.bytes_in(start, end), self.promised_in(start, end))
            }
            _ => (0, 0),
        };
        self.map.may_add(attributes, len, replaced)?;
        let promised = attributes.promised;
        let promised = if promised { len >> PAGE_SHIFT } else { 0 } as u64;
        vm.promise(promised, credit)?;
        let chosen = self.choose(vm, place, len);
        let start = chosen.inspect_err(|_| vm.take_back(promised))?;
        entry.start.set(start);
        entry.end.set(start + len);
        entry
            .offset
            .set(offset.unwrap_or((start >> PAGE_SHIFT) as u32));
        self.map.link(vm, entry, object);
        self.join_range(vm, start, start + len);
        Ok(start)
    }

    /// Whether a range lies in the address space.
    pub(super) fn fits(&self, start: usize, len: usize) -> bool {
        let end = start.checked_add(len);
        start >= self.map.low && end.is_some_and(|end| end <= self.map.high)
    }

    /// Chooses an address, and makes room there if the caller insists on it, who has made sure that it
    /// fits.
    pub(super) fn choose(&self, vm: &Vm<M>, place: Place, len: usize) -> Result<usize, MapError> {
        let free = |start: usize| {
            self.map
                .tree
                .at_or_above(start)
                .is_none_or(|e| e.start.get() >= start + len)
        };
        match place {
            Place::Fixed(start) => {
                let spares = self.reserve_clips(vm, start, start + len)?;
                self.clip(vm, start, start + len, spares);
                self.remove(vm, start, start + len);
                return Ok(start);
            }
            Place::Free(start) => {
                return if free(start) {
                    Ok(start)
                } else {
                    Err(MapError::Occupied)
                };
            }
            Place::Hint(hint) => {
                let start = hint & !PAGE_MASK;
                let above = self.map.tree.at_or_above(start);
                let far = |e: Ptr<MapEntry<M>>| e.guard_start() >= start + len;
                if self.fits(start, len) && above.is_none_or(far) {
                    return Ok(start);
                }
            }
            Place::Lowest => {
                let low = self.map.rules.room().start;
                let found = self
                    .map
                    .tree
                    .find_gap_up(len, PAGE_SIZE, low, self.map.high);
                return found.ok_or(MapError::NoSpace);
            }
            Place::Anywhere => {}
        }
        self.find_room(len).ok_or(MapError::NoSpace)
    }

    /// A free place for what may lie anywhere.
    pub(super) fn find_room(&self, len: usize) -> Option<usize> {
        let room = self.map.rules.room();
        let find = |low, high| self.map.tree.find_gap_down(len, PAGE_SIZE, low, high);
        find(room.start, room.end).or_else(|| find(room.start, self.map.high))
    }
}
