//! The kernel map: addresses of the kernel's own, in the half that all address spaces share.
//!
//! ```text
//!   low ─────────── middle ──────────────────────────── high
//!       pageable           wired
//!       entries of a Map   segments of an arena: [guard] pages [guard]
//! ```
//!
//! *Wired* memory is for what is too large for a block of frames, or wants its neighbours unmapped: so
//! many pages, from wherever there are frames, entered one behind the other. Its addresses come
//! from an arena, which needs none for its own records (see `vmem`); a [`Submap`] is an arena within
//! that arena, with a budget. *Pageable* memory is what programs have: entries of a [`Map`], with
//! its fault path and its page-out; only the page tables are the kernel's.
//!
//! What an allocation of wired memory is, is told by the word of its first frame's descriptor, zero
//! in all others: so that freeing needs the address alone, and no memory.
//!
//! Neighbours: arenas below, [`Map`] and [`Pmap`](crate::Pmap) beside it, malloc above for what
//! is larger than a run of frames.
//!
//! Locks: none of its own. The arena's is let go before frames and page tables are touched; the page
//! tables' is held only within [`Pmap`](crate::Pmap). So two who allocate never wait for each
//! other's pages.
//!
//! The invariants, checked by `check.rs`:
//!
//! - **X1** A wired allocation is one segment of an arena. Its pages are entered to be read and written,
//!   managed, each a frame in state `Kernel`; what guards it is not.
//! - **X2** The word of the frame at the first page is [`Extent`] of the allocation, that of the
//!   others is zero.
//! - **X3** Nothing else is entered between `middle` and `high`.
//! - **X4** Addresses go back to the arena, and frames to the free lists, when every processor has
//!   forgotten the translation: the debt is paid first.

mod body;
mod check;
mod extent;
mod map;
mod pageable;
mod submap;
mod wired;

pub(crate) use body::KernelBody;
use extent::Extent;
pub(crate) use map::Kept;
pub use map::{KernelAlloc, KernelMap};
pub use submap::Submap;
