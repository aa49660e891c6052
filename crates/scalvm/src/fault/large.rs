//! Faults that map many pages by one large leaf (see [`Pmap`]).
//!
//! Everything but the page table knows single pages alone. A large leaf is entered only with the object
//! that has the pages locked, and so are pages removed and flushed while others may fault: so nothing is
//! left to be flushed where one is entered, as [`Pmap::enter_large`] asks.

use core::ops::Range;

use crate::addr::{Frame, PAGE_SHIFT};
use crate::fault::enter::Faulting;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::ObjectBody;
use crate::pmap::{Enter, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

impl<M: Machine> Faulting<M> {
    /// The addresses around the fault that a large leaf could map, if they lie in the entry.
    fn large_range(&self) -> Option<Range<usize>> {
        let pages = self.map.pmap.large_pages();
        let bytes = pages << PAGE_SHIFT;
        let start = self.va & !(bytes - 1);
        let inside = pages > 1 && start >= self.entry.start.get();
        let end = start.checked_add(bytes)?;
        (inside && end <= self.entry.end.get()).then_some(start..end)
    }
}

impl<M: Machine> Vm<M> {
    /// Enters the part of a device around a page by a large leaf. False where that cannot be done;
    /// nothing is lost then.
    #[cold]
    pub(super) fn enter_large_device(
        &self,
        at: &Faulting<M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        how: Enter,
    ) -> bool {
        let Some(range) = at.large_range() else {
            return false;
        };
        let before = (at.va - range.start) >> PAGE_SHIFT;
        let pages = range.len() >> PAGE_SHIFT;
        let Some(first) = index.checked_sub(before as u32) else {
            return false;
        };
        if u64::from(first) + pages as u64 > object.pages() {
            return false;
        }
        let how = Enter {
            frame: Frame(how.frame.0 - before as u64),
            origin: (object.id, u64::from(first)),
            ..how
        };
        let _object = object.lock(self);
        let entered = at
            .map
            .pmap
            .enter_large(&self.machine, self, range.start, how);
        let entered = entered == Ok(true);
        if entered {
            self.count(Event::LargeDevice);
        }
        entered
    }
}
