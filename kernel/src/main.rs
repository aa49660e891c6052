//! The reference kernel of scalvm: one processor, x86_64, Linux's system calls.
//!
//! It proves the memory manager on programs that nobody here wrote. Folders: `arch` the machine, `mm` the
//! manager's port, `task` processes and signals, `linux` the system calls, `fs`, `tty` and `drivers` the
//! rest.
#![no_std]
#![no_main]

extern crate alloc;

mod arch;
mod drivers;
mod fs;
mod linux;
mod mm;
mod sync;
mod task;
mod tty;
