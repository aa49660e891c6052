//! Map entries: ranges of an address space (`vm_map_entry_t` in the seed).
//!
//! What an entry maps:
//! - *shared*: its object, which has a page at `offset` for each page of the entry;
//! - *private*, never written: the object it was mapped from, or none for anonymous memory:
//!   untouched memory costs an entry and no more;
//! - *private*, written: a private object, standing on the one it was mapped from, if any.
//!
//! The offset of private anonymous memory is the page number of the address where it was mapped, so
//! that neighbours can be joined; it wraps at 2^32 pages, as an entry is never longer than that.
//!
//! Lock: the map's. `start`, `end`, `offset` and `map` of an entry that has an object change with that
//! object locked too (O2).

use crate::addr::{PAGE_SHIFT, Prot};
use crate::kmem::Ptr;
use crate::link::{Linked, Links};
use crate::machine::Machine;
use crate::map::MapBody;
use crate::map::tree::{Node, Ranged};
use crate::map::watch::{SERVERS, Watch, WatchEvents};
use crate::object::ObjectBody;
use crate::request::{Advice, Inherit, Large, Share};
use crate::sync::Field;

/// Tag of the list of an object's entries.
pub(crate) struct InObject;

/// What entries must have in common to be joined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub prot: Prot,
    pub max_prot: Prot,
    pub inherit: Inherit,
    pub advice: Advice,
    pub large: Large,
    pub share: Share,
    pub wired: bool,
    /// Counted among what was promised (K2 in `commit`).
    pub promised: bool,
    /// Not to be counted.
    pub no_reserve: bool,
    /// Not to be written where memory is dumped.
    pub no_dump: bool,
    /// Wired, but brought in only when it is touched.
    pub on_fault: bool,
    /// Marked wired by a call that has not ended, or wired on fault before and now to be brought in.
    pub unsettled: bool,
    /// It grows downwards when it is touched below its start (`grow`).
    pub grows: bool,
    /// Its place, rights and contents are not taken away (`seal`).
    pub sealed: bool,
    /// Which accesses are to be told to whom.
    pub watch: Option<Watch>,
    /// A write is to be told before it may happen: the page tables grant none.
    pub write_protected: bool,
    /// No access is granted: whoever has this page elsewhere has lost it (`watch/poison.rs`).
    pub poisoned: bool,
    /// Nothing may be there (`guard`).
    pub guarded: bool,
    /// What the kernel has noted of it ([`Map::set_tag`](crate::Map::set_tag)).
    pub tag: u32,
}

/// The bit of [`Attributes::grows`], packed.
const GROWS: u64 = 1 << 27;
/// Where the number of the watcher begins, and the bit that says whether it follows.
const SERVER: u32 = 35;
const FOLLOWS: u32 = 63;

/// A range of an address space.
pub(crate) struct MapEntry<M: Machine> {
    pub start: Field<usize>,
    pub end: Field<usize>,
    /// The page number in the object at `start`.
    pub offset: Field<u32>,
    attributes: Field<u64>,
    /// [`Attributes::tag`].
    tag: Field<u32>,
    pub object: Field<Option<Ptr<ObjectBody<M>>>>,
    map: Field<Option<Ptr<MapBody<M>>>>,
    node: Node<MapEntry<M>>,
    in_object: Links<MapEntry<M>>,
}

impl<M: Machine> Ranged for MapEntry<M> {
    #[inline(always)]
    fn node(&self) -> &Node<Self> {
        &self.node
    }
    #[inline(always)]
    fn start(&self) -> usize {
        self.start.get()
    }
    #[inline(always)]
    fn end(&self) -> usize {
        self.end.get()
    }
    #[inline]
    fn guard_start(&self) -> usize {
        if self.attributes.get() & GROWS == 0 {
            self.start.get()
        } else {
            self.start.get().saturating_sub(self.map().guard)
        }
    }
}

impl<M: Machine> Linked<InObject> for MapEntry<M> {
    fn links(&self) -> &Links<Self> {
        &self.in_object
    }
}

impl<M: Machine> MapEntry<M> {
    /// An entry that is in no tree and no list yet, without an object.
    pub fn new(
        map: Ptr<MapBody<M>>,
        start: usize,
        end: usize,
        offset: u32,
        attributes: Attributes,
    ) -> MapEntry<M> {
        MapEntry {
            start: Field::new(start),
            end: Field::new(end),
            offset: Field::new(offset),
            attributes: Field::new(attributes.pack()),
            tag: Field::new(attributes.tag),
            object: Field::new(None),
            map: Field::new(Some(map)),
            node: Node::new(),
            in_object: Links::new(),
        }
    }

    /// The map whose entry it is. That map is locked, or the entry's object.
    #[inline(always)]
    pub fn map(&self) -> Ptr<MapBody<M>> {
        match self.map.get() {
            Some(map) => map,
            None => unreachable!("an entry is always some map's"),
        }
    }

    /// Makes it the entry of another map, at another place; its object, if it has one, is locked (O2).
    pub fn pass_to(&self, map: Ptr<MapBody<M>>, start: usize) {
        let end = start + (self.end.get() - self.start.get());
        self.map.set(Some(map));
        self.start.set(start);
        self.end.set(end);
        if self.object.get().is_none() {
            self.offset.set((start >> PAGE_SHIFT) as u32);
        }
    }

    #[inline(always)]
    pub fn attributes(&self) -> Attributes {
        Attributes::unpack(self.attributes.get(), self.tag.get())
    }

    pub fn set_attributes(&self, attributes: Attributes) {
        self.attributes.set(attributes.pack());
        self.tag.set(attributes.tag);
    }

    /// The rights that a fault may grant without a look at who watches, and at guards: all that the program has
    /// where there are none.
    #[inline(always)]
    pub fn granted(&self) -> Prot {
        Prot::from_bits_truncate(self.attributes.get() as u8 & 7)
    }

