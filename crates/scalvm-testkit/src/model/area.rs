//! A range of an address space, all of whose pages have the same attributes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use scalvm::{Advice, Inherit, Large, Prot, Share, Watch};

use super::bytes::Bytes;
use super::object::ObjectRef;

/// What can be told of a range with `query`, but for what it maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes {
    /// The rights.
    pub prot: Prot,
    /// The rights it may be given.
    pub max_prot: Prot,
    /// Whether writes reach the object.
    pub share: Share,
    /// What a child gets.
    pub inherit: Inherit,
    /// How it is used.
    pub advice: Advice,
    /// Whether large leaves are wanted.
    pub large: Large,
    /// Whether it was wired.
    pub wired: bool,
    /// Whether it is left out of dumps.
    pub no_dump: bool,
    /// Whether its pages were to come only when they are touched.
    pub on_fault: bool,
    /// Whether it grows downwards.
    pub grows: bool,
    /// Whether it was sealed.
    pub sealed: bool,
    /// Who is told of which accesses.
    pub watch: Option<Watch>,
    /// Whether of writes.
    pub write_protected: bool,
    /// Whether its pages are lost.
    pub poisoned: bool,
    /// Whether nothing may be there.
    pub guarded: bool,
    /// What was noted of it.
    pub tag: u32,
}

impl Attributes {
    /// Whether such memory counts as data.
    pub fn is_data(&self) -> bool {
        self.share == Share::Private && self.prot.contains(Prot::WRITE) && !self.grows
    }
}

/// Pages that a private mapping has for itself, by a number of the mapping's own.
pub type Layer = Rc<RefCell<BTreeMap<u64, Bytes>>>;

/// A range without holes. Where it begins is the key under which the space keeps it.
#[derive(Clone)]
pub struct Area {
    /// The end, exclusive.
    pub end: usize,
    /// Its attributes.
    pub attributes: Attributes,
    /// Of a private mapping: its own pages, and the number of the first page of the area there. Spaces
    /// that inherited it with `Inherit::Share` have the same layer.
    pub layer: Option<(Layer, u64)>,
    /// The object that is mapped, and the page there at which the area begins. None: zeros.
    pub source: Option<(ObjectRef, u64)>,
}

impl Area {
    /// The part of the area that begins `pages` later.
    pub fn tail(&self, pages: u64) -> Area {
        let mut tail = self.clone();
        if let Some((_, first)) = &mut tail.layer {
            *first += pages;
        }
        if let Some((_, first)) = &mut tail.source {
            *first += pages;
        }
        tail
    }

    /// A new, empty layer.
    pub fn empty_layer() -> Option<(Layer, u64)> {
        Some((Layer::default(), 0))
    }

    /// The mapping's own copy of its page number `page`, if it has one.
    pub fn own(&self, page: u64) -> Option<Bytes> {
        let (layer, first) = self.layer.as_ref()?;
        layer.borrow().get(&(first + page)).cloned()
    }

    /// Page number `page` of the area as a load sees it, or none beyond the end of the object.
    pub fn page(&self, page: u64) -> Option<Bytes> {
        if let Some(own) = self.own(page) {
            return Some(own);
        }
        match &self.source {
            Some((object, first)) => object.borrow().page(first + page),
            None => Some(Bytes::ZERO),
        }
    }

    /// Gives a private mapping its own copy of a page. None beyond the end of the object.
    pub fn make_own(&self, page: u64) -> Option<()> {
        let mut bytes = self.page(page)?;
        bytes.write(0, &[]);
        if let Some((layer, first)) = &self.layer {
            layer.borrow_mut().insert(first + page, bytes);
        }
        Some(())
    }

    /// Writes into a page that is there, into the mapping's own copy if it is private.
    pub fn write(&self, page: u64, offset: usize, bytes: &[u8]) {
        match (&self.layer, &self.source) {
            (Some((layer, first)), _) => {
                let mut copy = self.page(page).expect("the page is there");
                copy.write(offset, bytes);
                layer.borrow_mut().insert(first + page, copy);
            }
            (None, Some((object, first))) => object.borrow_mut().write(first + page, offset, bytes),
            (None, None) => unreachable!("a shared mapping has an object"),
        }
    }

    /// Gives up the mapping's own copies of its pages, if nothing lies underneath and it is not wired.
    pub fn give_up(&self, pages: std::ops::Range<u64>) {
        if let (Some((layer, first)), None, false) =
            (&self.layer, &self.source, self.attributes.wired)
        {
            layer
                .borrow_mut()
                .range_mut(first + pages.start..first + pages.end)
                .for_each(|(_, page)| page.give_up());
        }
    }

    /// Whether only one thing can be found in a page of the area's own.
    pub fn is_certain(&self, page: u64) -> bool {
        self.layer.as_ref().is_none_or(|(layer, first)| {
            let layer = layer.borrow();
            layer.get(&(first + page)).is_none_or(Bytes::is_certain)
        })
    }

    /// These bytes were found in a page of the area. What that tells of a page that was given up is noted.
    pub fn found(&self, page: u64, offset: usize, bytes: &[u8]) {
        if let Some((layer, first)) = &self.layer
            && let Some(own) = layer.borrow_mut().get_mut(&(first + page))
        {
            own.found(offset, bytes);
        }
    }

    /// Drops own copies of pages, so that what lies underneath shows again.
    pub fn drop_own(&self, pages: std::ops::Range<u64>) {
        if let Some((layer, first)) = &self.layer {
            let numbers = first + pages.start..first + pages.end;
            layer
                .borrow_mut()
                .retain(|number, _| !numbers.contains(number));
        }
    }
}
