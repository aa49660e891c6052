//! [`Tag`]: what describes a span or a segment.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};

use crate::kmem::Ptr;
use crate::sync::Field;

/// What `claim` is while no user has the segment. (The last number of all, in an arena that has it,
/// cannot be claimed by its number: such a segment is never cached.)
pub(crate) const UNCLAIMED: u64 = u64::MAX;

/// What a tag describes. The legal moves:
///
/// | from | to | when |
/// |---|---|---|
/// | `Spare` | `Span`, `Imported`, `Free` | a span is added, with one free segment |
/// | `Spare` | `Free` | a part of a free segment is left over |
/// | `Free` | `Taken` | allocated |
/// | `Taken` | `Free` | freed |
/// | `Free` | `Spare` | joined to the segment before it, or its span was given back |
/// | `Taken` | `Spare` | freed, and joined to the segment before it |
/// | `Imported` | `Spare` | given back to the source |
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing; it is at hand for what comes.
    Spare,
    /// A span that was added.
    Span,
    /// A span that came from the source.
    Imported,
    /// A free segment.
    Free,
    /// A segment that was allocated, or is in a cache.
    Taken,
}

impl Kind {
    /// Whether it is a span, not a segment.
    pub fn is_span(self) -> bool {
        matches!(self, Kind::Span | Kind::Imported)
    }
}

/// A span, a segment, or nothing yet. The arena's lock protects it.
#[repr(align(64))]
pub(crate) struct Tag {
    /// The first number.
    pub start: Field<u64>,
    /// How many; at least one.
    pub size: Field<u64>,
    /// See V8. Changed without the arena's lock by who has the segment, see `cache.rs`.
    claim: AtomicU64,
    kind: Field<u8>,
    /// Spans and segments in order, each span followed by its segments.
    pub next: Field<Option<Ptr<Tag>>>,
    pub prev: Field<Option<Ptr<Tag>>>,
    /// `Free`: the list of its size. `Taken`: the chain of its bucket. Of a span: the list of those.
    /// `Spare`: the chain of those.
    pub link: Field<Option<Ptr<Tag>>>,
    /// Of a free segment or a span: the one before in the list.
    pub back: Field<Option<Ptr<Tag>>>,
}

const _: () = assert!(size_of::<Tag>() == 64);

impl Tag {
    /// One that is spare.
    pub fn new() -> Tag {
        Tag {
            start: Field::new(0),
            size: Field::new(0),
            claim: AtomicU64::new(UNCLAIMED),
            kind: Field::new(Kind::Spare as u8),
            next: Field::new(None),
            prev: Field::new(None),
            link: Field::new(None),
            back: Field::new(None),
        }
    }

    /// What it describes.
    pub fn kind(&self) -> Kind {
        const KINDS: [Kind; 5] = [
            Kind::Spare,
            Kind::Span,
            Kind::Imported,
            Kind::Free,
            Kind::Taken,
        ];
        KINDS[usize::from(self.kind.get())]
    }

    /// Changes what it describes.
    pub fn set_kind(&self, kind: Kind) {
        self.kind.set(kind as u8);
    }

    /// Makes it describe a range.
    pub fn describe(&self, kind: Kind, start: u64, size: u64) {
        self.start.set(start);
        self.size.set(size);
        self.set_kind(kind);
    }

    /// The last number.
    pub fn last(&self) -> u64 {
        self.start.get() + (self.size.get() - 1)
    }

    /// Whether a number is one of its.
    pub fn contains(&self, number: u64) -> bool {
        number >= self.start.get() && number <= self.last()
    }

    /// Gives the segment to a user, and tells its first number.
    pub fn give_out(&self) -> u64 {
        let start = self.start.get();
        self.claim.store(start, Release);
        start
    }

    /// Takes the segment back from the user who says that it begins at `start`. False if nobody has one
    /// that does.
    pub fn take_back(&self, start: u64) -> bool {
        self.claim
            .compare_exchange(start, UNCLAIMED, AcqRel, Relaxed)
            .is_ok()
    }

    /// See V8.
    pub fn claim(&self) -> u64 {
        self.claim.load(Relaxed)
    }
}
