//! Faults that map many pages by one large leaf (see [`Pmap`]): parts of devices, and untouched memory for
//! which large leaves are wanted (`map/large.rs`).
//!
//! Everything but the page table knows single pages alone. A large leaf is entered only with the object
//! that has the pages locked, and so are pages removed and flushed while others may fault: so nothing is
//! left to be flushed where one is entered, as [`Pmap::enter_large`] asks.

use crate::addr::{Access, Frame, PAGE_SHIFT};
use crate::fault::enter::Faulting;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::ObjectBody;
use crate::pmap::{Cache, Enter, Pmap};
use crate::stats::Event;
use crate::vm::Vm;

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
        let Some(range) = at.entry.large_range(at.va) else {
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

    /// Whether a write of an untouched page of an object should bring a row of pages.
    #[inline]
    pub(super) fn wants_row(&self, at: &Faulting<M>, object: Ptr<ObjectBody<M>>) -> bool {
        self.wants_large(&at.entry) && object.private && at.access == Access::Write
    }

    /// Brings a row of pages of zeros for the untouched range around a write, and maps it by one large leaf.
    /// False where that cannot be done: the fault goes on as one of a single page. (Where memory ends half
    /// way, some pages have come that are not mapped.)
    #[cold]
    pub(super) fn enter_large_zeros(&self, at: &Faulting<M>, object: Ptr<ObjectBody<M>>) -> bool {
        let Some(range) = at.entry.large_range(at.va) else {
            return false;
        };
        let Some((first, last)) = at.entry.indices(&range) else {
            return false;
        };
        let is_untouched = || object.takes_rows() && !object.has_any(first, last);
        let guard = object.lock(self);
        let untouched = is_untouched();
        drop(guard);
        if !untouched {
            return false;
        }
        let Some(row) = self.new_row(range.len() >> PAGE_SHIFT) else {
            self.count(Event::LargeFallback);
            return false;
        };
        (0..row.len()).for_each(|n| self.machine.zero_frame(row.page(n).frame()));
        let guard = object.lock(self);
        let mut inserted = 0;
        if is_untouched() {
            // The shared page of zeros, where it was read.
            self.unmap_range(at.map, range.clone());
            inserted = self.insert_row(&guard, first, &row);
        }
        self.give_back(&row, inserted);
        let how = Enter {
            frame: row.page(0).frame(),
            prot: at.prot,
            access: at.access,
            cache: Cache::WriteBack,
            managed: true,
            origin: (object.id, u64::from(first)),
        };
        let entered = inserted == row.len() && self.enter_row(at.map, range, how);
        let zeroed = inserted as u64;
        self.counters
            .add(self.machine.cpu(), Event::ZeroFill, zeroed);
        self.count(if entered {
            Event::LargeFault
        } else {
            Event::LargeFallback
        });
        entered
    }
}
