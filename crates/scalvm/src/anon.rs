//! Anons: logical pages of pageable memory (`vm_anon_t` in the seed).
//!
//! An anon lies in slots of chunks (see `amap`), one for each reference. While it is resident it
//! names its page, and the page names it. The count of page-table entries through which an anon is
//! *actually mapped* is kept with its page: an anon without a page is mapped nowhere.
//!
//! States, told by `page`, the flags of that page, and `backing` (see [`Backing`]):
//!
//! | state | `page` | `backing` | moves |
//! |---|---|---|---|
//! | fresh | plain | none | written anew at will; *leaving* when the daemon has chosen it |
//! | clean | plain, not `DIRTY` | a copy | *fresh* when it is about to be written, giving the copy up; *put back*, without I/O |
//! | given up | plain, not `DIRTY` | zeros | *fresh* when it is about to be written; *put back*, without I/O, and then read as zeros |
//! | leaving | `BUSY` | none, or a stale copy | *put back* when it has been stored, *fresh* again when that failed or somebody uses it |
//! | put back | none | a copy | *arriving* when it is needed |
//! | arriving | `BUSY` | a copy | *clean* when it has been read; *failed* |
//! | failed | `FAILED` | a copy | *put back* when the error has been told |
//!
//! An anon of a vnode object has never a backing: where its page belongs is told by its index, and it
//! ends when its page leaves.
//!
//! Invariants:
//! - **A1** `refs` is the number of slots that name the anon. Above one: a write copies it first
//!   (seed: "if >1, we make a new anon and copy it into our amap").
//! - **A2** `page` and the page's owner name each other, once the anon lies in a slot. Cutting them
//!   apart needs the page's identity locked.
//! - **A3** an anon lies at `index` in each amap that has it, and all those belong to objects of
//!   `family`: the family and the index are the queue of amap entries that the seed asks for.
//! - **A4** an anon with a backing is mapped nowhere with the right to write, and nobody holds its
//!   page to write it.
//! - **A5** an anon has a page or a backing, but for the moment of its making.
//! - **A6** an anon whose backing is zeros lies in objects that stand on nothing, and is counted in
//!   `Pageout::given_up`.
//!
//! The lock of the object in whose amap it lies protects an anon that has one reference; the contents
//! of one that has more do not change. The page of either may be put back and brought again by
//! whoever has any of the objects locked, and by the daemon, which leave their marks in the page.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::family::Family;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::{AHEAD, DIRTY, Identity, Page};
use crate::pager::Backing;
use crate::stats::Event;
use crate::sync::Field;
use crate::vm::Vm;

/// A logical page.
pub(crate) struct Anon<M: Machine> {
    /// Its page, while it is resident.
    pub page: Field<Option<Ptr<Page>>>,
    /// Who may have it (A3).
    pub family: Field<Option<Ptr<Family<M>>>>,
    refs: Field<u32>,
    /// The page number in the objects that have it.
    pub index: Field<u32>,
    /// Where a copy of its contents is, packed. Changed by who has the page's identity locked or has
    /// put the page back, and by the compressor when it moves the copy to a disk.
    pub backing: Field<u64>,
}

impl<M: Machine> Anon<M> {
    /// An anon with one reference.
    pub fn new(page: Ptr<Page>, family: Option<Ptr<Family<M>>>, index: u32) -> Anon<M> {
        Anon {
            page: Field::new(Some(page)),
            family: Field::new(family),
            refs: Field::new(1),
            index: Field::new(index),
            backing: Field::new(0),
        }
    }

    /// How many slots name it.
    #[inline]
    pub fn refs(&self) -> u32 {
        self.refs.atomic().load(Acquire)
    }

    /// One slot more.
    #[inline]
    pub fn share(&self) {
        self.refs.atomic().fetch_add(1, Relaxed);
    }

    /// Where its copy is.
    #[inline]
    pub fn backing(&self) -> Backing {
        Backing::unpack(self.backing.get())
    }
}

impl<M: Machine> Ptr<Anon<M>> {
    /// Takes a page if it has none. The page's identity is locked, so that who finds it in the anon
    /// waits until it knows the anon too (A2).
    pub fn take_page(self, page: Ptr<Page>, _identity: &Identity<'_, M>) -> bool {
        let taken = self.page.replace(None, Some(page));
        if taken {
            page.own(self);
        }
        taken
    }
}

