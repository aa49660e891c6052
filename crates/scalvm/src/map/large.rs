//! Large leaves for anonymous memory: for which of it they are wanted, and *joining* pages that are in memory
//! so that one leaf maps them. (What comes by a fault is in `fault/large.rs`; splitting is the page table's.)
//!
//! Pages are joined where one address space alone has all of them and nobody holds one. Where they lie in an
//! aligned row of frames already, as after a split, they are mapped anew and no more. Else they are moved
//! to a row. In between nothing is mapped there, and the object is locked: who faults meanwhile waits.
//!
//! Locks: the map for reading, and the object, also while the pages are copied.

use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

use crate::addr::{Access, Frame, PAGE_SHIFT, page_floor};
use crate::error::{FaultError, MapError, NotLarge};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::body::MapRead;
use crate::map::{Attributes, Map, MapBody, MapEntry};
use crate::object::ObjectBody;
use crate::page::{Row, State};
use crate::pmap::{Cache, Enter, Pmap};
use crate::request::{Large, LargePages, Share};
use crate::stats::Event;
use crate::vm::Vm;

/// Where the search for ranges to be joined goes on: the map by its number, and the address.
pub(crate) struct JoinHand {
    map: AtomicU64,
    at: AtomicUsize,
}

impl JoinHand {
    pub const fn new() -> JoinHand {
        JoinHand {
            map: AtomicU64::new(0),
            at: AtomicUsize::new(0),
        }
    }

    fn set(&self, map: u64, at: usize) {
        self.map.store(map, Relaxed);
        self.at.store(at, Relaxed);
    }
}

impl<M: Machine> MapEntry<M> {
    /// The addresses around one of the entry's that a large leaf could map, if the entry has all of them.
    pub fn large_range(&self, va: usize) -> Option<Range<usize>> {
        let pages = self.map().pmap.large_pages();
        let bytes = pages << PAGE_SHIFT;
        let start = va & !(bytes - 1);
        let end = start.checked_add(bytes)?;
        let inside = pages > 1 && start >= self.start.get() && end <= self.end.get();
        inside.then_some(start..end)
    }

    /// The numbers of the first and the last page of a range of the entry in its object, if they do not wrap.
    pub fn indices(&self, range: &Range<usize>) -> Option<(u32, u32)> {
        let first = self.index_of(range.start);
        let more = (range.len() >> PAGE_SHIFT) as u32 - 1;
        Some((first, first.checked_add(more)?))
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// The bytes that one large leaf maps; those of a page where there are none.
    pub fn large_bytes(&self) -> usize {
        self.body.pmap.large_pages() << PAGE_SHIFT
    }

    /// Says whether large leaves are wanted for a range, as `madvise(MADV_HUGEPAGE)` and `MADV_NOHUGEPAGE` do.
    /// What is mapped already stays as it is.
    pub fn advise_large(&self, start: usize, len: usize, large: Large) -> Result<(), MapError> {
        self.change(start, len, |_| Ok(()), |old| Attributes { large, ..old })
    }

    /// Says whether this address space may get large leaves for anonymous memory at all; it may at first. A child
    /// has its parent's rule.
    pub fn allow_large(&self, allow: bool) {
        self.body.target().rules.refuse_large.set(!allow);
    }

    /// Whether it may.
    pub fn allows_large(&self) -> bool {
        !self.body.target().rules.refuse_large.get()
    }

    /// Has one large leaf map the private anonymous memory around an address, as `madvise(MADV_COLLAPSE)` does for
    /// each such range, whatever is wanted otherwise. Some of it must have been stored to; what is lacking comes to
    /// memory as if it were stored to, if it may be. Nothing else is promised if it fails. Blocks for I/O.
    pub fn make_large(&self, addr: usize) -> Result<(), NotLarge> {
        let va = page_floor(addr);
        let range = self.range_to_join(va)?;
        self.populate(range.start, range.len())
            .map_err(|stop| match stop.error {
                FaultError::OutOfMemory => NotLarge::OutOfMemory,
                FaultError::NoMapping => NotLarge::NotMapped,
                _ => NotLarge::Unsuitable,
            })?;
        let map = self.body.read(self.vm);
        let entry = map.map.tree.find(va).ok_or(NotLarge::NotMapped)?;
        self.vm.join(&map, entry, va).map(|_| ())
    }

    /// The range that a large leaf could map there, if there is anything in it.
    fn range_to_join(&self, va: usize) -> Result<Range<usize>, NotLarge> {
        let map = self.body.read(self.vm);
        let entry = map.map.tree.find(va).ok_or(NotLarge::NotMapped)?;
        let (range, object, first, last) = map.map.joinable(entry, va)?;
        let _object = object.lock(self.vm);
        if object.has_any(first, last) {
            Ok(range)
        } else {
            Err(NotLarge::Unsuitable)
        }
    }
}

impl<M: Machine> MapBody<M> {
    /// Whether memory like that may be mapped by large leaves: what is private, neither a guard nor poisoned, and watched
    /// by nobody, who would be told of each page; by an address space that need not give up single pages.
    #[cold]
    fn may_be_large(&self, attributes: Attributes) -> bool {
        attributes.share == Share::Private
            && attributes.large != Large::Never
            && attributes.watch.is_none()
            && !attributes.guarded
            && !attributes.poisoned
            && !self.rules.refuse_large.get()
            && !self.limits.is_hard()
    }

