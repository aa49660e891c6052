//! Entries on their way from one address space to another: extracted from the one, in none, put into the other.
//!
//! They lie in a map of their own, which no processor runs and nobody else knows. So all invariants of maps,
//! objects and promises hold for them as for others, and no two maps are ever locked at once. Putting them in
//! takes no memory but where what they replace must be split.
//!
//! (SCAL/UX passes lists of entries so; UVM's `uvm_map_extract` passes from map to map in one step, and locks
//! both.)

use core::ops::Range;

use crate::addr::{PAGE_MASK, PAGE_SIZE};
use crate::error::{MapError, OutOfMemory};
use crate::machine::Machine;
use crate::map::Map;
use crate::map::tree::Tree;
use crate::request::Place;
use crate::vm::Vm;

/// What [`Map::extract`] does with the range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extract {
    /// Both have the same memory from now on.
    Share,
    /// Each has its own, copied when either is written, as with fork.
    Copy,
    /// It leaves the source.
    Move,
}

/// Entries in passage, of a range without holes. Dropping it unmaps them.
pub struct Passing<'v, M: Machine> {
    /// Where they lie, at the addresses that they were extracted from.
    pub(super) map: Map<'v, M>,
    start: usize,
    len: usize,
}

impl<'v, M: Machine> Passing<'v, M> {
    /// Nothing, for what will be extracted from this range.
    pub(super) fn new(vm: &'v Vm<M>, range: Range<usize>) -> Result<Self, OutOfMemory> {
        let map = vm.new_map(range.start, range.end)?;
        // No page table maps what is in passage: what is put somewhere takes its entries, and no translation with it.
        map.allow_large(false);
        Ok(Passing {
            map,
            start: range.start,
            len: range.end - range.start,
        })
    }

    /// The bytes of the range; zero once it was put somewhere.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it was put somewhere.
    pub fn is_empty(&self) -> bool {
        self.len < PAGE_SIZE
    }
}

impl<'v, M: Machine> Map<'v, M> {
    /// Puts entries in, which come from this map or another of the same manager, and gives the address. What was
    /// shared or moved is then the memory it was, with its rights, advice and inheritance; nothing is wired. On
    /// failure nothing has changed, and `passing` holds what it held. `BadRange` if it holds nothing. The rules of
    /// this address space hold as for a new mapping; with regard to the limit of data all counts if a part does.
    pub fn put(&self, passing: &mut Passing<'v, M>, place: Place) -> Result<usize, MapError> {
        let vm = self.vm;
        if passing.is_empty() || !core::ptr::eq(vm, passing.map.vm) {
            return Err(MapError::BadRange);
        }
        let len = passing.len;
        let source = passing.map.body;
        let map = self.body.write(vm);
        let replaced = match place {
            Place::Fixed(start) | Place::Free(start)
                if start & PAGE_MASK != 0 || !map.fits(start, len) =>
            {
                return Err(MapError::BadRange);
            }
            Place::Fixed(start) => {
                map.map.unsealed(start, start + len)?;
                map.bytes_in(start, start + len)
            }
            _ => 0,
        };
        let mut next = source.tree.first();
        while let Some(entry) = next {
            next = Tree::next(entry);
            let attributes = entry.attributes();
            map.map.rules.may_have(attributes.prot, attributes.prot)?;
            map.map.may_add(attributes, len, replaced)?;
        }
        let to = map.choose(vm, place, len)?;
        passing.len = 0;
        let mut next = source.tree.take_all();
        while let Some(entry) = next {
            next = Tree::next(entry);
            let start = to + (entry.start.get() - passing.start);
            map.map.take_over(vm, source, entry, start);
        }
        map.join_range(vm, to, to + len);
        Ok(to)
    }
}
