//! A guest in QEMU: how it is started, what it is given and prints, and how it ended.

mod backtrace;
mod cmdline;
mod config;
mod console;
mod end;
mod guest;
mod panic;
mod qemu;
mod qmp;
mod registers;
mod scratch;
mod table;
pub mod terminal;
mod watch;

pub use backtrace::Symbols;
pub use config::{Config, Console, Disk, Failing, Paging, Root};
pub use console::{Input, Memory};
pub use end::End;
pub use guest::{Finished, TRACE_BEGINS, run};
pub use scratch::Scratch;
pub use table::Table;
