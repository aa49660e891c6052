//! Going through an object's pages chunk by chunk, so that its lock is held for no longer than one takes.

use crate::amap::SLOTS;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{ObjectBody, ObjectGuard};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Calls `f` for the part of each chunk of an object that has any anon from `first` to `last`, with the
    /// object locked, which is let go between two of them.
    pub(crate) fn each_chunk(
        &self,
        object: Ptr<ObjectBody<M>>,
        first: u32,
        last: u32,
        mut f: impl FnMut(&ObjectGuard<'_, M>, u32, u32),
    ) {
        let mut next = Some(first);
        while let Some(from) = next.filter(|from| *from <= last) {
            let guard = object.lock(self);
            let amap = object.amap.get();
            let Some(from) = amap.and_then(|amap| amap.first(from, last, |_| true)) else {
                return;
            };
            let to = (from | (SLOTS as u32 - 1)).min(last);
            f(&guard, from, to);
            next = to.checked_add(1);
        }
    }
}
