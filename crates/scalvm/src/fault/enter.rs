//! The end of a fault that goes well: the page that was found is entered in the page tables, and its
//! neighbours with it. The object that has the page, if there is one, is locked all the while (O5).

use crate::addr::{Access, Frame, PAGE_SHIFT, PAGE_SIZE, Prot};
use crate::amap::SLOTS;
use crate::error::OutOfMemory;
use crate::fault::Fault;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{MapBody, MapEntry};
use crate::object::{Found, ObjectBody, ObjectGuard, Readable, Writable};
use crate::page::{Page, TRIMMED};
use crate::pmap::{Cache, Enter, Pmap};
use crate::request::Advice;
use crate::stats::Event;
use crate::vm::Vm;

/// Pages that a fault looks at, its own included, where the advice is normal or sequential. Sixteen
/// pages are a quarter of a chunk and of the reach of one page of page-table entries; more cost
/// more than they save (arbitrary).
const AROUND: usize = 16;

/// A fault in progress, past the checks.
pub(super) struct Faulting<M: Machine> {
    pub map: Ptr<MapBody<M>>,
    pub entry: Ptr<MapEntry<M>>,
    pub va: usize,
    pub access: Access,
    pub prot: Prot,
    pub advice: Advice,
}

impl<M: Machine> Faulting<M> {
    /// The rights to be entered: those to write only for a write, so that the first one is seen.
    fn granted(&self) -> Prot {
        if self.access == Access::Write {
            self.prot
        } else {
            self.prot - Prot::WRITE
        }
    }

    /// The neighbourhood of the fault, whose page has this index: its first address, and pages. It
    /// lies within the entry and within one chunk of an amap.
    fn window(&self, index: u32) -> (usize, usize) {
        let (before, after) = match self.advice {
            Advice::Random => return (self.va, 1),
            Advice::Normal => {
                let before = index as usize % AROUND;
                (before, AROUND - 1 - before)
            }
            Advice::Sequential => (0, (SLOTS - 1 - index as usize % SLOTS).min(AROUND - 1)),
        };
        let before = before.min((self.va - self.entry.start.get()) >> PAGE_SHIFT);
        let after = after.min(((self.entry.end.get() - self.va) >> PAGE_SHIFT) - 1);
        (self.va - before * PAGE_SIZE, before + after + 1)
    }
}

impl<M: Machine> Vm<M> {
    /// The frame of zeros if reads of the object's holes may map it, else none.
    fn zeros_for(&self, object: Ptr<ObjectBody<M>>) -> Frame {
        if object.exclusive.get() && object.under.is_none() {
            self.zero_frame().unwrap_or(Frame::NONE)
        } else {
            Frame::NONE
        }
    }

