//! The pages of an object: finding one, making one, replacing one that is shared.
//!
//! This is where the seed's two levels of copy-on-write are carried out:
//!
//! | seed | here |
//! |---|---|
//! | "when a write fault occurs we check the amap's refcount; if >1, we copy a new amap" | [`Vm::own_amap`], and its nodes as they are needed |
//! | "now we identify in which anon the fault refers, and check that anon's refcnt" | [`Vm::page_to_write`] |
//! | "if 1, we keep it around, map that page rw" | [`Writable`] without `old` |
//! | "if >1, we make a new anon and copy it into our amap. -- old anon refcnt" | the same with `old` |
//!
//! All functions here run with the object locked.

use crate::addr::Frame;
use crate::amap::{Amap, OwnPlace, Place, SLOTS, Way};
use crate::anon::{Anon, Stored};
use crate::error::{OutOfMemory, PagerError};
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::{Kind, ObjectBody, ObjectGuard};
use crate::page::{AHEAD, BUSY, DIRTY, Page, State, WRITING};
use crate::stats::Event;
use crate::vm::Vm;

/// A page of an object, and the slot in which its anon lies.
pub(crate) struct Found<M: Machine> {
    pub page: Ptr<Page>,
    pub place: Place<M>,
}

/// What an object has at an index.
pub(crate) enum Look<M: Machine> {
    /// This page.
    Page(Found<M>),
    /// Nothing: zeros.
    Hole,
    /// Nothing in memory: the vnode pager has it.
    Absent,
    /// An anon that has been put back.
    Away(Ptr<Anon<M>>),
    /// A page that is being read.
    Busy(Ptr<Page>),
    /// A page that could not be read. It was taken out, so that the next one to look tries again.
    Failed(PagerError),
}

/// Why there is no page yet.
pub(crate) enum Miss<M: Machine> {
    /// It must be brought into this object.
    Absent(Ptr<ObjectBody<M>>),
    /// This anon of this object must be brought back.
    Away(Ptr<ObjectBody<M>>, Ptr<Anon<M>>),
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
pub(crate) enum Readable<M: Machine> {
    Page(Found<M>),
    /// The shared frame of zeros will do (O4).
    Zeros,
}

/// A page to be written, and what it replaced.
pub(crate) struct Writable<M: Machine> {
    pub found: Found<M>,
    /// The anon that lay there before and is shared: released once no translation to it is left.
    pub old: Option<Ptr<Anon<M>>>,
}

impl<M: Machine> From<Found<M>> for Writable<M> {
    fn from(found: Found<M>) -> Self {
        Writable { found, old: None }
    }
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
    ) -> Look<M> {
        guard.covers(object);
        let place = object.amap.get().and_then(|amap| amap.place(index));
        let found = place.and_then(|place| Some((place, place.anon()?)));
        match found {
            Some((place, anon)) => match anon.page.get() {
                Some(page) if page.is_plain() => {
                    if page.test_flags(AHEAD) != 0 {
                        self.use_ahead(object, index, &page);
                    }
                    Look::Page(Found { page, place })
                }
                Some(page) => self.look_closely(object, index, anon, page),
                None => Look::Away(anon),
            },
            None if matches!(object.kind, Kind::Vnode(_)) => Look::Absent,
            None => Look::Hole,
        }
    }

