//! Tags: what a kernel has noted of mappings, a number for each entry. Neighbours with different tags are not joined.
//! The manager does not know what they mean: a kernel has a table for that.

use crate::error::MapError;
use crate::machine::Machine;
use crate::map::tree::Tree;
use crate::map::{Attributes, Map};
use crate::vm::Vm;

impl<M: Machine> Map<'_, M> {
    /// Notes a number with a range, which has no holes; new mappings have 0. It stays with the memory when that is
    /// moved, extended, inherited or passed on.
    pub fn set_tag(&self, start: usize, len: usize, tag: u32) -> Result<(), MapError> {
        self.change(start, len, |_| Ok(()), |old| Attributes { tag, ..old })
    }
}

impl<M: Machine> Vm<M> {
    /// Calls `f` for the tag of each entry of every address space, with locks held: it must not call the manager. A
    /// kernel finds out so which tags mean nothing any more. What passes from one space to another meanwhile may be
    /// missed.
    pub fn each_tag(&self, mut f: impl FnMut(u32)) {
        self.spaces.for_each(&self.machine, |map| {
            let map = map.read(self);
            let mut next = map.map.tree.first();
            while let Some(entry) = next {
                f(entry.attributes().tag);
                next = Tree::next(entry);
            }
        });
    }
}