    /// Enters a page to be written. The anon that it replaced is let go of when no translation to
    /// its page is left.
    #[inline]
    pub(super) fn enter_to_write(
        &self,
        at: &Faulting<M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        writable: Writable<M>,
    ) -> Fault<'static> {
        if at.map.pmap.cpus().count_ones() > 1 {
            self.unmap_other(at, writable.found.page);
        }
        let fault = self.enter_page(at, object, index, &writable.found);
        if let Some(old) = writable.old {
            self.release_anon(old);
        }
        fault
    }

    /// Removes what another page has mapped where a page is about to be entered, and flushes: else one
    /// processor could write the new page while another still reads the old one.
    #[cold]
    fn unmap_other(&self, at: &Faulting<M>, page: Ptr<Page>) {
        let here = at.map.pmap.query(&self.machine, at.va);
        if here.is_some_and(|mapping| mapping.frame != page.frame()) {
            self.unmap_range(at.map, at.va..at.va + PAGE_SIZE);
        }
    }

    /// Enters a page to be read, and its neighbours.
    #[inline]
    pub(super) fn enter_to_read(
        &self,
        at: &Faulting<M>,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        readable: Readable<M>,
    ) -> Fault<'static> {
        let object = guard.object();
        let fault = match readable {
            Readable::Page(found) => self.enter_page(at, object, index, &found),
            Readable::Zeros => self.enter_zero(at),
        };
        if matches!(fault, Fault::Resolved) {
            self.enter_around(at, guard, index);
        }
        fault
    }

    /// Enters a page of an object. A mapping that this replaces is flushed.
    #[inline(always)]
    pub(super) fn enter_page(
        &self,
        at: &Faulting<M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        found: &Found<M>,
    ) -> Fault<'static> {
        let how = Enter {
            frame: found.page.frame(),
            prot: at.granted(),
            access: at.access,
            cache: Cache::WriteBack,
            managed: true,
            origin: (object.id, u64::from(index)),
        };
        let entered = at.map.pmap.enter(&self.machine, self, at.va, how);
        let Ok((replaced, debt)) = entered else {
            return Fault::OutOfMemory;
        };
        if found.page.test_flags(TRIMMED) != 0 {
            self.was_trimmed(at.map, found.page);
        }
        found.page.mapped();
        found.place.set_mapped();
        if let Some(replaced) = replaced {
            self.unmapped(replaced);
        }
        self.pay(debt, &at.map.target().pmap);
        Fault::Resolved
    }

    /// Maps untouched anonymous memory, for reading, and its neighbours with it.
    pub(super) fn enter_zeros(&self, at: &Faulting<M>) -> Fault<'static> {
        let fault = self.enter_zero(at);
        if let (Fault::Resolved, Ok(zero)) = (&fault, self.zero_frame()) {
            let (first, count) = at.window(at.entry.index_of(at.va));
            let frames = [zero; AROUND];
            self.fill(at, first, &frames[..count]);
        }
        fault
    }

    /// Maps the shared frame of zeros.
    fn enter_zero(&self, at: &Faulting<M>) -> Fault<'static> {
        let Ok(frame) = self.zero_frame() else {
            return Fault::OutOfMemory;
        };
        let how = Enter {
            frame,
            prot: at.granted(),
            access: at.access,
            cache: Cache::WriteBack,
            managed: true,
            origin: (0, 0),
        };
        let entered = at.map.pmap.enter(&self.machine, self, at.va, how);
        let Ok((replaced, debt)) = entered else {
            return Fault::OutOfMemory;
        };
        if let Some(replaced) = replaced {
            self.unmapped(replaced);
        }
        self.pay(debt, &at.map.target().pmap);
        Fault::Resolved
    }

    /// Enters a page of a device, if it can be with others by a large leaf.
    pub(super) fn enter_device(
        &self,
        at: &Faulting<M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        frame: Frame,
        cache: Cache,
    ) -> Fault<'static> {
        let how = Enter {
            frame,
            prot: at.prot,
            access: at.access,
            cache,
            managed: false,
            origin: (object.id, u64::from(index)),
        };
        if self.enter_large_device(at, object, index, how) {
            return Fault::Resolved;
        }
        match at.map.pmap.enter(&self.machine, self, at.va, how) {
            Ok((_, debt)) => {
                self.pay(debt, &at.map.target().pmap);
                Fault::Resolved
            }
            Err(OutOfMemory) => Fault::OutOfMemory,
        }
    }

    /// Maps what the object has in memory around a page that has just been entered for reading.
    fn enter_around(&self, at: &Faulting<M>, guard: &ObjectGuard<'_, M>, index: u32) {
        let (first, count) = at.window(index);
        if count <= 1 {
            return;
        }
        let mut frames = [Frame::NONE; AROUND];
        let frames = &mut frames[..count];
        let back = ((at.va - first) >> PAGE_SHIFT) as u32;
        let zero = self.zeros_for(guard.object());
        self.neighbours(guard, index.wrapping_sub(back), frames, zero);
        self.fill(at, first, frames);
    }

    /// Enters neighbours where nothing is mapped, and counts them.
    fn fill(&self, at: &Faulting<M>, first: usize, frames: &[Frame]) {
        let mut entered = at
            .map
            .pmap
            .fill(&self.machine, self, first, frames, at.granted());
        self.counters.add(
            self.machine.cpu(),
            Event::Around,
            u64::from(entered.count_ones()),
        );
        while entered != 0 {
            let frame = frames[entered.trailing_zeros() as usize];
            entered &= entered - 1;
            if !self.is_zero_frame(frame)
                && let Some(page) = self.page(frame)
            {
                page.mapped();
            }
        }
    }
}
