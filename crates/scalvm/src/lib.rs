//! Scalvm: a virtual memory manager for kernels.
#![no_std]

mod addr;
mod error;
mod machine;
mod pmap;

pub use addr::*;
pub use error::*;
pub use machine::*;
pub use pmap::*;

/// The manager.
pub struct Vm<M: Machine> {
    machine: M,
}

impl<M: Machine> Vm<M> {
    /// A manager without memory.
    pub const fn new(machine: M) -> Self {
        Vm { machine }
    }
    /// The machine it runs on.
    pub fn machine(&self) -> &M {
        &self.machine
    }
    /// Adds memory.
    pub fn add_segment(&self) {}
}
