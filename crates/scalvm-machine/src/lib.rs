//! The emulated machine: Scalvm's machine in an ordinary process, made to catch its mistakes.
//!
//! [`Emulated`] implements [`scalvm::Machine`]. Its physical memory is an arena; its MMU is
//! software that walks the bytes of x86_64 page tables and sets accessed and dirty bits in them (or of
//! [`Tables::Narrow`] ones, where a large leaf maps eight pages, so that small programs meet some);
//! its processors, [`Cpu`], cache translations until they are flushed, so that a flush forgotten
//! shows as a store that hits the wrong frame, a dirty bit that never comes, or a right that was
//! taken away and still works. Allocations fail on demand, and the order of locks is checked.
//! [`Disk`] is a disk for mapped files and swapping that can be slow, fail in many ways, and lose
//! its power.
//!
//! Where threads are not the host's (a checker of schedules), a [`Runtime`] of one's own is
//! brought.
//!
//! Locks: each processor's caches have one, held during an access and a flush; the others are
//! leaves. None is held while the manager or a [`Runtime`] is called.
//!
//! ```
//! use scalvm::{Access, Cache, Enter, Frame, Machine, Pmap, Prot};
//! use scalvm_machine::{Emulated, TableArena};
//! use scalvm_pmap::X86Pmap;
//!
//! let machine = Emulated::with_frames(64);
//! let tables = TableArena::new(&machine, machine.segment(0));
//! let space: X86Pmap = Pmap::<Emulated>::new(&machine, &tables)?;
//! let cpu = machine.processor(0);
//! cpu.run(|| space.activate(&machine));
//! assert!(cpu.load_u64(0x40_0000).is_err());
//!
//! let frame = tables.take().unwrap();
//! let how = Enter {
//!     frame, prot: Prot::RW, access: Access::Write, cache: Cache::WriteBack, managed: true, origin: (0, 0),
//! };
//! let (_, debt) = space.enter(&machine, &tables, 0x40_0000, how)?;
//! debt.pay(&machine, &space, &tables);
//! cpu.store_u64(0x40_0000, 7).unwrap();
//! assert_eq!(cpu.load_u64(0x40_0000), Ok(7));
//! # Ok::<(), scalvm::OutOfMemory>(())
//! ```

mod arena;
mod cache;
mod check;
mod config;
mod cpu;
mod disk;
mod failure;
mod machine;
mod order;
mod pmap;
mod rng;
mod runtime;
mod tables;
mod walk;

pub use config::Config;
pub use cpu::{Cpu, PageFault};
pub use disk::{Disk, DiskCounts, Pace, SECTOR};
pub use machine::Emulated;
pub use pmap::{EmulatedPmap, Tables};
pub use rng::Rng;
pub use runtime::{Runtime, Threads};
pub use tables::TableArena;

/// The example in the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
