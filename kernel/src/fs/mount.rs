//! The table of mounted file systems.
//!
//! A mount covers a directory: a walk that finds the directory goes on at the root of the file
//! system mounted last on it, and `..` of that root is the directory above the covered one.
//!
//! Invariants: the first mount is the root of the tree and the only one that covers nothing; a
//! file system's root is in at most one mount.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::inode::{Kind, Node};
use super::{block, ext2, memory, names, procfs, tmpfs, walk};
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task;

/// A file system at its place.
#[derive(Clone)]
pub struct Mount {
    /// The directory that it covers; none for the root of the tree.
    pub covered: Option<Node>,
    /// Its root directory.
    pub root: Node,
    /// The type, as in mount(2).
    pub kind: &'static str,
    /// What was given as the source.
    pub source: Arc<Vec<u8>>,
}

static MOUNTS: Mutex<Vec<Mount>> = Mutex::new(Vec::new());

/// The types that mount(2) knows, as /proc/filesystems lists them.
pub const TYPES: &[&str] = &["tmpfs", "proc", "devtmpfs", "ext2"];
/// Those of them that lie on a disk.
pub const ON_DISKS: &[&str] = &["ext2"];

/// Makes `root`, which is of this type and comes from there, the root of the tree.
pub fn mount_root(root: Node, kind: &'static str, source: &[u8]) -> Result<(), Errno> {
    let mount = Mount {
        covered: None,
        root,
        kind,
        source: memory::arc(memory::vec(source)?)?,
    };
    memory::push(&mut MOUNTS.lock(), mount)
}

/// What lies on a disk is mounted from.
pub struct Medium {
    /// The disk's node.
    pub node: Node,
    /// Nothing on it may be changed.
    pub read_only: bool,
}

/// Mounts a file system of the type `kind` on a directory: one that lies on a medium, or a new one.
/// Blocks.
pub fn mount(
    covered: Node,
    kind: &[u8],
    source: &[u8],
    medium: Option<Medium>,
) -> Result<(), Errno> {
    if covered.kind() != Kind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let (kind, root) = match kind {
        b"tmpfs" | b"ramfs" => ("tmpfs", tmpfs::new_root(0o1777)?),
        b"proc" => ("proc", procfs::new_root()?),
        b"devtmpfs" => ("devtmpfs", super::dev::root()?),
        b"ext2" => {
            let medium = medium.ok_or(Errno::ENOTBLK)?;
            let index = block::index_of(&medium.node)?;
            ("ext2", ext2::mount(index, medium.read_only)?)
        }
        _ => return Err(Errno::ENODEV),
    };
    let source = if source.is_empty() { b"none" } else { source };
    let result = enter_table(covered, root.clone(), kind, source);
    if result.is_err() {
        ext2::unmount(&root)?;
    }
    result
}

fn enter_table(covered: Node, root: Node, kind: &'static str, source: &[u8]) -> Result<(), Errno> {
    let source = memory::arc(memory::vec(source)?)?;
    let mut mounts = MOUNTS.lock();
    if mounts.iter().any(|mount| walk::same(&mount.root, &root)) {
        return Err(Errno::EBUSY);
    }
    memory::push(
        &mut mounts,
        Mount {
            covered: Some(covered),
            root,
            kind,
            source,
        },
    )
}

/// Whether a node is the root of a mounted file system.
pub fn is_root(node: &Node) -> bool {
    let mounts = MOUNTS.lock();
    mounts.iter().any(|mount| walk::same(&mount.root, node))
}

/// The power goes off: what lies on disks is written, and marked so. Blocks.
pub fn shut_down() -> Result<(), Errno> {
    let mut result = Ok(());
    for mount in list()? {
        result = result.and(ext2::shut_down(&mount.root));
    }
    result
}

/// Takes away the mount whose root this is. EINVAL if it is none, EBUSY if another is mounted in it
/// or, unless `detach`, a process stands in it or has a file of it open. What lies on a disk is
/// written, and is not detached as long as it is used. Blocks.
pub fn unmount(root: &Node, detach: bool) -> Result<(), Errno> {
    let all = list()?;
    let at = all
        .iter()
        .position(|mount| walk::same(&mount.root, root))
        .ok_or(Errno::EINVAL)?;
    let covers_part = |mount: &Mount| mount.covered.as_ref().is_some_and(|node| is_in(node, root));
    if at == 0 || all.iter().any(covers_part) || !detach && is_used(root) {
        return Err(Errno::EBUSY);
    }
    drop(all);
    // Nobody finds it any more while it is written.
    let mount = MOUNTS.lock().remove(at);
    let result = ext2::unmount(root);
    if result.is_err() {
        let mut mounts = MOUNTS.lock();
        // There was room for it.
        let at = at.min(mounts.len());
        mounts.insert(at, mount);
    }
    result
}

/// Whether an inode lies on the file system with this root.
fn is_in(node: &Node, root: &Node) -> bool {
    walk::same(&fs_root(node), root)
}

/// Whether a process stands in the file system with this root, or has a file of it open.
fn is_used(root: &Node) -> bool {
    task::all().into_iter().any(|process| {
        let context = process.fs().lock().clone();
        let files = process.files();
        let files = files.lock();
        is_in(&context.cwd, root)
            || is_in(&context.root, root)
            || files.used(0).any(|(_, file)| is_in(file.node(), root))
    })
}

/// What a walk that came upon `node` goes on with: itself, or the root of what is mounted there.
#[inline]
pub fn enter(node: Node) -> Node {
    let mounts = MOUNTS.lock();
    let mut node = node;
    for mount in mounts.iter() {
        if mount
            .covered
            .as_ref()
            .is_some_and(|covered| walk::same(covered, &node))
        {
            node = mount.root.clone();
        }
    }
    node
}

/// The directory that the file system with this root covers.
pub fn covered_by(root: &Node) -> Option<Node> {
    let mounts = MOUNTS.lock();
    let mount = mounts.iter().find(|mount| walk::same(&mount.root, root))?;
    mount.covered.clone()
}

/// The root of the tree.
pub fn root() -> Option<Node> {
    MOUNTS.lock().first().map(|mount| mount.root.clone())
}

/// All mounts, in the order of their making.
pub fn list() -> Result<Vec<Mount>, Errno> {
    let mounts = MOUNTS.lock();
    let mut list = Vec::new();
    list.try_reserve_exact(mounts.len())
        .map_err(|_| Errno::ENOMEM)?;
    list.extend(mounts.iter().cloned());
    Ok(list)
}

impl Mount {
    /// The path of the directory that it covers.
    pub fn path(&self) -> Result<Vec<u8>, Errno> {
        names::path_of(&self.root)
    }
}

/// The root of the file system that holds `node`.
fn fs_root(node: &Node) -> Node {
    let mut here = node.clone();
    while let Some((parent, _)) = here.place() {
        here = parent;
    }
    here
}
