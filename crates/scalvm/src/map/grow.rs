//! Entries that grow downwards when they are touched below their start, as a stack does.
//!
//! Room of [`Vm::set_guard_gap`] is kept between such an entry and what lies below it: what may lie
//! anywhere is not put there (`Ranged::guard_start`), and the entry does not grow into it. So who runs
//! beyond the end of a stack by less than that meets a fault, not another's memory. What lies below
//! and may not be accessed at all needs no such room.
//!
//! A fault comes here only after it found no mapping; the way of those that find one knows nothing of
//! it.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::{PAGE_SHIFT, page_ceil, page_floor};
use crate::error::{Limit, MapError};
use crate::machine::Machine;
use crate::map::enter::MOST_PAGES;
use crate::map::tree::Tree;
use crate::map::{Map, MapEntry, MapWrite};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// So many bytes, rounded up to whole pages, are kept free below what grows downwards, in address
    /// spaces that are made from now on other than by fork. At first it is 256 pages, as on Linux.
    pub fn set_guard_gap(&self, bytes: usize) {
        self.guard_gap.store(page_ceil(bytes).unwrap_or(0), Relaxed);
    }
}

impl<M: Machine> Map<'_, M> {
    /// Lengthens what lies above an address and grows downwards to the page of the address, as a fault
    /// there does. `NotMapped` if nothing does, or the page is a guard, `NoSpace` if it would come too near to
    /// what lies below or grow by more than an entry may have, `OverLimit` if it would exceed a limit.
    pub fn grow(&self, addr: usize) -> Result<(), MapError> {
        let va = page_floor(addr);
        let grows = |map: &crate::map::MapBody<M>| {
            let entry = map.tree.at_or_above(va);
            entry.is_some_and(|e| match e.attributes() {
                here if e.start.get() <= va => !here.guarded,
                above => above.grows,
            })
        };
        // Most who touch what is not mapped are wrong, and need not wait for a writer's turn.
        if !grows(self.body.read(self.vm).map.target()) {
            return Err(MapError::NotMapped);
        }
        self.body.write(self.vm).grow(self.vm, va)
    }
}

impl<M: Machine> MapWrite<'_, M> {
    fn grow(&self, vm: &Vm<M>, start: usize) -> Result<(), MapError> {
        let entry = self.map.tree.at_or_above(start);
        let entry = entry.ok_or(MapError::NotMapped)?;
        let (end, attributes) = (entry.start.get(), entry.attributes());
        if end <= start {
            return if attributes.guarded {
                Err(MapError::NotMapped)
            } else {
                Ok(())
            };
        }
        if !attributes.grows {
            return Err(MapError::NotMapped);
        }
        if start < self.map.low {
            return Err(MapError::BadRange);
        }
        if let Some(below) = Tree::prev(entry) {
            let is_near = start - below.end.get() < self.map.guard;
            let other = below.attributes();
            if is_near && !other.grows && !other.prot.is_empty() {
                return Err(MapError::NoSpace);
            }
        }
        if (end - start) as u64 >> PAGE_SHIFT >= MOST_PAGES {
            return Err(MapError::NoSpace);
        }
        // Changes of its rights may have made several entries of it.
        let mut top = entry;
        while let Some(next) = Tree::next(top) {
            if next.start.get() != top.end.get() || !next.attributes().grows {
                break;
            }
            top = next;
        }
        if (top.end.get() - start) as u64 > self.map.rules.stack.get() {
            return Err(MapError::OverLimit(Limit::Stack));
        }
        let len = end - start;
        let attributes = attributes.fresh();
        self.map.may_add(attributes, len, 0)?;
        let pages = len >> PAGE_SHIFT;
        let promised = if attributes.promised { pages } else { 0 } as u64;
        vm.promise(promised, 0)?;
        // Where the one above has an object that may serve this too, the two are joined.
        let offset = entry.offset.get().wrapping_sub(pages as u32);
        let more = MapEntry::new(self.map, start, end, offset, attributes);
        let more = vm.entries.alloc(&vm.machine, &vm.frames, more);
        let more = more.inspect_err(|_| vm.take_back(promised))?;
        self.map.link(vm, more, None);
        self.join_range(vm, start, end);
        Ok(())
    }
}
