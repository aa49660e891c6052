//! [`FsContext`]: where a process stands in the tree.

use super::inode::Node;

/// The working directory, the root directory and the file mode creation mask.
#[derive(Clone)]
pub struct FsContext {
    /// Where relative paths start.
    pub cwd: Node,
    /// Where absolute paths start, and `..` ends.
    pub root: Node,
    /// Permission bits that new files do not get.
    pub umask: u32,
}

impl FsContext {
    /// At the root of the tree.
    pub fn new(root: Node) -> FsContext {
        FsContext {
            cwd: root.clone(),
            root,
            umask: 0o022,
        }
    }
}
