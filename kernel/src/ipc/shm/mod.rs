//! System V shared memory: [`Segment`]s, and the [`table`] of them all.
//!
//! A segment's bytes are a file in memory that has no name; attaching it is a shared mapping of that. How often it
//! is attached is not counted, but asked of the manager: so fork, exec, exit and munmap need do nothing. A segment
//! that was removed goes when nothing maps it any more: whoever may have unmapped the last part of one calls
//! [`sweep`].

mod segment;
mod table;

pub use segment::Status;
pub use table::{
    Wish, attach, find, for_each, get, limits, lock, note_use, remove, set, set_limits, status,
    status_at, sweep, totals, used_by,
};
