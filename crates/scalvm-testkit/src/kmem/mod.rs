//! Random programs of kernel memory: malloc types, object caches, arenas and the kernel map, by one
//! thread or several, and a plain model beside the manager.
//!
//! With one thread every outcome is told beforehand: which type refuses, which errors come, which ranges a
//! fit may choose. With several threads each has pieces of its own, hands some to others, and frees
//! what it was handed; they all wait for each other now and then, and everything is compared. What is
//! compared: no memory, range or object is two's; what is written into memory in use stays there;
//! what is zeroed is zero; each type's figures, each pool's and each arena's; and all structures check
//! themselves. In the end everything is freed, and all frames must be back but for those whose use is
//! documented to last.

mod accounts;
mod arena;
mod arenas;
mod leftover;
mod objects;
mod pattern;
mod pieces;
mod program;
mod random;
mod run;
mod sweep;
mod wired;
mod worker;
mod world;

pub use program::{Op, Program, Shape};
pub use run::{Options, Ran, Together, run, run_with};
pub use sweep::sweep;
