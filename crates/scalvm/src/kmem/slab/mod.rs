//! Slots of one size: magazines for each processor, a depot of full ones, and slabs.
//!
//! ```text
//!   alloc, free ──► magazine of this processor ──► depot ──► slabs ──► runs of frames
//!                   loaded, previous chain         full      slots      page/run.rs
//!                   no locked instruction          chains    by slab
//! ```
//!
//! The usual way touches one cache line of the processor's own, and the slot. Chains of free slots go
//! from one place to the next as a whole: they run through the slots themselves, so that no place
//! needs memory of its own, and nothing here can fail but for want of frames.
//!
//! After Bonwick and Adams (Magazines and Vmem, USENIX 2001): two magazines for a processor, a depot
//! whose idle part leaves under pressure, magazines that grow where the depot's lock is contended;
//! and Bonwick (The Slab Allocator, USENIX 1994): slabs, colouring, objects that stay constructed.
//!
//! Locks: a magazine's ([`Rank::Pool`](crate::Rank::Pool)), by its pinned owner or a thief
//! (`sync/owner.rs`); inside of it that of slabs and depot ([`Rank::PoolSlabs`](crate::Rank::PoolSlabs));
//! inside of that those of [`Frames`](crate::page::Frames). Nobody has a magazine locked while he
//! takes another's.
//!
//! Every slot of a pool is in use, or in exactly one of: a magazine, the depot, its slab's chain.

mod chain;
mod constructed;
mod depot;
mod geometry;
mod magazine;
mod poison;
mod raw;
mod reclaim;
mod slabs;
mod stats;
mod tag;
#[cfg(test)]
mod tests;

pub(super) use geometry::Geometry;
pub(crate) use raw::RawPool;
pub(super) use reclaim::Reclaim;
pub use stats::PoolStats;
pub(super) use tag::{SlabTag, Use};
