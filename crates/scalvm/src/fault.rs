//! Faults: from an address and an access to a mapping in the page tables, or to an outcome that
//! says why not.
//!
//! The path, with the locks that it holds:
//!
//! 1. Map, for reading: find the entry, check the rights. The first write to a private entry needs
//!    a private object, which the map must be locked for writing to get; then the fault begins
//!    again.
//! 2. Object, and the one underneath: find the page to read or to write (`object::pages`), enter
//!    it, and with a read its neighbours. The old page of a copy is let go of when no translation
//!    to it is left.
//! 3. Where a page must be brought: mark the pages of a cluster busy, let go of all locks, start
//!    the I/O; the outcome is to wait and try again. Nothing is remembered meanwhile: the fault
//!    begins again and looks anew.
//!
//! A page of zeros is made with no object locked, so that faults on one object seldom wait for each
//! other.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::addr::{Access, Frame, PAGE_SHIFT, PAGE_SIZE, Prot, page_floor};
use crate::amap::SLOTS;
use crate::error::{FaultError, OutOfMemory, PagerError};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::{Map, MapBody, MapEntry};
use crate::object::{
    Found, Kind, Miss, NewObject, ObjectBody, ObjectGuard, Readable, Writable, Zeros,
};
use crate::page::{Page, State};
use crate::pager::Bring;
use crate::pmap::{Cache, Enter, Pmap};
use crate::request::{Advice, Share};
use crate::stats::Event;
use crate::vm::Vm;

/// Pages that a fault looks at, its own included, where the advice is normal or sequential. Sixteen
/// pages are a quarter of a chunk and of the reach of one page of page-table entries; more cost
/// more than they save (arbitrary).
const AROUND: usize = 16;

/// How a fault ended.
#[derive(Debug)]
#[must_use]
pub enum Fault<'v> {
    /// The access can be tried again.
    Resolved,
    /// A page is being brought: wait, then call again.
    Wait(Ticket<'v>),
    /// There is no mapping at the address.
    NoMapping,
    /// The mapping does not allow this access.
    Protection,
    /// The address lies beyond the end of the object that is mapped there.
    BeyondEnd,
    /// No memory.
    OutOfMemory,
    /// The pager failed.
    Pager(PagerError),
}

/// Something to wait for: a page that is being read or written.
#[derive(Debug)]
pub struct Ticket<'v> {
    word: &'v AtomicU32,
    value: u32,
}

impl<'v> Ticket<'v> {
    /// For a page whose object is locked.
    pub(crate) fn new<M: Machine>(vm: &'v Vm<M>, page: &Page) -> Ticket<'v> {
        let word = vm.wait_word(page);
        Ticket {
            word,
            value: word.load(Relaxed),
        }
    }

    /// Whether what is waited for may have happened.
    pub fn is_due(&self) -> bool {
        self.word.load(Acquire) != self.value
    }

    /// Blocks until it is worth trying again. No lock of the manager is held.
    pub fn wait<M: Machine>(&self, vm: &Vm<M>) {
        while !self.is_due() {
            vm.machine.wait(self.word, self.value);
        }
    }
}

/// What a round of a fault came to.
enum Step<'v> {
    Done(Fault<'v>),
    /// Begin again.
    Again,
    /// The entry needs a private object.
    Private,
}

impl<'v, M: Machine> Map<'v, M> {
    /// Handles a fault: a program with this address space cannot make an access. Never blocks, as
    /// long as the pager does not when it starts a request.
    pub fn fault(&self, addr: usize, access: Access) -> Fault<'v> {
        let vm = self.vm;
        vm.count(Event::Fault);
        let va = page_floor(addr);
        let mut zeros = None;
        let outcome = loop {
            match self.step(va, access, &mut zeros) {
                Step::Done(outcome) => break outcome,
                Step::Again => {}
                Step::Private => {
                    if self.make_private(va).is_err() {
                        break Fault::OutOfMemory;
                    }
                }
            }
        };
        if let Some(page) = zeros {
            vm.let_go(page);
        }
        outcome
    }

    /// The same, waiting for I/O as often as need be.
    pub fn fault_wait(&self, addr: usize, access: Access) -> Result<(), FaultError> {
        loop {
            return Err(match self.fault(addr, access) {
                Fault::Resolved => return Ok(()),
                Fault::Wait(ticket) => {
                    ticket.wait(self.vm);
                    continue;
                }
                Fault::NoMapping => FaultError::NoMapping,
                Fault::Protection => FaultError::Protection,
                Fault::BeyondEnd => FaultError::BeyondEnd,
                Fault::OutOfMemory => FaultError::OutOfMemory,
                Fault::Pager(error) => FaultError::Pager(error),
            });
        }
    }