    /// The range that a large leaf could map around an address of an entry, the object that has its pages, and the
    /// numbers of the first and the last of them.
    #[expect(clippy::type_complexity, reason = "used twice, here")]
    fn joinable(
        &self,
        entry: Ptr<MapEntry<M>>,
        va: usize,
    ) -> Result<(Range<usize>, Ptr<ObjectBody<M>>, u32, u32), NotLarge> {
        let attributes = entry.attributes();
        if !self.may_be_large(attributes) || attributes.allowed().is_empty() {
            return Err(NotLarge::Unsuitable);
        }
        let range = entry.large_range(va).ok_or(NotLarge::Unsuitable)?;
        let object = entry.object.get().filter(|object| object.takes_rows());
        let object = object.ok_or(NotLarge::Unsuitable)?;
        let (first, last) = entry.indices(&range).ok_or(NotLarge::Unsuitable)?;
        Ok((range, object, first, last))
    }
}

impl<M: Machine> Vm<M> {
    /// Says for which memory large leaves are wanted.
    pub fn set_large_pages(&self, which: LargePages) {
        self.large_pages.store(which as u8, Relaxed);
    }

    /// For which they are; at first for what asks for them.
    #[inline]
    pub fn large_pages(&self) -> LargePages {
        match self.large_pages.load(Relaxed) {
            0 => LargePages::Never,
            1 => LargePages::Asked,
            _ => LargePages::Always,
        }
    }

    /// Whether large leaves are wanted for an entry. Where nobody has asked this is two words to read.
    #[inline]
    pub(crate) fn wants_large(&self, entry: &MapEntry<M>) -> bool {
        self.large_pages().wants(entry.large()) && entry.map().may_be_large(entry.attributes())
    }

