//! [`Executable`]: a file that is to be run.

use alloc::string::String;
use alloc::vec::Vec;

use super::context::FsContext;
use super::inode::{Kind, Node};
use super::walk::{self, Last};
use super::{memory, names};
use crate::linux::Errno;
use crate::mm::Object;

/// A regular file with an execute bit.
#[derive(Clone)]
pub struct Executable {
    /// Its bytes.
    pub object: Object,
    /// The absolute path, with all symbolic links followed.
    pub path: String,
}

/// Finds what execve(2) is to run. EACCES if it is no regular file, or has no execute bit.
pub fn open_exec(context: &FsContext, path: &[u8]) -> Result<Executable, Errno> {
    let found = walk::locate(context, &context.cwd, path, Last::Follow)?;
    let node = found.node.clone().ok_or(Errno::ENOENT)?;
    if found.jumped {
        return of_node(node);
    }
    executable(node, || names::join(&found.dir, found.name()))
}

/// The same for a file that was found already: the links of /proc, and `fexecve`.
pub fn of_node(node: Node) -> Result<Executable, Errno> {
    executable(node.clone(), || names::path_of(&node))
}

fn executable(
    node: Node,
    path: impl FnOnce() -> Result<Vec<u8>, Errno>,
) -> Result<Executable, Errno> {
    if node.kind() != Kind::Regular || node.stat().mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    let object = node.object().ok_or(Errno::EACCES)?;
    let path = memory::string(path()?);
    Ok(Executable { object, path })
}
