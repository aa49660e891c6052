//! What a caller asks of [`Map::map`](crate::Map::map), and what [`Map::query`](crate::Map::query)
//! tells.

use crate::addr::Prot;
use crate::machine::Machine;
use crate::map::Watch;
use crate::object::Object;

/// Where a mapping is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Wherever there is room.
    Anywhere,
    /// The same, but as low as there is room: address spaces are otherwise filled from above.
    Lowest,
    /// At this address if the place is free, else wherever there is room.
    Hint(usize),
    /// At this address, in the place of what is mapped there.
    Fixed(usize),
    /// At this address, or [`MapError::Occupied`](crate::MapError::Occupied).
    Free(usize),
}

/// Whether writes reach the object that is mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// Writes go to a copy of this mapping's own; until a page is written, the object shows
    /// through.
    Private,
    /// Writes go to the object.
    Shared,
}

/// What a child gets of a mapping at fork, as in minherit(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inherit {
    /// The same memory.
    Share,
    /// A copy, made when either side writes.
    Copy,
    /// Nothing.
    None,
    /// Untouched memory of the same size.
    Zero,
}

/// How a program says it will use a range: how many neighbours a fault maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Some neighbours on both sides.
    Normal,
    /// None.
    Random,
    /// Mostly those that follow.
    Sequential,
}

/// Whether large leaves are wanted for a range of private anonymous memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Large {
    /// It was not said.
    Unsaid,
    /// They are.
    Asked,
    /// They are not.
    Never,
}

/// For which private anonymous memory large leaves are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LargePages {
    /// None, whatever is asked for.
    Never,
    /// What asks for them.
    Asked,
    /// All but what asks for none.
    Always,
}

impl LargePages {
    /// Whether they are wanted for memory of which this was said.
    #[inline]
    pub fn wants(self, large: Large) -> bool {
        match self {
            LargePages::Never => false,
            LargePages::Asked => large == Large::Asked,
            LargePages::Always => large != Large::Never,
        }
    }
}

/// When the pages of wired memory are brought in. Once they are, they stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// At once.
    Now,
    /// Each when it is touched first.
    OnFault,
}

/// Where [`Map::remap`](crate::Map::remap) may put the mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remap {
    /// It stays where it is, or the call fails.
    InPlace,
    /// It moves where it cannot grow in its place.
    MayMove,
    /// It moves to this address, in the place of what is mapped there.
    Fixed(usize),
}

/// What is to be mapped.
pub enum Source<'a, 'v, M: Machine> {
    /// Memory that reads as zeros until it is written.
    Anonymous,
    /// An object from this offset on, in bytes, a multiple of the page size.
    Object(&'a Object<'v, M>, u64),
}

/// A mapping to be made. The constructors give the usual values, all fields may be changed.
pub struct MapRequest<'a, 'v, M: Machine> {
    /// Where.
    pub place: Place,
    /// Bytes; rounded up to whole pages.
    pub len: usize,
    /// The rights.
    pub prot: Prot,
    /// The rights that it may be given later.
    pub max_prot: Prot,
    /// What.
    pub source: Source<'a, 'v, M>,
    /// Whether writes reach the object.
    pub share: Share,
    /// What a child gets.
    pub inherit: Inherit,
    /// Not counted among what is promised to programs, as with MAP_NORESERVE; unless
    /// [`Commit::Strict`](crate::Commit::Strict) counts all.
    pub no_reserve: bool,
    /// Whether it is wired; it is also where [`Map::set_wire_future`](crate::Map::set_wire_future)
    /// says so. Mapping brings nothing in: who wants wired memory now populates it.
    pub wire: Option<Wire>,
    /// It grows downwards when it is touched below its start, as a stack does: private anonymous
    /// memory only.
    pub grows: bool,
}

impl<'a, 'v, M: Machine> MapRequest<'a, 'v, M> {
    /// Private anonymous memory, copied at fork.
    pub fn anonymous(len: usize, prot: Prot) -> Self {
        MapRequest {
            place: Place::Anywhere,
            len,
            prot,
            max_prot: Prot::all(),
            source: Source::Anonymous,
            share: Share::Private,
            inherit: Inherit::Copy,
            no_reserve: false,
            wire: None,
            grows: false,
        }
    }

    /// An object from a byte offset on. A child shares it if it is mapped shared, and copies it
    /// else.
    pub fn object(
        object: &'a Object<'v, M>,
        offset: u64,
        len: usize,
        prot: Prot,
        share: Share,
    ) -> Self {
        MapRequest {
            source: Source::Object(object, offset),
            share,
            inherit: match share {
                Share::Private => Inherit::Copy,
                Share::Shared => Inherit::Share,
            },
            ..MapRequest::anonymous(len, prot)
        }
    }

    /// The same at another place.
    pub fn at(self, place: Place) -> Self {
        MapRequest { place, ..self }
    }
}

/// One entry of an address space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// The first address.
    pub start: usize,
    /// The end, exclusive.
    pub end: usize,
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
    /// Whether its pages stay in memory.
    pub wired: bool,
    /// Whether it is to be left out where memory is dumped.
    pub no_dump: bool,
    /// Whether, if it is wired, its pages come only when they are touched.
    pub on_fault: bool,
    /// Whether it grows downwards.
    pub grows: bool,
    /// Whether it is sealed.
    pub sealed: bool,
    /// Which accesses are told to whom ([`Map::watch`](crate::Map::watch)).
    pub watch: Option<Watch>,
    /// Whether writes are told of ([`Map::write_protect`](crate::Map::write_protect)).
    pub write_protected: bool,
    /// Whether no access is allowed since the pages were lost ([`Map::poison`](crate::Map::poison)).
    pub poisoned: bool,
    /// Whether it is a guard: nothing may be there ([`Map::guard`](crate::Map::guard)).
    pub guarded: bool,
    /// What the kernel has noted of it ([`Map::set_tag`](crate::Map::set_tag)); 0 at first.
    pub tag: u32,
    /// The offset into what was mapped, in bytes; 0 for private anonymous memory.
    pub offset: u64,
    /// Which object was mapped; none for private anonymous memory.
    pub object_id: Option<u64>,
    /// The cookie of that object.
    pub cookie: Option<usize>,
}

/// What an address space holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MapUsage {
    /// Bytes in all entries.
    pub mapped_bytes: u64,
    /// Pages in the page tables.
    pub resident_pages: u64,
    /// Those of them that are memory which large leaves map.
    pub large_pages: u64,
    /// Frames that the page tables take.
    pub table_frames: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes in wired entries.
    pub wired_bytes: u64,
    /// Pages promised for its entries: those of private mappings that may be or were writable.
    pub promised_pages: u64,
}