    /// Joins the pages around an address of an entry. False if a large leaf maps them already.
    fn join(
        &self,
        map: &MapRead<'_, M>,
        entry: Ptr<MapEntry<M>>,
        va: usize,
    ) -> Result<bool, NotLarge> {
        let (range, object, first, _) = map.map.joinable(entry, va)?;
        let prot = entry.attributes().allowed();
        let guard = object.lock(self);
        let here = map.map.pmap.query(&self.machine, va);
        if here.is_some_and(|here| here.large && here.prot.contains(prot)) {
            return Ok(false);
        }
        let len = range.len() >> PAGE_SHIFT;
        let frame = match self.row_of(&guard, first, len)? {
            Some(frame) => {
                self.unmap_range(map.map, range.clone());
                frame
            }
            None => {
                let row = self.new_row(len).ok_or(NotLarge::OutOfMemory)?;
                self.unmap_range(map.map, range.clone());
                let moved = self.move_to_row(&guard, first, &row);
                self.give_back(&row, moved);
                if moved < len {
                    return Err(NotLarge::InUse);
                }
                row.page(0).frame()
            }
        };
        let how = Enter {
            frame,
            prot,
            access: Access::Read,
            cache: Cache::WriteBack,
            managed: true,
            origin: (object.id, u64::from(first)),
        };
        if !self.enter_row(map.map, range, how) {
            return Err(NotLarge::OutOfMemory);
        }
        self.count(Event::LargeJoin);
        Ok(true)
    }

    /// Maps the pages of a row by one large leaf, where nothing is mapped; their object is locked, and their
    /// places say that they are mapped. False, and nothing is done, where memory is lacking for page tables.
    pub(crate) fn enter_row(&self, map: Ptr<MapBody<M>>, range: Range<usize>, how: Enter) -> bool {
        let start = how.frame.0;
        let entered = map.pmap.enter_large(&self.machine, self, range.start, how);
        if entered != Ok(true) {
            return false;
        }
        let frames = start..start + (range.len() >> PAGE_SHIFT) as u64;
        let pages = frames.filter_map(|frame| self.page(Frame(frame)));
        pages.for_each(|page| page.mapped());
        true
    }

    /// A row of pages with one hold each, of undefined contents; none where that would make memory short.
    pub(crate) fn new_row(&self, len: usize) -> Option<Row> {
        if !self.machine.may_allocate() {
            return None;
        }
        self.frames.take_row(&self.machine, len, State::Anon)
    }

    /// Frees the pages of a row from one on, which nobody has got.
    pub(crate) fn give_back(&self, row: &Row, from: usize) {
        (from..row.len()).for_each(|n| self.let_go(row.page(n)));
    }

    /// Goes on looking for ranges whose pages can be joined, in all address spaces in turn, and joins those that can be
    /// where large leaves are wanted. Looks at `most` ranges and entries, ends with the first lack of a row, and
    /// does nothing while memory is not plenty. Tells how many were joined. For a thread that does so now and
    /// then; does not block.
    pub fn join_some(&self, most: usize) -> u64 {
        let (mut left, mut joined) = (most, 0);
        let mut wrapped = false;
        while left > 0 && self.frames.is_plenty() {
            match self.next_map(self.join_hand.map.load(Relaxed)) {
                Some(map) => joined += self.join_in(&map, &mut left),
                None if wrapped => break,
                None => {
                    self.join_hand.set(0, 0);
                    wrapped = true;
                }
            }
        }
        joined
    }

    /// Looks on in one map, up to the first range that it joins, which takes long; moves the hand on.
    fn join_in(&self, map: &MapRead<'_, M>, left: &mut usize) -> u64 {
        let body = map.map.target();
        let id = body.limits.id;
        let hand = &self.join_hand;
        let mut at = if hand.map.load(Relaxed) == id {
            hand.at.load(Relaxed)
        } else {
            0
        };
        while let Some(entry) = body.tree.at_or_above(at) {
            if *left == 0 {
                hand.set(id, at);
                return 0;
            }
            *left -= 1;
            let from = entry.start.get().max(at);
            let aligned = from.next_multiple_of(body.pmap.large_pages() << PAGE_SHIFT);
            let wanted = self.wants_large(&entry);
            let range = entry.large_range(aligned).filter(|_| wanted);
            let Some(range) = range else {
                at = entry.end.get();
                continue;
            };
            at = range.end;
            match self.join(map, entry, range.start) {
                Ok(true) => {
                    hand.set(id, at);
                    return 1;
                }
                Err(NotLarge::OutOfMemory) => *left = 0,
                _ => {}
            }
        }
        hand.set(id + 1, 0);
        0
    }
}
