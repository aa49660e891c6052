//! Kernel memory: the typed pools of the manager's own structures, and the heap offered to the kernel.

mod ptr;

pub(crate) use ptr::Ptr;
