//! Fills the root file system from the archive that came with the kernel.

use alloc::vec::Vec;

use linux_raw_sys::general::S_IFMT;

use super::cpio::{Member, Members};
use super::inode::{Change, Kind, New, Node};
use super::{dev, memory, paged, walk};
use crate::linux::Errno;

/// Makes everything that is in the archive below `root`. Bytes are copied into the manager's
/// pages; the archive is not needed after.
pub fn unpack(root: &Node, archive: &[u8]) -> Result<(), Errno> {
    let mut linked = Vec::new();
    for member in Members::new(archive) {
        let member = member.map_err(|_| Errno::EINVAL)?;
        if !member.path.is_empty() {
            add(root, &member, &mut linked)?;
        } else {
            set_attributes(root, &member)?;
        }
    }
    Ok(())
}

/// Makes one member. `linked` has the files that have several names, by what the archive tells
/// them apart with.
fn add(
    root: &Node,
    member: &Member<'_>,
    linked: &mut Vec<((u64, u64), Node)>,
) -> Result<(), Errno> {
    let (path, name) = match member.path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&member.path[..slash], &member.path[slash + 1..]),
        None => (&b""[..], member.path),
    };
    if name.len() > walk::MAX_NAME {
        return Err(Errno::ENAMETOOLONG);
    }
    let dir = make_path(root, path)?;
    let kind = Kind::of_mode(member.mode).ok_or(Errno::EINVAL)?;
    let node = match (dir.lookup(name), kind) {
        (Ok(node), Kind::Directory) if node.kind() == Kind::Directory => node,
        // The last of several members of one name counts, as for cpio.
        (Ok(node), _) => {
            dir.unlink(name, node.kind() == Kind::Directory)?;
            make(&dir, name, member, kind, linked)?
        }
        _ => make(&dir, name, member, kind, linked)?,
    };
    set_attributes(&node, member)
}

fn make(
    dir: &Node,
    name: &[u8],
    member: &Member<'_>,
    kind: Kind,
    linked: &mut Vec<((u64, u64), Node)>,
) -> Result<Node, Errno> {
    let mode = member.mode & !S_IFMT;
    let number = dev::number(member.device.0.into(), member.device.1.into());
    let new = match kind {
        Kind::Regular => return make_file(dir, name, member, linked),
        Kind::Directory => New::Directory,
        Kind::Symlink => New::Symlink(member.data),
        Kind::CharDevice | Kind::BlockDevice => New::Device(kind, number),
        Kind::Fifo => New::Fifo,
        Kind::Socket => New::Socket,
    };
    dir.make(name, new, mode)
}

/// A regular file. Of several names for one file only one member carries the bytes.
fn make_file(
    dir: &Node,
    name: &[u8],
    member: &Member<'_>,
    linked: &mut Vec<((u64, u64), Node)>,
) -> Result<Node, Errno> {
    let known = linked
        .iter()
        .find(|(identity, _)| *identity == member.identity);
    let node = match known {
        Some((_, node)) if member.links > 1 => {
            dir.link(name, node)?;
            node.clone()
        }
        _ => {
            let node = dir.make(name, New::Regular, member.mode & !S_IFMT)?;
            if member.links > 1 {
                memory::push(linked, (member.identity, node.clone()))?;
            }
            node
        }
    };
    if !member.data.is_empty() {
        let object = node.object().ok_or(Errno::EINVAL)?;
        object
            .set_size(member.data.len() as u64)
            .map_err(paged::errno)?;
        object.write_at(0, member.data).map_err(paged::errno)?;
    }
    Ok(node)
}

/// The directory of this path; what is missing of it is made.
fn make_path(root: &Node, path: &[u8]) -> Result<Node, Errno> {
    let mut dir = root.clone();
    for name in path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
    {
        dir = match dir.lookup(name) {
            Err(Errno::ENOENT) => dir.make(name, New::Directory, 0o755)?,
            other => other?,
        };
    }
    Ok(dir)
}

fn set_attributes(node: &Node, member: &Member<'_>) -> Result<(), Errno> {
    const NANOSECONDS: u64 = 1_000_000_000;
    let time = u64::from(member.mtime) * NANOSECONDS;
    node.change(Change {
        mode: Some(member.mode & !S_IFMT),
        uid: Some(member.uid),
        gid: Some(member.gid),
        atime: Some(time),
        mtime: Some(time),
    })
}