    /// The same for a page that cannot be used as it is.
    #[cold]
    fn look_closely(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        anon: Ptr<Anon<M>>,
        page: Ptr<Page>,
    ) -> Look<M> {
        match page.error() {
            Some(error) => {
                if let Kind::Vnode(_) = object.kind {
                    self.drop_page(object, index);
                } else {
                    // It is put back again; the copy may be readable the next time.
                    self.cut(page, anon, || Some(Stored::Before));
                }
                Look::Failed(error)
            }
            None => {
                self.await_ahead(object, index);
                Look::Busy(page)
            }
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

    /// What a read of `index` meets, and in which object: the one that is locked, or where that has nothing the
    /// one underneath.
    #[inline]
    pub(crate) fn look_through(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
    ) -> (Ptr<ObjectBody<M>>, Look<M>) {
        let object = guard.object();
        match (self.look(guard, object, index), object.under) {
            (Look::Hole, Some(under)) => (under, self.look(guard, under, index)),
            (look, _) => (object, look),
        }
    }

    /// The page that a read of `index` sees: the object's own, else that of the one underneath,
    /// else zeros.
    pub(crate) fn page_to_read(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        zeros: &mut Zeros,
    ) -> Result<Readable<M>, Miss<M>> {
        let (holder, look) = self.look_through(guard, index);
        match look {
            Look::Page(found) => Ok(Readable::Page(found)),
            Look::Busy(page) => Err(Miss::Busy(page)),
            Look::Absent => Err(Miss::Absent(holder)),
            Look::Away(anon) => Err(Miss::Away(holder, anon)),
            Look::Failed(error) => Err(Miss::Failed(error)),
            Look::Hole if holder.exclusive.get() => Ok(Readable::Zeros),
            Look::Hole => self
                .insert_zeros(holder, index, Way::Unknown, zeros)
                .map(Readable::Page),
        }
    }

    /// The page that a write of `index` may change, in the object itself.
    #[inline]
    pub(crate) fn page_to_write(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        zeros: &mut Zeros,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        if let Kind::Vnode(_) = object.kind {
            return self.vnode_page_to_write(guard, index);
        }
        let amap = object.amap.get().ok_or(OutOfMemory)?;
        let own = match amap.own_way(index) {
            Way::Own(own) => own,
            Way::Ends(node) => return self.first_page(guard, index, Way::Ends(node), zeros),
            Way::Unknown => return self.unshared_page(guard, index, zeros),
        };
        let Some(anon) = own.place().anon() else {
            return self.first_page(guard, index, Way::Own(own), zeros);
        };
        self.page_in_place(guard, index, &own, anon)
    }

    fn vnode_page_to_write(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        match self.look(guard, object, index) {
            Look::Page(found) => {
                let writable = match found.place.anon() {
                    Some(anon) if anon.refs() > 1 => {
                        self.replace_lent(guard, index, anon, found)?
                    }
                    _ => found.into(),
                };
                writable.found.page.set_flags(DIRTY);
                self.note_dirty(object);
                Ok(writable)
            }
            Look::Busy(page) => Err(Miss::Busy(page)),
            Look::Failed(error) => Err(Miss::Failed(error)),
            Look::Absent | Look::Hole | Look::Away(_) => Err(Miss::Absent(object)),
        }
    }

    /// Puts a copy of a file's page in the place of the page itself, which is lent. One that is being written
    /// is waited for: two writes of one place could overtake each other.
    #[cold]
    fn replace_lent(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        old: Ptr<Anon<M>>,
        lent: Found<M>,
    ) -> Result<Writable<M>, Miss<M>> {
        let (object, from) = (guard.object(), lent.page);
        if from.test_flags(WRITING) != 0 {
            return Err(Miss::Busy(from));
        }
        let own = self.make_place(object, index)?;
        let (anon, page) = self.new_anon(object, index, State::File)?;
        self.machine.copy_frame(from.frame(), page.frame());
        self.count(Event::CowCopy);
        self.settle(&own, anon, page);
        self.unmap_object(guard, object, index, 1);
        let place = own.place();
        Ok(Writable {
            found: Found { page, place },
            old: Some(old),
        })
    }

    /// The same where something on the way to the anon is shared, or lacking.
    #[cold]
    fn unshared_page(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        zeros: &mut Zeros,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        if object
            .amap
            .get()
            .and_then(|amap| amap.anon(index))
            .is_none()
        {
            return self.first_page(guard, index, Way::Unknown, zeros);
        }
        let own = self.make_place(object, index)?;
        let anon = own.place().anon().ok_or(OutOfMemory)?;
        self.page_in_place(guard, index, &own, anon)
    }

    /// The page of an anon that lies in a slot of one's own: itself, or a copy if others have it.
    #[inline(always)]
    fn page_in_place(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        own: &OwnPlace<M>,
        anon: Ptr<Anon<M>>,
    ) -> Result<Writable<M>, Miss<M>> {
        let place = own.place();
        match anon.page.get() {
            Some(page) if page.is_plain() && anon.refs() == 1 => {
                if anon.backing.get() != 0 {
                    self.part_from_backing(anon, page);
                }
                Ok(Found { page, place }.into())
            }
            _ => self.copied_page(guard, index, own, anon),
        }
    }

    /// A copy of a page whose anon another object has as well, in its place.
    fn copied_page(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        own: &OwnPlace<M>,
        old: Ptr<Anon<M>>,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        let from = match self.look(guard, object, index) {
            Look::Page(found) => found.page,
            Look::Busy(page) => return Err(Miss::Busy(page)),
            Look::Failed(error) => return Err(Miss::Failed(error)),
            _ => return Err(Miss::Away(object, old)),
        };
        let (anon, page) = self.new_anon(object, index, State::Anon)?;
        self.machine.copy_frame(from.frame(), page.frame());
        self.count(Event::CowCopy);
        self.settle(own, anon, page);
        if !object.exclusive.get() {
            self.unmap_object(guard, object, index, 1);
        }
        let place = own.place();
        Ok(Writable {
            found: Found { page, place },
            old: Some(old),
        })
    }

    /// The first page that the object gets at an index: a copy of what shows through, or zeros.
    fn first_page(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        way: Way<M>,
        zeros: &mut Zeros,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        if let Some(under) = object.under {
            match self.look(guard, under, index) {
                Look::Page(source) => return self.insert_copy(guard, index, source.page),
                Look::Busy(page) => return Err(Miss::Busy(page)),
                Look::Failed(error) => return Err(Miss::Failed(error)),
                Look::Absent => return Err(Miss::Absent(under)),
                Look::Away(anon) => return Err(Miss::Away(under, anon)),
                Look::Hole => {}
            }
        }
        Ok(self.insert_zeros(object, index, way, zeros)?.into())
    }

    /// The slot for `index`, with nothing shared on the way to it.
    pub(crate) fn make_place(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
    ) -> Result<OwnPlace<M>, OutOfMemory> {
        let amap = self.own_amap(object)?;
        self.amap_place(amap, index)
    }

    /// A new page with its anon, in no amap yet.
    pub(super) fn new_anon(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        state: State,
    ) -> Result<(Ptr<Anon<M>>, Ptr<Page>), OutOfMemory> {
        let page = self.new_page(state)?;
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
        self.anons.alloc(&self.machine, &self.frames, anon)
    }

    /// Puts a new anon into its slot. From now on the daemon may find it through its page (A2).
    pub(crate) fn settle(&self, own: &OwnPlace<M>, anon: Ptr<Anon<M>>, page: Ptr<Page>) {
        own.set(anon);
        page.own(anon);
        // What must be read first is noted when it has been.
        if page.is_plain() {
            self.note(page);
        }
    }

    /// Puts a page of zeros where the object has nothing.
    pub(super) fn insert_zeros(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
        way: Way<M>,
        zeros: &mut Zeros,
    ) -> Result<Found<M>, Miss<M>> {
        let page = zeros.ok_or(Miss::NeedZeros)?;
        let anon = self.adopt(object, index, page)?;
        let own = match way {
            Way::Own(own) => Ok(own),
            Way::Ends(node) => self.extend_way(node, index),
            Way::Unknown => self.make_place(object, index),
        };
        let own = match own {
            Ok(own) => own,
            Err(error) => {
                self.anons.free(&self.machine, &self.frames, anon);
                return Err(error.into());
            }
        };
        self.settle(&own, anon, page);
        *zeros = None;
        let place = own.place();
        Ok(Found { page, place })
    }

    /// Puts a page that was made elsewhere where the object has nothing.
    pub(crate) fn insert_fresh(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        page: &mut Zeros,
    ) -> Result<Found<M>, OutOfMemory> {
        let object = guard.object();
        let found = self.insert_zeros(object, index, Way::Unknown, page);
        let found = found.map_err(|_| OutOfMemory)?;
        if !object.exclusive.get() {
            self.unmap_object(guard, object, index, 1);
        }
        Ok(found)
    }

    /// Puts a copy of a page of the object underneath where the object has nothing.
    fn insert_copy(
        &self,
        guard: &ObjectGuard<'_, M>,
        index: u32,
        source: Ptr<Page>,
    ) -> Result<Writable<M>, Miss<M>> {
        let object = guard.object();
        let (anon, page) = self.new_anon(object, index, State::Anon)?;
        let own = match self.make_place(object, index) {
            Ok(own) => own,
            Err(error) => {
                self.release_anon(anon);
                return Err(error.into());
            }
        };
        self.machine.copy_frame(source.frame(), page.frame());
        self.count(Event::CowCopy);
        self.settle(&own, anon, page);
        if !object.exclusive.get() {
            self.unmap_object(guard, object, index, 1);
        }
        let place = own.place();
        Ok(Found { page, place }.into())
    }

    /// Puts a new, busy page for the vnode pager to fill where the object has nothing.
    pub(crate) fn insert_busy(
        &self,
        object: Ptr<ObjectBody<M>>,
        index: u32,
    ) -> Result<Ptr<Page>, OutOfMemory> {
        let (anon, page) = self.new_anon(object, index, State::File)?;
        page.set_flags(BUSY);
        match self.make_place(object, index) {
            Ok(own) => self.settle(&own, anon, page),
            Err(error) => {
                self.release_anon(anon);
                return Err(error);
            }
        }
        Ok(page)
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
            let index = first.wrapping_add(i as u32);
            let inside = end.has_page(index);
            for chunk in [own, under].into_iter().flatten() {
                let Some(anon) = chunk.anon(slot + i) else {
                    continue;
                };
                *frame = Frame::NONE;
                if inside
                    && let Some(page) = anon.page.get().filter(|page| page.is_plain())
                    && !self.is_trigger(end, index, &page)
                {
                    chunk.set_mapped(slot + i);
                    *frame = page.frame();
                }
                break;
            }
        }
    }
}
