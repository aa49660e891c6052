//! /proc: what the kernel knows of itself and of processes, in Linux's formats.
//!
//! Nothing is kept: a [`ProcNode`] is a word for what is asked, made when a walk comes by. Files
//! are texts, made anew when they are read from their start ([`ProcText`]): [`system`] has those of
//! the kernel, [`process`] those of a process; [`maps`] and [`smaps`] have one for each mapping ([`Mappings`]),
//! [`pagemap`] is one of words, and [`mem`] the memory itself.

pub mod kmem;
mod mappings;
mod maps;
mod mem;
mod name;
mod node;
mod open;
mod pagemap;
mod process;
mod smaps;
mod system;
mod tree;

use alloc::sync::Arc;

use super::inode::{FileIo, Node};
use super::memory;
use super::text::Text;
use crate::linux::Errno;
use mappings::Mappings;
use mem::Memory;
use node::{ProcNode, What};
use open::ProcText;

/// The root directory of a new instance.
pub fn new_root() -> Result<Node, Errno> {
    ProcNode::make(What::Root, None)
}

/// What makes the text of a file about the kernel.
pub type SystemText = fn(&mut Text) -> Result<(), Errno>;
/// What makes the text of a file about a process.
type ProcessText = fn(&crate::task::Process, &mut Text) -> Result<(), Errno>;
/// What takes the bytes that are written to a file. EINVAL for what is no setting.
type Writer = fn(&[u8], What) -> Result<(), Errno>;

/// The number that was written, which may end with white space.
fn written<T: core::str::FromStr>(bytes: &[u8]) -> Result<T, Errno> {
    core::str::from_utf8(bytes.trim_ascii())
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(Errno::EINVAL)
}

/// What opening the file gives: its text, or what stands in the place of one.
fn file(what: What) -> Result<Arc<dyn FileIo>, Errno> {
    if let Some(pid) = what.memory_of() {
        return Ok(Memory::of(&*node::process(pid)?)?);
    }
    match what.mappings_of() {
        Some((pid, make)) => Ok(memory::arc(Mappings::new(pid, make))?),
        None => Ok(memory::arc(ProcText::new(what))?),
    }
}
