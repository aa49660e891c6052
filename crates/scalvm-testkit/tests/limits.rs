//! Limits of address spaces, and promises of memory.

mod common;

#[path = "limits/commit.rs"]
mod commit;
#[path = "limits/trim.rs"]
mod trim;
