//! The pages of an object: finding one, making one, replacing one that is shared.
//!
//! This is where the seed's two levels of copy-on-write are carried out:
//!
//! | seed | here |
//! |---|---|
//! | "when a write fault occurs we check the amap's refcount; if >1, we copy a new amap" | [`Vm::own_amap`], and its nodes as they are needed |
//! | "now we identify in which anon the fault refers, and check that anon's refcnt" | [`Vm::page_to_write`] |
//! | "if 1, we keep it around, map that page rw" | [`Writable::page`] without `old` |
//! | "if >1, we make a new anon and copy it into our amap. -- old anon refcnt" | the same with `old` |
//!
//! All functions here run with the object locked.

use core::sync::atomic::Ordering::Relaxed;

use crate::addr::Frame;
use crate::amap::{Amap, SLOTS};
use crate::anon::Anon;
use crate::error::{OutOfMemory, PagerError};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, ObjectBody, ObjectGuard};
use crate::page::{BUSY, DIRTY, Page, State};
use crate::stats::Event;
use crate::vm::Vm;

/// What an object has at an index.
pub(crate) enum Look {
    /// This page.
    Page(Ptr<Page>),
    /// Nothing: zeros.
    Hole,
    /// Nothing in memory: the vnode pager has it.
    Absent,
    /// A page that is being read.
    Busy(Ptr<Page>),
    /// A page that could not be read. It was taken out, so that the next one to look tries again.
    Failed(PagerError),
}

/// Why there is no page yet.
pub(crate) enum Miss<M: Machine> {
    /// It must be brought into this object.
    Absent(Ptr<ObjectBody<M>>),
    /// It is being read.
    Busy(Ptr<Page>),
    /// It could not be read.
    Failed(PagerError),
    /// A page of zeros is needed, and the caller has brought none.
    NeedZeros,
    OutOfMemory,
}

impl<M: Machine> From<OutOfMemory> for Miss<M> {
    fn from(_: OutOfMemory) -> Self {
        Miss::OutOfMemory
    }
}

/// A page to be read.
pub(crate) enum Readable {
    Page(Ptr<Page>),
    /// The shared frame of zeros will do (O4).
    Zeros,
}

/// A page to be written, and what it replaced.
pub(crate) struct Writable<M: Machine> {
    pub page: Ptr<Page>,
    /// The anon that lay there before and is shared: released once no translation to it is left.
    pub old: Option<Ptr<Anon<M>>>,
}

/// A page of zeros that was made before the locks were taken.
pub(crate) type Zeros = Option<Ptr<Page>>;

impl<M: Machine> Vm<M> {
    /// What the object, which is locked, has at an index within its end.
    #[inline]
    pub(crate) fn look(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
    ) -> Look {
        guard.covers(object);
        let anon = object.amap.get().and_then(|amap| amap.anon(index));
        let Some(page) = anon.and_then(|anon| anon.page.get()) else {
            return if matches!(object.kind, Kind::Vnode(_)) {
                Look::Absent
            } else {
                Look::Hole
            };
        };
        if page.is_plain() {
            return Look::Page(page);
        }
        if page.test_flags(BUSY) != 0 {
            return Look::Busy(page);
        }
        match page.error() {
            Some(error) => {
                self.drop_page(object, index);
                Look::Failed(error)
            }
            None => Look::Page(page),
        }
    }

    /// Takes one page out of an object whose amap is its own.
    pub(crate) fn drop_page(&self, object: Ptr<ObjectBody<M>>, index: u32) {
        if let Some(amap) = object.amap.get() {
            self.wipe_amap(amap, index, index);
        }
    }

    /// The object's amap, copied first if it is shared with another object.
    #[inline]
    pub(crate) fn own_amap(&self, object: Ptr<ObjectBody<M>>) -> Result<Ptr<Amap<M>>, OutOfMemory> {
        let amap = object.amap.get().ok_or(OutOfMemory)?;
        if amap.refs() == 1 {
            return Ok(amap);
        }
        let own = self.copy_amap(amap)?;
        object.amap.set(Some(own));
        Ok(own)
    }

    /// The page that a read of `index` sees: the object's own, else that of the one underneath,
    /// else zeros.
    pub(crate) fn page_to_read(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        zeros: &mut Zeros,
    ) -> Result<Readable, Miss<M>> {
        let object = guard.object();
        let mut holder = object;
        let mut look = self.look(guard, object, index);
        if let (Look::Hole, Some(under)) = (&look, object.under) {
            holder = under;
            look = self.look(guard, under, index);
        }
        match look {
            Look::Page(page) => Ok(Readable::Page(page)),
            Look::Busy(page) => Err(Miss::Busy(page)),
            Look::Absent => Err(Miss::Absent(holder)),
            Look::Failed(error) => Err(Miss::Failed(error)),
            Look::Hole if holder.exclusive.get() => Ok(Readable::Zeros),
            Look::Hole => self.insert_zeros(holder, index, zeros).map(Readable::Page),
        }
    }

