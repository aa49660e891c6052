//! Scalvm: a virtual memory manager for kernels.
#![no_std]

mod addr;
mod error;
mod machine;
#[path = "map/request.rs"]
mod request;
mod object;
mod pmap;
mod skeleton;
mod stats;

pub use addr::*;
pub use error::*;
pub use machine::*;
pub use object::*;
pub use pmap::*;
pub use request::*;
pub use skeleton::*;
pub use stats::*;