    /// Whether large leaves are wanted for it, without a look at the other attributes.
    #[inline(always)]
    pub fn large(&self) -> Large {
        Attributes::unpack_large(self.attributes.get())
    }

    /// Whether the two have the same attributes.
    pub fn is_like(&self, other: &MapEntry<M>) -> bool {
        self.attributes.get() == other.attributes.get() && self.tag.get() == other.tag.get()
    }

    pub fn pages(&self) -> usize {
        (self.end.get() - self.start.get()) >> PAGE_SHIFT
    }

    /// How many of its pages lie in a range that it meets.
    pub fn pages_within(&self, start: usize, end: usize) -> u64 {
        let (from, to) = (self.start.get().max(start), self.end.get().min(end));
        ((to - from) >> PAGE_SHIFT) as u64
    }

    /// The page number in the object of the page at `addr`.
    #[inline(always)]
    pub fn index_of(&self, addr: usize) -> u32 {
        self.offset
            .get()
            .wrapping_add(((addr - self.start.get()) >> PAGE_SHIFT) as u32)
    }

    /// The address of the object's page `index`, if the entry maps it. The object is locked.
    pub fn address_of(&self, index: u32) -> Option<usize> {
        let distance = index.wrapping_sub(self.offset.get()) as usize;
        (distance < self.pages()).then(|| self.start.get() + (distance << PAGE_SHIFT))
    }
}

impl Attributes {
    /// The most that the page tables may grant.
    pub fn allowed(self) -> Prot {
        if self.poisoned || self.guarded {
            Prot::empty()
        } else if self.write_protected {
            self.prot - Prot::WRITE
        } else {
            self.prot
        }
    }

    /// The same memory, watched by nobody.
    pub fn unwatched(self) -> Attributes {
        Attributes {
            watch: None,
            write_protected: false,
            ..self
        }
    }

    /// The same at another place.
    pub fn moved(self) -> Attributes {
        if self.watch.is_some_and(|watch| watch.follows) {
            self
        } else {
            self.unwatched()
        }
    }

    /// The same for pages that are new: what was said of single pages is not said of them.
    pub fn fresh(self) -> Attributes {
        Attributes {
            write_protected: false,
            poisoned: false,
            guarded: false,
            ..self
        }
    }

    /// Whether somebody is told of such an event.
    pub fn watches(self, event: WatchEvents) -> bool {
        self.watch.is_some_and(|watch| watch.events.contains(event))
    }

    /// Whether any fault must be looked at closely.
    fn is_asking(self) -> bool {
        self.watches(WatchEvents::MISSING) || self.watches(WatchEvents::MINOR)
    }

    /// See [`MapEntry::granted`].
    fn granted(self) -> Prot {
        if self.is_asking() {
            Prot::empty()
        } else {
            self.allowed()
        }
    }

    fn pack(self) -> u64 {
        let (events, server, follows) = self.watch.map_or((0, 0, false), |watch| {
            (watch.events.bits(), watch.server, watch.follows)
        });
        u64::from(self.granted().bits())
            | u64::from(self.max_prot.bits()) << 4
            | (self.inherit as u64) << 8
            | (self.advice as u64) << 12
            | (self.large as u64) << 14
            | (self.share as u64) << 16
            | u64::from(self.prot.bits()) << 17
            | u64::from(self.wired) << 20
            | u64::from(self.promised) << 21
            | u64::from(self.no_reserve) << 22
            | u64::from(self.no_dump) << 23
            | u64::from(self.poisoned) << 24
            | u64::from(self.write_protected) << 25
            | u64::from(self.on_fault) << 26
            | u64::from(self.grows) << GROWS.trailing_zeros()
            | u64::from(self.sealed) << 28
            | u64::from(self.unsettled) << 29
            | u64::from(self.guarded) << 30
            | u64::from(events) << 32
            | u64::from(server) << SERVER
            | u64::from(follows) << FOLLOWS
    }

    #[inline(always)]
    fn unpack_large(word: u64) -> Large {
        match word >> 14 & 3 {
            0 => Large::Unsaid,
            1 => Large::Asked,
            _ => Large::Never,
        }
    }

    #[inline(always)]
    fn unpack(word: u64, tag: u32) -> Attributes {
        Attributes {
            prot: Prot::from_bits_truncate((word >> 17) as u8 & 7),
            max_prot: Prot::from_bits_truncate((word >> 4) as u8 & 7),
            inherit: match word >> 8 & 3 {
                0 => Inherit::Share,
                1 => Inherit::Copy,
                2 => Inherit::None,
                _ => Inherit::Zero,
            },
            advice: match word >> 12 & 3 {
                0 => Advice::Normal,
                1 => Advice::Random,
                _ => Advice::Sequential,
            },
            large: Self::unpack_large(word),
            share: if word >> 16 & 1 == 0 {
                Share::Private
            } else {
                Share::Shared
            },
            wired: word >> 20 & 1 == 1,
            promised: word >> 21 & 1 == 1,
            no_reserve: word >> 22 & 1 == 1,
            no_dump: word >> 23 & 1 == 1,
            on_fault: word >> 26 & 1 == 1,
            grows: word & GROWS != 0,
            sealed: word >> 28 & 1 == 1,
            unsettled: word >> 29 & 1 == 1,
            watch: Watch::new(
                (word >> SERVER) as u32 & (SERVERS - 1),
                (word >> 32) as u8,
                word >> FOLLOWS & 1 == 1,
            ),
            write_protected: word >> 25 & 1 == 1,
            poisoned: word >> 24 & 1 == 1,
            guarded: word >> 30 & 1 == 1,
            tag,
        }
    }
}
