//! What an object is.
//!
//! Kinds:
//! - **anonymous**: an amap. With `private` set, the manager made it for a private mapping, no
//!   handle to it exists, and it may stand on another object, which shows through where the amap
//!   has nothing. Never a chain: the one underneath is not private.
//! - **vnode**: an amap whose anons the vnode pager brings and puts back.
//! - **device**: a run of frames that are not the manager's (`device`).
//!
//! Invariants:
//! - **O1** `refs` counts handles, map entries, and private objects that stand on this one.
//! - **O2** `entries` lists every map entry that maps the object; it and the ranges of its entries
//!   change only with the object locked *and* the one underneath, so that either lock suffices to
//!   walk it.
//! - **O3** an object that is `exclusive` is mapped by entries of one map, which do not overlap;
//!   its amap has nothing outside of them, unless memory was too short to take it out. One that is
//!   `growable` has nothing at the indices next to its entries either, nor does another entry map
//!   those.
//! - **O4** only an exclusive object is read through the shared frame of zeros where it has no
//!   anon: any other gets an anon, so that a later write need not look for other mappings.
//! - **O5** while the object is locked, every mapping of a page of it is one that `entries` tells,
//!   directly or of an object that stands on it, and is entered with the lock held.
//!
//! Lock: one, rank Object, or Underneath when it is taken as the lower one of two.

use core::sync::atomic::Ordering::{AcqRel, Relaxed};

use crate::addr::{Frame, PAGE_SHIFT, PAGE_SIZE};
use crate::amap::Amap;
use crate::error::{MapError, OutOfMemory};
use crate::family::Family;
use crate::kmem::Ptr;
use crate::link::{Linked, Links, List};
use crate::machine::{Machine, Rank};
use crate::map::MapEntry;
use crate::object::entries::Entries;
use crate::pager::{DirtyMark, Pager, Tracks, WriteErrors};
use crate::pmap::Cache;
use crate::sync::{Field, SpinGuard, SpinLock};
use crate::vm::Vm;

/// Tag of the list of a family's members, or of all device objects.
pub(crate) struct InFamily;
/// Tag of the list of the private objects that stand on one.
pub(crate) struct OnTop;

/// What kind of object it is.
pub(crate) enum Kind<M: Machine> {
    Anonymous,
    Vnode(&'static dyn Pager<M>),
    Device(Frame, Cache),
}

/// A mappable object.
pub(crate) struct ObjectBody<M: Machine> {
    lock: SpinLock,
    /// Made by the manager for a private mapping.
    pub private: bool,
    /// Its size counts among what was promised (K1 in `commit`).
    pub promised: bool,
    /// See O3.
    pub exclusive: Field<bool>,
    /// See O3.
    pub growable: Field<bool>,
    /// No hole is punched into it.
    pub kept: Field<bool>,
    refs: Field<u32>,
    pub kind: Kind<M>,
    pub id: u64,
    pub cookie: Field<usize>,
    /// Bytes; without meaning in a private object.
    pub size: Field<u64>,
    pub amap: Field<Option<Ptr<Amap<M>>>>,
    pub family: Field<Option<Ptr<Family<M>>>>,
    pub entries: Entries<M>,
    /// The object that shows through.
    pub under: Option<Ptr<ObjectBody<M>>>,
    /// The private objects that stand on this one; this object's lock.
    pub on_top: List<ObjectBody<M>, OnTop>,
    /// How it is read, once a page of it was missed.
    pub tracks: Field<Option<Ptr<Tracks>>>,
    /// Why pages could not be written.
    pub write_errors: WriteErrors,
    /// Its place among the objects that may be dirty.
    pub dirty: DirtyMark<M>,
    /// While the map that has the object forks: the child's copy. The map's lock, and O3.
    pub twin: Field<Option<Ptr<ObjectBody<M>>>>,
    /// log2 of how many pages are read from swap together.
    pub window: Field<u32>,
    /// What was read from swap last: the first page, and the one behind the last.
    pub last_return: (Field<u32>, Field<u32>),
    in_family: Links<ObjectBody<M>>,
    on_top_links: Links<ObjectBody<M>>,
}

impl<M: Machine> Linked<InFamily> for ObjectBody<M> {
    fn links(&self) -> &Links<Self> {
        &self.in_family
    }
}

impl<M: Machine> Linked<OnTop> for ObjectBody<M> {
    fn links(&self) -> &Links<Self> {
        &self.on_top_links
    }
}

/// What a new object is to be.
pub(crate) struct NewObject<M: Machine> {
    pub kind: Kind<M>,
    pub size: u64,
    pub cookie: usize,
    pub private: bool,
    pub under: Option<Ptr<ObjectBody<M>>>,
    pub family: Option<Ptr<Family<M>>>,
    pub amap: bool,
    pub promised: bool,
}

impl<M: Machine> NewObject<M> {
    /// One that can have handles.
    pub fn public(kind: Kind<M>, size: u64) -> NewObject<M> {
        NewObject {
            promised: matches!(kind, Kind::Anonymous),
            kind,
            size,
            cookie: 0,
            private: false,
            under: None,
            family: None,
            amap: true,
        }
    }

