//! The proof of the scalvm virtual memory manager: a reference model and random programs that are run
//! against it on the emulated machine, sweeps over failures, and a conformance suite for
//! page-table ports.
//!
//! - [`model`] says what the manager must do;
//! - [`program`] makes programs from seeds, and smaller ones of those that fail;
//! - [`run`] runs a program on both and compares;
//! - [`soak`] runs random programs one after the other;
//! - [`kmem`] does all that for kernel memory;
//! - [`conformance`] examines page-table ports;
//! - [`pagers`] shows how pagers are written;
//! - [`Kit`] is what they run on, and what tests written by hand use.

pub mod conformance;
mod kit;
pub mod kmem;
pub mod model;
pub mod pagers;
pub mod program;
pub mod run;
pub mod soak;

pub use kit::{CPUS, DEVICE, DEVICE_FRAMES, FILE_PAGES, FILES, Hw, Kit, Order, SWAP, Trap, marks};