    /// One round.
    fn step(&self, va: usize, access: Access, zeros: &mut Zeros) -> Step<'v> {
        let vm = self.vm;
        let map = self.body.read(vm);
        let Some(entry) = map.map.tree.find(va) else {
            return Step::Done(Fault::NoMapping);
        };
        let attributes = entry.attributes();
        if !attributes.prot.contains(access.needs()) {
            return Step::Done(Fault::Protection);
        }
        let write = access == Access::Write;
        let place = Faulting {
            map: self.body,
            entry,
            va,
            access,
            prot: attributes.prot,
            advice: attributes.advice,
        };
        let Some(object) = entry.object.get() else {
            return if write {
                Step::Private
            } else {
                Step::Done(vm.enter_zeros(&place))
            };
        };
        let index = entry.index_of(va);
        let end = object.under.unwrap_or(object);
        if let Kind::Device(first, cache) = object.kind {
            return Step::Done(if object.has_page(index) {
                vm.enter_device(
                    &place,
                    object,
                    index,
                    Frame(first.0 + u64::from(index)),
                    cache,
                )
            } else {
                Fault::BeyondEnd
            });
        }
        let private = attributes.share == Share::Private;
        let mut guard = object.lock(vm);
        let miss = loop {
            if !end.has_page(index) {
                return Step::Done(Fault::BeyondEnd);
            }
            if write && private && !object.private {
                return Step::Private;
            }
            let entered = if write {
                vm.page_to_write(&guard, index, zeros)
                    .map(|found| vm.enter_to_write(&place, object, index, found))
            } else {
                vm.page_to_read(&guard, index, zeros)
                    .map(|found| vm.enter_to_read(&place, &guard, index, found))
            };
            match entered {
                Ok(fault) => return Step::Done(fault),
                Err(Miss::NeedZeros) => {
                    drop(guard);
                    match vm.zeroed_page() {
                        Ok(page) => *zeros = Some(page),
                        Err(OutOfMemory) => return Step::Done(Fault::OutOfMemory),
                    }
                    guard = object.lock(vm);
                }
                Err(miss) => break miss,
            }
        };
        match miss {
            Miss::NeedZeros => Step::Again,
            Miss::OutOfMemory => Step::Done(Fault::OutOfMemory),
            Miss::Failed(error) => Step::Done(Fault::Pager(error)),
            Miss::Busy(page) => Step::Done(Fault::Wait(Ticket::new(vm, &page))),
            Miss::Absent(holder) => match vm.begin_bring(&guard, holder, index) {
                Err(OutOfMemory) => Step::Done(Fault::OutOfMemory),
                Ok(bring) => {
                    drop(guard);
                    drop(map);
                    self.start(bring)
                }
            },
        }
    }

    /// Starts the I/O that a fault needs, with no lock held.
    fn start(&self, bring: Bring<'v, M>) -> Step<'v> {
        self.vm.count(Event::MajorFault);
        let ticket = bring.start(self.vm);
        if ticket.is_due() {
            Step::Again
        } else {
            Step::Done(Fault::Wait(ticket))
        }
    }

    /// Gives the entry at `va` a private object, standing on what it was mapped from.
    fn make_private(&self, va: usize) -> Result<(), OutOfMemory> {
        let map = self.body.write(self.vm);
        match map.map.tree.find(va) {
            Some(entry) => self.vm.make_private(&map, entry),
            None => Ok(()),
        }
    }
}

impl<M: Machine> Vm<M> {
    /// Gives a private entry a private object if it has none yet.
    pub(crate) fn make_private(
        &self,
        map: &crate::map::MapWrite<'_, M>,
        entry: Ptr<MapEntry<M>>,
    ) -> Result<(), OutOfMemory> {
        let under = entry.object.get();
        if under.is_some_and(|object| object.private) {
            return Ok(());
        }
        debug_assert!(map.map == entry.map);
        let object = self.make_object(NewObject::private(under))?;
        if let Some(under) = under {
            // What maps the page now, the new object finds underneath: one lock covers both (O2).
            let _under = under.lock(self);
            under.entries.remove(entry);
            entry.object.set(Some(object));
            object.entries.push(entry);
        } else {
            entry.object.set(Some(object));
            object.entries.push(entry);
        }
        if let Some(under) = under {
            self.release_object(under);
        }
        Ok(())
    }

    /// A page of zeros with one hold.
    pub(crate) fn zeroed_page(&self) -> Result<Ptr<Page>, OutOfMemory> {
        let page = self
            .frames
            .alloc_page(&self.machine, State::Anon)
            .ok_or(OutOfMemory)?;
        page.holds().store(1, Relaxed);
        self.machine.zero_frame(page.frame());
        self.count(Event::ZeroFill);
        Ok(page)
    }

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
    fn enter_to_write(
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
    fn enter_to_read(
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
    #[inline]
    fn enter_page(
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
            origin: (object.id, u64::from(index)),
        };
        let entered = at.map.pmap.enter(&self.machine, self, at.va, how);
        let Ok((replaced, debt)) = entered else {
            return Fault::OutOfMemory;
        };
        found.page.mapped();
        found.place.set_mapped();
        if let Some(replaced) = replaced {
            self.unmapped(replaced);
        }
        self.pay(debt, &at.map.target().pmap);
        Fault::Resolved
    }

    /// Maps untouched anonymous memory, for reading, and its neighbours with it.
    fn enter_zeros(&self, at: &Faulting<M>) -> Fault<'static> {
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

    fn enter_device(
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
            origin: (object.id, u64::from(index)),
        };
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

/// A fault in progress, past the checks.
struct Faulting<M: Machine> {
    map: Ptr<MapBody<M>>,
    entry: Ptr<MapEntry<M>>,
    va: usize,
    access: Access,
    prot: Prot,
    advice: Advice,
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
