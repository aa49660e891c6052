#![doc = include_str!("../README.md")]
#![no_std]

mod global;
mod kbox;
mod typed;

pub use global::GlobalHeap;
pub use kbox::KBox;
pub use typed::TypedAlloc;

#[doc(hidden)]
pub use allocator_api2;