    /// One of a private mapping.
    pub fn private(under: Option<Ptr<ObjectBody<M>>>) -> NewObject<M> {
        NewObject {
            private: true,
            under,
            ..NewObject::public(Kind::Anonymous, 0)
        }
    }
}

/// The pages of so many bytes, the last one perhaps in part.
#[inline(always)]
pub(super) fn pages_of(size: u64) -> u64 {
    (size + (PAGE_SIZE as u64 - 1)) >> PAGE_SHIFT
}

/// Proof that an object, and the one underneath it, are locked.
pub(crate) struct ObjectGuard<'a, M: Machine> {
    object: Ptr<ObjectBody<M>>,
    _own: SpinGuard<'a, M>,
    _under: Option<SpinGuard<'a, M>>,
}

impl<M: Machine> ObjectGuard<'_, M> {
    /// The object that is locked.
    #[inline(always)]
    pub fn object(&self) -> Ptr<ObjectBody<M>> {
        self.object
    }

    /// Asserts that this guard is the object's, or that of an object which stands on it.
    #[inline(always)]
    pub fn covers(&self, object: Ptr<ObjectBody<M>>) {
        debug_assert!(self.object == object || self.object.under == Some(object));
    }
}

impl<M: Machine> Ptr<ObjectBody<M>> {
    /// Locks the object and what it stands on.
    #[inline]
    pub fn lock<'a>(self, vm: &'a Vm<M>) -> ObjectGuard<'a, M> {
        let own = self.target().lock.lock(&vm.machine, Rank::Object);
        let under = self
            .under
            .map(|under| under.target().lock.lock(&vm.machine, Rank::Underneath));
        ObjectGuard {
            object: self,
            _own: own,
            _under: under,
        }
    }

    /// One holder more.
    #[inline]
    pub fn retain(self) {
        self.refs.atomic().fetch_add(1, Relaxed);
    }
}

impl<M: Machine> Ptr<ObjectBody<M>> {
    /// One holder more, unless the last one has gone.
    pub fn try_retain(self) -> bool {
        let refs = self.target().refs.atomic();
        refs.fetch_update(Relaxed, Relaxed, |refs| (refs != 0).then_some(refs + 1))
            .is_ok()
    }
}

impl<M: Machine> ObjectBody<M> {
    /// The entries through which pages of the object may be mapped: its own, and those of the private
    /// objects that stand on it. The object is locked (O2).
    pub fn all_entries(&self) -> impl Iterator<Item = Ptr<MapEntry<M>>> {
        let uppers = self.on_top.iter();
        let shown = uppers.flat_map(|upper| upper.target().entries.iter());
        self.entries.iter().chain(shown)
    }

    /// How many hold it (O1).
    pub fn refs(&self) -> u32 {
        self.refs.get()
    }

    /// Pages up to the end, the last one perhaps in part.
    #[inline(always)]
    pub fn pages(&self) -> u64 {
        pages_of(self.size.get())
    }

    /// How many of them are promised.
    pub fn promised_pages(&self) -> u64 {
        if self.promised { self.pages() } else { 0 }
    }

