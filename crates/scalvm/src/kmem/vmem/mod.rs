//! Arenas: intervals of numbers, handed out in pieces. What the numbers mean is the user's affair:
//! kernel addresses, process ids, slots of a table. After Bonwick and Adams, "Magazines and Vmem"
//! (USENIX 2001), and NetBSD's vmem(9).
//!
//! An [`Arena`] has *spans*, ranges that were given to it or imported from a [`Source`], and each
//! span is tiled with *segments*, free or taken. A [`Tag`] describes one span or segment (the
//! paper's boundary tag). Free segments are in lists by size (`lists.rs`), taken ones in a hash
//! table by their first number (`taken.rs`); small pieces are kept at hand for each processor
//! (`cache.rs`).
//!
//! **No recursion.** Tags, the hash table and the caches lie in slabs and frames, which are seen
//! through the direct map: none of them needs an address range, so an arena of addresses never has
//! to ask itself. What an allocation needs is reserved before anything changes; freeing joins
//! segments and so only ever gives tags back: it needs no memory and cannot fail. A hash table that
//! cannot grow has longer chains, a cache that cannot be had is done without.
//!
//! Neighbours: pools for tags and caches; the kernel map above.
//!
//! Locks: an arena's own, rank `Arena`, and that of the list of all arenas around it, rank
//! `Arenas`. Each processor's cache has one of rank `Arena`, which is never held together with the
//! arena's. Pools and frames are used under them. No lock is held while a source is called.
//!
//! The invariants, checked by `check.rs`:
//!
//! - **V1** The segments of a span follow its tag, in order, and tile it exactly. Spans are disjoint.
//! - **V2** No free segment is next to another one of its span.
//! - **V3** A free segment is in the list of its size; a list's bit is set exactly if it is not empty.
//! - **V4** The hash table holds exactly the taken segments, each in its bucket.
//! - **V5** `total` is the sum of all spans, less than 2^64; `in_use` that of all taken segments.
//! - **V6** At most one imported span is free as a whole, `idle`, while the lock is free.
//! - **V7** The number `rotor_last`, where the last next fit ended, lies in the segment
//!   `rotor`.
//! - **V8** `claim` of a tag is the first number of the segment while the user has that, [`UNCLAIMED`]
//!   else: while it is free, in a cache, or no segment.

mod arena;
mod arenas;
mod body;
mod cache;
mod check;
mod choose;
mod constraints;
mod error;
mod get;
mod give;
mod lists;
mod source;
mod span;
mod stats;
mod tag;
mod taken;
#[cfg(test)]
mod tests;

pub use arena::Arena;
pub(crate) use arenas::Arenas;
pub(crate) use body::Body;
pub use constraints::{Constraints, Fit};
pub use error::ArenaError;
pub(crate) use get::Wish;
pub use source::Source;
use span::Spares;
pub use stats::ArenaStats;
use tag::{Kind, Tag, UNCLAIMED};
