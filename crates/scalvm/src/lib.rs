//! Scalvm is a virtual memory manager for kernels: what stands between the page tables of a machine
//! and the programs that run on it. A kernel brings a [`Machine`] and a [`Pmap`] (page tables;
//! crate `scalvm-pmap` has them ready), adds memory, and has address spaces with demand paging, two
//! levels of copy-on-write, shared and private mappings of memory and files, one file cache, and
//! kernel memory.
//!
//! ```text
//!   Vm ─── Map ─── MapEntry ─── Object ─── Amap ─── Anon ─── Page
//!           │      a range      what is    which    a logical  a frame
//!         Pmap     and rights   mapped     page is  page
//!                                          where
//! ```
//!
//! Start with [`Vm`], then [`Map::map`] and [`Map::fault`]. The names are those of NetBSD's UVM;
//! `docs/tour.md` walks through the model, `docs/porting.md` through what a port brings.
//!
//! # Use
//!
//! The crate needs no allocator and no standard library; all memory it uses comes from the segments
//! given to [`Vm::add_segment`], and every operation that needs some can say that there is none.
//! Nothing here blocks but the functions whose names or descriptions say so, through
//! [`Machine::wait`]. No lock is held then, nor when a [`Pager`] is called.
//!
//! # Locks
//!
//! All are spin locks, taken in this order (each under all those above it that the indentation
//! shows; a build for tests checks it through [`Machine::lock_event`]):
//!
//! ```text
//! maps                           the list of all maps
//!   map                          entries and their tree: readers (faults, queries, discard) or one writer
//!    hand                        where trimming has come to
//!     object                     its amap, anons, pages, entries
//!       object underneath        the same of the one that it stands on
//!         family                 the list of objects that descend from one by fork
//!         dirty                  the list of objects that may be dirty
//!         page table             one address space's tables
//!           policy               which pages are to be replaced
//!             page               the link between one page and its anon
//!               codec            memory to compress in
//!                 compressor     pages that are compressed
//!                   swap         which slots of swap devices are used
//!               types            the table of malloc types
//!               arenas           the list of all arenas
//!                arena           spans and segments of one, or one processor's cache of it
//!               caches           the list of object caches; nothing is taken under it
//!               pool             one processor's magazine of one kind of structure
//!                 slabs          where magazines are filled from
//!                   frame cache  one processor's free frames
//!                     frames     the free lists
//! ```
//!
//! No two locks of one rank are held at once, and no lock is taken against this order: walking from
//! a page or an object to all mappings needs the object's lock alone, since an object's list of
//! entries changes only with that lock held, and the one of the object underneath (invariant O2 in
//! `object/body.rs`).
//!
//! What may happen at the same time, and what settles it:
//!
//! | | fault | map, unmap, protect, remap, fork | truncate | sync, I/O done | read_at, write_at, hold |
//! |---|---|---|---|---|---|
//! | **fault** | object | map | object underneath | object, busy page | object |
//! | **map, unmap, …** | | map | object (its list of entries) | object | object |
//! | **truncate** | | | object | object; a busy page loses its owner | object; a held page outlives it |
//! | **sync, I/O done** | | | | object, page being written | object; a change meanwhile is dirty again |
//! | **read_at, …** | | | | | object; the bytes are not locked |
//!
//! Trimming is to all others as a fault is: it has the map locked for reading, and the object. The
//! page-out daemon has no map locked, and meets all others at the object and at the busy page.
#![no_std]

#[cfg(test)]
extern crate std;

mod addr;
mod amap;
mod anon;
mod check;
mod commit;
mod error;
mod family;
mod fault;
mod fork;
mod kmem;
mod link;
mod machine;
mod map;
mod object;
mod page;
mod pageout;
mod pager;
mod pmap;
#[path = "map/request.rs"]
mod request;
mod rmap;
mod stats;
mod sync;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod vm;

pub use addr::*;
pub use commit::Commit;
pub use error::*;
pub use fault::{Fault, FreshPage, Ticket, WatchedFault};
pub use kmem::contiguous::FrameLimits;
pub use kmem::kernel_map::{KernelAlloc, KernelMap, Submap};
pub use kmem::vmem::{Arena, ArenaError, ArenaStats, Constraints, Fit, Source as ArenaSource};
pub use kmem::{
    BucketStats, CacheBox, Complaint, DebugOptions, Leak, Leaks, M_ORPHANS, MALLOC_ALIGN,
    MallocError, MallocFlags, MallocType, ObjectCache, PoolStats, TypeError, TypeStats, Wrong,
};
pub use machine::*;
pub use map::{
    Extract, Map, MapInfo, MapLimits, PageInfo, PagePlace, Passing, PrivatePages, ResidentInfo,
    Unfinished, Watch, WatchEvents, Which,
};
pub use object::{HeldPage, Loan, Mdl, MdlPiece, Object, ObjectPages};
pub use pageout::{Paging, PolicyKind, Room};
pub use pager::{
    Cipher, Codec, CompressorStats, Io, Pager, Request, Stream, SwapError, SwapId, SwapInfo,
    SwapOptions,
};
pub use pmap::*;
pub use request::*;
pub use stats::{PageCounts, Stats};
pub use sync::{SpinGuard, SpinLock};
pub use vm::Vm;
