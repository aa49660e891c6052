//! From a path to an inode.
//!
//! Component by component, through symbolic links (at most [`MAX_LINKS`]), over mount points in
//! both directions, and never above the root of the process. No memory is taken unless a symbolic
//! link is on the way. No lock is held between components.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::context::FsContext;
use super::inode::{Kind, Node, Target};
use super::{memory, mount};
use crate::linux::Errno;

/// The most symbolic links in one walk.
const MAX_LINKS: u32 = 40;
/// The longest name.
pub const MAX_NAME: usize = 255;
/// The longest path, with its terminating zero.
pub const MAX_PATH: usize = 4096;

/// Whether a symbolic link at the end of the path is followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Last {
    /// It is.
    Follow,
    /// The link itself is meant.
    Keep,
}

/// Where a walk ended.
pub struct Found<'a> {
    /// The directory that holds, or would hold, the last name.
    pub dir: Node,
    /// What has that name; none if nothing has.
    pub node: Option<Node>,
    /// Whether a slash follows the last name, which so must be that of a directory.
    pub slash: bool,
    /// Whether a link of /proc led straight to the inode: directory and name are the link's then.
    pub jumped: bool,
    text: Cow<'a, [u8]>,
    name: core::ops::Range<usize>,
}

impl Found<'_> {
    /// The last name: may be `.`, `..`, or empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.text[self.name.clone()]
    }

    /// The inode, or ENOENT.
    pub fn existing(self) -> Result<Node, Errno> {
        self.node.ok_or(Errno::ENOENT)
    }

    /// The last name, for calls that make something new there.
    pub fn new_name(&self) -> Result<&[u8], Errno> {
        if self.node.is_some() {
            Err(Errno::EEXIST)
        } else {
            Ok(self.name())
        }
    }

    /// Whether the last name is one that cannot be made, removed or renamed.
    pub fn is_special(&self) -> bool {
        matches!(self.name(), b"" | b"." | b"..")
    }
}

/// Whether two references are to one inode.
pub fn same(a: &Node, b: &Node) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// The inode at `path`, seen from `base`.
pub fn lookup(context: &FsContext, base: &Node, path: &[u8], last: Last) -> Result<Node, Errno> {
    locate(context, base, path, last)?.existing()
}

/// Where `path` leads, seen from `base`: all but the last name must exist.
pub fn locate<'a>(
    context: &FsContext,
    base: &Node,
    path: &'a [u8],
    last: Last,
) -> Result<Found<'a>, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    if path.len() >= MAX_PATH {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut text = Cow::Borrowed(path);
    let mut at = 0;
    let mut links = 0;
    let mut dir = if path[0] == b'/' {
        context.root.clone()
    } else {
        base.clone()
    };
    loop {
        let start = skip(&text, at, |byte| byte == b'/');
        let end = skip(&text, start, |byte| byte != b'/');
        let rest = skip(&text, end, |byte| byte == b'/');
        let (is_last, slash) = (rest == text.len(), rest > end);
        let node = match &text[start..end] {
            b"" | b"." => Some(dir.clone()),
            b".." => Some(above(&dir, &context.root)),
            name if name.len() > MAX_NAME => return Err(Errno::ENAMETOOLONG),
            name => match dir.lookup(name) {
                Ok(node) => Some(mount::enter(node)),
                Err(Errno::ENOENT) if is_last => None,
                Err(error) => return Err(error),
            },
        };
        if let Some(node) = &node {
            let kind = node.kind();
            if kind == Kind::Symlink && (!is_last || slash || last == Last::Follow) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::ELOOP);
                }
                match node.follow()? {
                    Target::Path(target) => {
                        text = Cow::Owned(splice(target, &text[end..])?);
                        at = 0;
                        if text[0] == b'/' {
                            dir = context.root.clone();
                        }
                    }
                    Target::Node(node) if is_last => {
                        let node = Some(node);
                        return Ok(Found {
                            dir,
                            node,
                            slash,
                            jumped: true,
                            text,
                            name: start..end,
                        });
                    }
                    Target::Node(node) => {
                        dir = node;
                        at = rest;
                    }
                }
                continue;
            }
            if kind != Kind::Directory && (!is_last || slash) {
                return Err(Errno::ENOTDIR);
            }
        }
        match node {
            Some(node) if !is_last => dir = node,
            node => {
                return Ok(Found {
                    dir,
                    node,
                    slash,
                    jumped: false,
                    text,
                    name: start..end,
                });
            }
        }
        at = rest;
    }
}

/// The directory above `dir`: over a mount point if `dir` is the root of a file system.
fn above(dir: &Node, root: &Node) -> Node {
    let mut here = dir.clone();
    loop {
        if same(&here, root) {
            return here;
        }
        match (here.parent(), mount::covered_by(&here)) {
            (Some(parent), _) => return parent,
            (None, Some(covered)) => here = covered,
            (None, None) => return here,
        }
    }
}

/// The target of a symbolic link with the rest of the path behind it.
fn splice(mut target: Vec<u8>, rest: &[u8]) -> Result<Vec<u8>, Errno> {
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    memory::extend(&mut target, rest)?;
    if target.len() >= MAX_PATH {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(target)
}

/// The first position from `at` on where `skipped` is false, or the end.
fn skip(text: &[u8], mut at: usize, skipped: impl Fn(u8) -> bool) -> usize {
    while at < text.len() && skipped(text[at]) {
        at += 1;
    }
    at
}

/// A directory that is none is refused.
pub fn directory(node: Node) -> Result<Node, Errno> {
    if node.kind() == Kind::Directory {
        Ok(node)
    } else {
        Err(Errno::ENOTDIR)
    }
}
