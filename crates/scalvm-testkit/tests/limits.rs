//! Limits of address spaces, and promises of memory.

mod common;

#[path = "limits/trim.rs"]
mod trim;