/// Where the contents of an anon are that is put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stored {
    /// Where they were.
    Before,
    /// They were stored anew.
    Anew(Backing),
}

/// What became of putting an anon back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cut {
    /// The anon has a copy, and no page.
    Done,
    /// There is no copy: nothing has changed.
    Refused,
    /// The anon has ended.
    Gone,
}

impl<M: Machine> Vm<M> {
    /// One slot less names the anon; the last one frees it and its page.
    pub(crate) fn release_anon(&self, anon: Ptr<Anon<M>>) {
        if anon.refs.atomic().fetch_sub(1, AcqRel) != 1 {
            return;
        }
        let had_copy = anon.backing.get() != 0;
        self.part_from_page(anon);
        // The daemon may have put it back meanwhile.
        if had_copy || anon.backing.get() != 0 {
            self.release_backing(anon);
            // As long as it had a slot, who empties a device may have given it a page, and have parted
            // it from the slot as well.
            self.part_from_page(anon);
        }
        self.anons.free(&self.machine, &self.frames, anon);
    }

    /// Lets go of the page of an anon that nobody names any more.
    #[inline]
    fn part_from_page(&self, anon: Ptr<Anon<M>>) {
        while let Some(page) = anon.page.get() {
            let identity = page.identify(&self.machine);
            // The daemon may just have put it back.
            if anon.page.get() == Some(page) {
                anon.page.set(None);
                page.disown(&identity);
                drop(identity);
                self.let_go(page);
                return;
            }
        }
    }

    /// Frees the copy of an anon. Who empties a swap device knows the anon by its slot and may part
    /// the two as well: so a slot is freed by whoever takes it out of the anon.
    #[cold]
    pub(crate) fn release_backing(&self, anon: Ptr<Anon<M>>) {
        loop {
            let word = anon.backing.get();
            match Backing::unpack(word) {
                Backing::None => return,
                Backing::Zeros => {
                    if anon.backing.replace(word, 0) {
                        self.pageout.given_up.fetch_sub(1, Relaxed);
                    }
                }
                Backing::Slot(slot) => {
                    if anon.backing.replace(word, 0) {
                        self.swap.free(&self.machine, slot);
                        self.one_may_leave();
                    }
                }
                // Where this fails the compressor has just moved it to a disk.
                Backing::Compressed(handle) => {
                    if self.compressor.free(self, handle, anon) {
                        anon.backing.set(0);
                        self.one_may_leave();
                    }
                }
            }
        }
    }

    /// Gives up the copy of an anon whose page is about to be written (A4). The object is locked, and
    /// the anon has one reference.
    #[cold]
    pub(crate) fn part_from_backing(&self, anon: Ptr<Anon<M>>, page: Ptr<Page>) {
        page.set_flags(DIRTY);
        let identity = page.identify(&self.machine);
        if anon.page.get() == Some(page) {
            self.release_backing(anon);
        }
        drop(identity);
    }

    /// Takes the page from an anon: it is put back (A5). `store` is called while the anon is sure to
    /// be there, and tells where the copy is now, in the place of an older one; or none to change
    /// nothing.
    pub(crate) fn cut(
        &self,
        page: Ptr<Page>,
        anon: Ptr<Anon<M>>,
        store: impl FnOnce() -> Option<Stored>,
    ) -> Cut {
        let identity = page.identify(&self.machine);
        if page.owner() != Some(anon) {
            return Cut::Gone;
        }
        match store() {
            None => return Cut::Refused,
            // Where it is may change right now: the compressor moves it to a disk.
            Some(Stored::Before) => {}
            Some(Stored::Anew(backing)) => {
                self.release_backing(anon);
                anon.backing.set(backing.pack());
            }
        }
        anon.page.set(None);
        page.disown(&identity);
        drop(identity);
        self.let_go(page);
        Cut::Done
    }

    /// One hold less on a page: the last one frees it. An anon has one on its page, and so has
    /// everyone who uses the page without a lock: I/O, a [`HeldPage`](crate::HeldPage).
    #[inline]
    pub(crate) fn let_go(&self, page: Ptr<Page>) {
        if page.holds().fetch_sub(1, AcqRel) == 1 {
            if page.forget_flags() & AHEAD != 0 {
                self.count(Event::AheadWasted);
            }
            self.frames.free_page(&self.machine, page);
        }
    }
}
