//! Kernel memory by type and size: `Vm::malloc`, `Vm::realloc`, `Vm::free` and their like.
//!
//! ```text
//!   malloc ──► Heap::alloc, charged to the row of the processor          the fast path: no more
//!     │ no credit, no memory, no row, debug mode
//!     └──────► attempt: find the type, draw from its state (or wait), ──► Heap::alloc
//!                 ▲ no memory, and may wait       (debug mode: `debug/` is in between)
//!                 └── make_room ◄──────────────────────────────────────┘
//! ```
//!
//! What is larger than any piece of the heap comes from the kernel map (`mapped.rs`).
//!
//! Each piece is charged before it is taken, and credited after it has come back: so what a type
//! holds is never less than what is out (T1 of `types/`). The fast path is a piece from the
//! processor's magazine and two words of its row; it takes no lock and no locked instruction where
//! the machine lets it.
//!
//! - **N1** the pieces that the heap has given out are those that types have in use and those in the
//!   quarantine of debug mode, by size.
//!
//! Locks: none of its own.

mod account;
mod alloc;
mod check;
mod error;
mod free;
mod mapped;
mod realloc;
#[cfg(test)]
mod tests;

pub use error::MallocError;

use bitflags::bitflags;

bitflags! {
    /// How memory is asked for. Nothing of it ([`NOWAIT`](MallocFlags::NOWAIT)) is not to wait.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MallocFlags: u8 {
        /// Wait for memory rather than fail, and at the type's limit until its use has fallen: for
        /// callers that may block and hold no lock.
        const WAIT = 1;
        /// Zeros, where it would be bytes of any value.
        const ZERO = 2;
    }
}

impl MallocFlags {
    /// Fail rather than wait.
    pub const NOWAIT: MallocFlags = MallocFlags::empty();
}

/// The alignment of all pieces: enough for any plain data.
pub const MALLOC_ALIGN: usize = 16;
