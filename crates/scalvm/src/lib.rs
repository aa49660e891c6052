//! Scalvm: a virtual memory manager for kernels.
#![no_std]

#[cfg(test)]
extern crate std;

mod addr;
mod amap;
mod anon;
mod check;
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
pub use error::*;
pub use fault::{Fault, Ticket};
pub use machine::*;
pub use map::Map;
pub use object::{HeldPage, Object};
pub use pager::{Io, Vnode};
pub use pmap::*;
pub use request::*;
pub use stats::Stats;
pub use sync::{SpinGuard, SpinLock};
pub use vm::Vm;
