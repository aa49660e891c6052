//! Anons: logical pages of pageable memory (`vm_anon_t` in the seed).
//!
//! An anon lies in slots of chunks (see `amap`), one for each reference. While it is resident it
//! names its page, and the page names it. The count of page-table entries through which an anon is
//! *actually mapped* is kept with its page: an anon without a page is mapped nowhere.
//!
//! Invariants:
//! - **A1** `refs` is the number of slots that name the anon. Above one: a write copies it first
//!   (seed: "if >1, we make a new anon and copy it into our amap").
//! - **A2** `page` and the page's owner name each other.
//! - **A3** an anon lies at `index` in each amap that has it, and all those belong to objects of
//!   `family`: the family and the index are the queue of amap entries that the seed asks for.
//!
//! The lock of the object in whose amap it lies protects an anon that has one reference; the page
//! of one that has more does not change.

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::family::Family;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::page::Page;
use crate::sync::Field;
use crate::vm::Vm;

/// A logical page.
pub(crate) struct Anon<M: Machine> {
    /// Its page; never none in an anon that can be found, but for the moment of its making.
    pub page: Field<Option<Ptr<Page>>>,
    /// Who may have it (A3).
    pub family: Field<Option<Ptr<Family<M>>>>,
    refs: Field<u32>,
    /// The page number in the objects that have it.
    pub index: Field<u32>,
    /// Where a copy of its contents is, see [`Backing`](crate::pager::Backing); changed by the
    /// compressor too, when it moves the copy to a disk.
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
}

impl<M: Machine> Vm<M> {
    /// One slot less names the anon; the last one frees it and its page.
    pub(crate) fn release_anon(&self, anon: Ptr<Anon<M>>) {
        if anon.refs.atomic().fetch_sub(1, AcqRel) != 1 {
            return;
        }
        if let Some(page) = anon.page.get() {
            page.disown();
            self.let_go(page);
        }
        self.anons.free(&self.machine, &self.frames, anon);
    }

    /// One hold less on a page: the last one frees it. An anon has one on its page, and so has
    /// everyone who uses the page without a lock: I/O, a [`HeldPage`](crate::HeldPage).
    #[inline]
    pub(crate) fn let_go(&self, page: Ptr<Page>) {
        if page.holds().fetch_sub(1, AcqRel) == 1 {
            page.clear_flags(!0);
            self.frames.free_page(&self.machine, page);
        }
    }
}
