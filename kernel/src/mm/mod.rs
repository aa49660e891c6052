//! The port of the memory manager to this machine, and what else in the kernel concerns memory.
//!
//! [`VM`] is the only memory manager: frames, programs' memory, the file cache and the kernel's
//! heap.

pub mod commit;
pub mod daemons;
pub mod debug;
mod heap;
mod hw;
mod init;
pub mod labels;
pub mod large;
pub mod paging;
pub mod typed;
pub mod user;

pub use heap::M_RUST;
pub use hw::Hw;
pub use init::init;

use scalvm::Vm;

/// The memory manager.
pub static VM: Vm<Hw> = Vm::new(Hw::new());

/// What can be mapped.
pub type Object = scalvm::Object<'static, Hw>;
/// An address space.
pub type Map = scalvm::Map<'static, Hw>;
/// A page that stays where it is.
pub type HeldPage = scalvm::HeldPage<'static, Hw>;
/// Memory of a program that stays where it is, for a device.
pub type Mdl = scalvm::Mdl<'static, Hw>;
/// A page that is lent: its bytes do not change.
pub type Loan = scalvm::Loan<'static, Hw>;
