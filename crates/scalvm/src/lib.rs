//! Scalvm: a virtual memory manager for kernels.
#![no_std]

#[cfg(test)]
extern crate std;

mod addr;
mod error;
mod kmem;
mod link;
mod machine;
#[path = "map/request.rs"]
mod request;
mod object;
mod page;
mod pmap;
mod skeleton;
mod stats;
mod sync;
#[cfg(test)]
mod testing;

pub use addr::*;
pub use error::*;
pub use machine::*;
pub use object::*;
pub use pmap::*;
pub use request::*;
pub use skeleton::*;
pub use stats::*;
pub use sync::{SpinGuard, SpinLock};
