//! Kernel memory: the typed pools of the manager's own structures, and the heap offered to the
//! kernel.
//!
//! Both stand on [`RawPool`]: slots in slabs, behind magazines for each processor. Nothing here needs
//! an allocator below it but [`Frames`](crate::page::Frames). Arenas ([`vmem`]) hand out numbers, and
//! describe them in structures from pools.

mod buffer;
mod cache;
pub(crate) mod contiguous;
mod debug;
mod heap;
pub(crate) mod kernel_map;
mod malloc;
mod pool;
mod pools;
mod ptr;
mod slab;
mod slot;
mod table;
#[cfg(test)]
mod tests;
mod types;
pub(crate) mod vmem;

pub use debug::{Complaint, DebugOptions, Wrong};
pub use malloc::{MALLOC_ALIGN, MallocError, MallocFlags};
pub use types::{BucketStats, Leak, Leaks, M_ORPHANS, MallocType, TypeError, TypeStats};

pub(crate) use buffer::Buffer;
pub(crate) use cache::Caches;
pub use cache::{CacheBox, ObjectCache};
pub(crate) use debug::Debug;
use heap::{Account, Piece};
pub(crate) use heap::{Heap, HeapError};
pub(crate) use pool::Pool;
pub(crate) use ptr::Ptr;
pub use slab::PoolStats;
pub(crate) use slab::RawPool;
pub(crate) use slot::{Child, Slot};
pub(crate) use table::Table;
pub(crate) use types::Types;