    /// Whether it has a page of its own at an index, in memory or away. The object is locked.
    pub fn has_anon(&self, index: u32) -> bool {
        self.amap
            .get()
            .is_some_and(|amap| amap.anon(index).is_some())
    }

    /// Whether the page number, which may have wrapped in a private object, lies within the end.
    #[inline(always)]
    pub fn has_page(&self, index: u32) -> bool {
        self.private || u64::from(index) < self.pages()
    }
}

impl<M: Machine> Vm<M> {
    /// A new object whose size, where that counts, is promised with it; else as
    /// [`make_object`](Vm::make_object).
    pub(crate) fn promise_object(&self, new: NewObject<M>) -> Result<Ptr<ObjectBody<M>>, MapError> {
        let promised = if new.promised { pages_of(new.size) } else { 0 };
        self.promise(promised, 0)?;
        let made = self.make_object(new);
        Ok(made.inspect_err(|_| self.take_back(promised))?)
    }

    /// A new object with one holder, in a family given or new; what its size promises has been
    /// promised. Without `amap` it gets none; a device never has one, nor a family. No lock of an
    /// object may be held.
    pub(crate) fn make_object(&self, new: NewObject<M>) -> Result<Ptr<ObjectBody<M>>, OutOfMemory> {
        let (machine, frames) = (&self.machine, &self.frames);
        let device = matches!(new.kind, Kind::Device(..));
        let object = self.objects.alloc(
            machine,
            frames,
            ObjectBody {
                lock: SpinLock::new(),
                private: new.private,
                promised: new.promised,
                exclusive: Field::new(new.private),
                growable: Field::new(new.private),
                kept: Field::new(false),
                refs: Field::new(1),
                kind: new.kind,
                id: self.new_id(),
                cookie: Field::new(new.cookie),
                size: Field::new(new.size),
                amap: Field::new(None),
                family: Field::new(None),
                entries: Entries::new(),
                under: new.under,
                on_top: List::new(),
                tracks: Field::new(None),
                write_errors: WriteErrors::new(),
                dirty: DirtyMark::new(),
                twin: Field::new(None),
                window: Field::new(crate::pager::FIRST_WINDOW),
                last_return: (Field::new(u32::MAX), Field::new(u32::MAX)),
                in_family: Links::new(),
                on_top_links: Links::new(),
            },
        )?;
        if new.amap && !device {
            match self.amaps.alloc(machine, frames, Amap::new()) {
                Ok(amap) => object.amap.set(Some(amap)),
                Err(error) => {
                    self.objects.free(machine, frames, object);
                    return Err(error);
                }
            }
        }
        let family = match new.family {
            None if !device => self
                .families
                .alloc(machine, frames, Family::new())
                .map(Some),
            given => Ok(given),
        };
        match family {
            Ok(Some(family)) => self.join_family(family, object),
            Ok(None) => {}
            Err(error) => {
                if let Some(amap) = object.amap.get() {
                    self.release_amap(amap);
                }
                self.objects.free(machine, frames, object);
                return Err(error);
            }
        }
        if let Some(under) = new.under {
            under.retain();
            let _under = under.lock(self);
            under.on_top.push(object);
        }
        Ok(object)
    }

    /// One holder less; the last one ends the object. No lock of an object may be held.
    pub(crate) fn release_object(&self, object: Ptr<ObjectBody<M>>) {
        if object.refs.atomic().fetch_sub(1, AcqRel) != 1 {
            return;
        }
        self.forget_dirty(object);
        self.take_back(object.promised_pages());
        if let Some(under) = object.under {
            let guard = under.lock(self);
            under.on_top.remove(object);
            drop(guard);
            self.release_object(under);
        }
        if let Some(amap) = object.amap.get() {
            self.release_amap(amap);
        }
        // Last, since the page daemon finds an anon through it as long as there is one (F2).
        self.leave_family(object);
        if let Some(tracks) = object.tracks.get() {
            self.tracks.free(&self.machine, &self.frames, tracks);
        }
        match object.kind {
            Kind::Vnode(vnode) => vnode.released(object.cookie.get()),
            Kind::Device(..) => self.devices.leave(&self.machine, object),
            Kind::Anonymous => {}
        }
        self.objects.free(&self.machine, &self.frames, object);
    }
}
