//! Page-table ports for the Scalvm virtual memory manager.
//!
//! One engine, [`RadixPmap`], works on the bytes of radix page tables; what an entry looks like is
//! told by a [`Format`]. There is one format yet, [`X86`], mostly as [`X86_64`], for the name [`X86Pmap`].
//! A kernel whose [`Machine`] is also a [`TableMachine`] uses it as its `Machine::Pmap`.
//!
//! Neighbours: `scalvm` (the traits carried out here), the kernel or the emulated machine
//! underneath.
//!
//! Locks: each space has one spin lock, [`Rank::Pmap`]. Frames for tables are allocated before it
//! is taken, and freed after, so no other is taken while it is held.
//!
//! The kernel's own space is one of these, too ([`Pmap::new_kernel`]): it is the other half of a root
//! table, that of the machine, and all spaces share the tables below.
//!
//! The invariants, checked by [`Pmap::check_invariants`]:
//!
//! 1. A zero entry is an empty one; each other entry of the user half is present.
//! 2. The word of a table ([`TableFrames::word`]) has bit i set exactly if line i of the table, its
//!    i-th 64th part, has an entry that is not empty. The root's word stands in the pmap, and only
//!    the entries that are the space's own count.
//! 3. A table has an entry that is not empty; the root need not, nor the tables that the kernel's
//!    root leads to, which are never unlinked.
//! 4. Entries of tables grant every right but that to write, which any level can withhold: a page
//!    can be written if its leaf and all entries above it say so.
//! 5. A right once withheld by a table's entry is never granted to more than the page that asked:
//!    before the entry grants it again, all entries of the table below it are made to withhold it.
//! 6. The MMU writes into entries at any time. Present entries are changed by atomic exchange only.
//! 7. Entries of level 1 are links or large leaves. For each large leaf the space has a frame set aside,
//!    in a chain through the frames' words: the table that splitting it will need.
//! 8. No processor has translations from entries of two sizes for one page: between an entry of one size
//!    and one of the other there is none, and a flush.
//!
//! [`Machine`]: scalvm::Machine
//! [`Rank::Pmap`]: scalvm::Rank::Pmap
//! [`TableFrames::word`]: scalvm::TableFrames::word
//! [`Pmap::new_kernel`]: scalvm::Pmap::new_kernel
//! [`Pmap::check_invariants`]: scalvm::Pmap::check_invariants
#![no_std]

mod check;
mod enter;
mod format;
mod large;
mod life;
mod machine;
mod radix;
mod range;
mod space;
mod table;
mod x86_64;

pub use format::Format;
pub use machine::TableMachine;
pub use radix::RadixPmap;
pub use x86_64::{PAGE_ATTRIBUTES, X86, X86_64};

/// The page tables of x86_64 with four levels: 256 TiB of addresses, the lower half for users.
pub type X86Pmap = RadixPmap<X86_64>;
