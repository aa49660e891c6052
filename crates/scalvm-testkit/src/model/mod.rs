//! The reference model: what the manager must do, said so plainly that it can be seen to be right.
//!
//! An address space is a list of [`Area`]s, an [`Object`] a list of pages, a page its bytes. Fork copies
//! at once, nothing is lazy, nothing is shared that need not be. The model knows nothing of
//! residency: it tells what a program can see, which must not depend on it.
//!
//! Where the seeds and Linux leave a choice, the model says which was made:
//!
//! - a private mapping of an object shows the object until the page is written. So does the private
//!   mapping that a child gets as its copy of a file that was mapped shared; its copy of shared anonymous
//!   memory is one, made at the fork;
//! - truncating an object takes the private copies of the pages beyond its end too, as on Linux;
//! - `populate` and `wire` give writable private mappings their own copies, as on Linux;
//! - what a file's object has not synced when it ends is lost.

mod area;
mod bytes;
mod fault;
mod object;
mod remap;
mod rules;
mod space;
mod verbs;
mod watch;

pub use area::{Area, Attributes, Layer};
pub use bytes::Bytes;
pub use object::{File, Kind, Object, ObjectRef};
pub use space::{GUARD, Space, pages, push_run};
pub use verbs::Mapped;
pub use watch::Presence;