    /// The page that a write of `index` may change, in the object itself.
    pub(crate) fn page_to_write(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        zeros: &mut Zeros,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        if let Kind::Vnode(_) = object.kind {
            return match self.look(guard, object, index) {
                Look::Page(page) => {
                    page.set_flags(DIRTY);
                    Ok(Writable { page, old: None })
                }
                Look::Busy(page) => Err(Miss::Busy(page)),
                Look::Failed(error) => Err(Miss::Failed(error)),
                Look::Absent | Look::Hole => Err(Miss::Absent(object)),
            };
        }
        let own = object.amap.get().and_then(|amap| amap.anon(index));
        if own.is_none() {
            let source = match object.under {
                Some(under) => self.look(guard, under, index),
                None => Look::Hole,
            };
            return match source {
                Look::Page(source) => self.insert_copy(guard, index, source),
                Look::Busy(page) => Err(Miss::Busy(page)),
                Look::Failed(error) => Err(Miss::Failed(error)),
                Look::Absent => Err(Miss::Absent(object.under.unwrap_or(object))),
                Look::Hole => self
                    .insert_zeros(object, index, zeros)
                    .map(|page| Writable { page, old: None }),
            };
        }
        let amap = self.own_amap(object)?;
        let place = self.amap_place(amap, index)?;
        let Some(anon) = place.anon() else {
            return Err(Miss::OutOfMemory);
        };
        let Some(page) = anon.page.get() else {
            return Err(Miss::OutOfMemory);
        };
        if anon.refs() == 1 {
            return Ok(Writable { page, old: None });
        }
        // Shared with another object: a copy of our own takes its place.
        let copy = self.new_anon(object, index, State::Anon)?;
        let to = copy.1;
        self.machine.copy_frame(page.frame(), to.frame());
        self.count(Event::CowCopy);
        place.set(copy.0);
        if !object.exclusive.get() {
            self.unmap_page(guard, object, index);
        }
        Ok(Writable {
            page: to,
            old: Some(anon),
        })
    }

    /// A new page with its anon, in no amap yet.
    fn new_anon(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        state: State,
    ) -> Result<(Ptr<Anon<M>>, Ptr<Page>), OutOfMemory> {
        let page = self
            .frames
            .alloc_page(&self.machine, state)
            .ok_or(OutOfMemory)?;
        page.holds().store(1, Relaxed);
        match self.adopt(object, index, page) {
            Ok(anon) => Ok((anon, page)),
            Err(error) => {
                self.let_go(page);
                Err(error)
            }
        }
    }

    /// An anon for a page that nobody holds, in no amap yet.
    fn adopt(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        page: Ptr<Page>,
    ) -> Result<Ptr<Anon<M>>, OutOfMemory> {
        let anon = Anon::new(page, object.family.get(), index);
        let anon = self.anons.alloc(&self.machine, &self.frames, anon)?;
        page.own(anon);
        Ok(anon)
    }

    /// Puts a page of zeros where the object has nothing.
    fn insert_zeros(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        zeros: &mut Zeros,
    ) -> Result<Ptr<Page>, Miss<M>> {
        let Some(page) = *zeros else {
            return Err(Miss::NeedZeros);
        };
        let amap = self.own_amap(object)?;
        let anon = self.adopt(object, index, page)?;
        match self.amap_place(amap, index) {
            Ok(place) => place.set(anon),
            Err(error) => {
                page.disown();
                self.anons.free(&self.machine, &self.frames, anon);
                return Err(error.into());
            }
        }
        *zeros = None;
        Ok(page)
    }

    /// Puts a copy of a page of the object underneath where the object has nothing.
    fn insert_copy(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        source: Ptr<Page>,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        let amap = self.own_amap(object)?;
        let (anon, page) = self.new_anon(object, index, State::Anon)?;
        match self.amap_place(amap, index) {
            Ok(place) => place.set(anon),
            Err(error) => {
                self.release_anon(anon);
                return Err(error.into());
            }
        }
        self.machine.copy_frame(source.frame(), page.frame());
        self.count(Event::CowCopy);
        if !object.exclusive.get() {
            self.unmap_page(guard, object, index);
        }
        Ok(Writable { page, old: None })
    }

    /// Puts a new, busy page for the vnode pager to fill where the object has nothing.
    pub(crate) fn insert_busy(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
    ) -> Result<Ptr<Page>, OutOfMemory> {
        let amap = self.own_amap(object)?;
        let (anon, page) = self.new_anon(object, index, State::File)?;
        page.set_flags(BUSY);
        match self.amap_place(amap, index) {
            Ok(place) => place.set(anon),
            Err(error) => {
                self.release_anon(anon);
                return Err(error);
            }
        }
        Ok(page)
    }

    /// Removes every mapping of one page of an object, in whatever map, directly or through an
    /// object that stands on it (O5), so that all find what has taken its place.
    pub(crate) fn unmap_page(
        &self,
        guard: &ObjectGuard<'_, M>,
        object: Ptr<ObjectBody<M>>,
        index: u32,
    ) {
        self.unmap_object(guard, object, index, 1);
    }

    /// The frames that a fault may map along: those of the pages from index `first` on, in one
    /// chunk, that the object or the one underneath has in memory, `zero` where neither has one,
    /// and [`Frame::NONE`] where it cannot be mapped now.
    pub(crate) fn neighbours(
        &self,
        guard: &ObjectGuard<'_, M>,
        first: u32,
        frames: &mut [Frame],
        zero: Frame,
    ) {
        let object = guard.object();
        let chunk =
            |object: Ptr<ObjectBody<M>>| object.amap.get().and_then(|amap| amap.chunk(first));
        let own = chunk(object);
        let under = object.under.and_then(chunk);
        let end = object.under.unwrap_or(object);
        let slot = first as usize % SLOTS;
        for (i, frame) in frames.iter_mut().enumerate() {
            *frame = zero;
            let inside = end.has_page(first.wrapping_add(i as u32));
            for chunk in [own, under].into_iter().flatten() {
                let Some(page) = chunk.anon(slot + i).and_then(|anon| anon.page.get()) else {
                    continue;
                };
                *frame = Frame::NONE;
                if inside && page.is_plain() {
                    chunk.set_mapped(slot + i);
                    *frame = page.frame();
                }
                break;
            }
        }
    }
}
