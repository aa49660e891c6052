//! Names: making, removing, moving and showing them.

use alloc::vec::Vec;

use linux_raw_sys::general::*;

use super::{At, CWD, masked};
use crate::fs::inode::{DirEntry, Kind, New, Node};
use crate::fs::memory;
use crate::fs::walk::{Found, Last, MAX_PATH};
use crate::linux::Errno;
use crate::linux::files::file;
use crate::mm::user;

/// A descriptor and the address of a path.
type Path = [usize; 2];

/// The last name of a path, for what is to be made there. Only directories may have a slash behind.
fn new_name<'a>(found: &'a Found<'_>, directory: bool) -> Result<&'a [u8], Errno> {
    let name = found.new_name()?;
    if found.slash && !directory {
        Err(Errno::ENOENT)
    } else {
        Ok(name)
    }
}

pub(super) fn mkdir(fd: usize, path: usize, mode: u32) -> Result<usize, Errno> {
    let at = At::new(fd, path)?;
    let found = at.locate(Last::Keep)?;
    found.dir.make(
        new_name(&found, true)?,
        New::Directory,
        masked(mode) & 0o1777,
    )?;
    Ok(0)
}

pub(super) fn mknod(fd: usize, path: usize, mode: u32, device: usize) -> Result<usize, Errno> {
    let at = At::new(fd, path)?;
    let found = at.locate(Last::Keep)?;
    let name = new_name(&found, false)?;
    let new = match Kind::of_mode(mode).ok_or(Errno::EINVAL)? {
        Kind::Regular => New::Regular,
        Kind::Fifo => New::Fifo,
        Kind::Socket => New::Socket,
        // User programs hand device numbers over in 32 bits.
        kind @ (Kind::CharDevice | Kind::BlockDevice) => New::Device(kind, device as u32 as u64),
        Kind::Directory => return Err(Errno::EPERM),
        Kind::Symlink => return Err(Errno::EINVAL),
    };
    found.dir.make(name, new, masked(mode))?;
    Ok(0)
}

pub(super) fn symlink(target: usize, fd: usize, path: usize) -> Result<usize, Errno> {
    let target = user::copy_in_str(target, MAX_PATH)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    let at = At::new(fd, path)?;
    let found = at.locate(Last::Keep)?;
    found
        .dir
        .make(new_name(&found, false)?, New::Symlink(&target), 0o777)?;
    Ok(0)
}

pub(super) fn link(old: Path, new: Path, flags: u32) -> Result<usize, Errno> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let follow = if flags & AT_SYMLINK_FOLLOW != 0 {
        0
    } else {
        AT_SYMLINK_NOFOLLOW
    };
    let node = At::new(old[0], old[1])?.node(flags & AT_EMPTY_PATH | follow)?;
    let at = At::new(new[0], new[1])?;
    let found = at.locate(Last::Keep)?;
    let name = new_name(&found, false)?;
    if node.kind() == Kind::Directory {
        return Err(Errno::EPERM);
    }
    found.dir.link(name, &node)?;
    Ok(0)
}

/// What a path that is to lose its name leads to.
fn existing<'a>(found: &'a Found<'_>) -> Result<&'a Node, Errno> {
    let node = found.node.as_ref().ok_or(Errno::ENOENT)?;
    // The root of a mounted file system has no name to lose.
    if node.kind() == Kind::Directory && node.place().is_none() {
        return Err(Errno::EBUSY);
    }
    Ok(node)
}

pub(super) fn unlink(fd: usize, path: usize, flags: u32) -> Result<usize, Errno> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let directory = flags & AT_REMOVEDIR != 0;
    let at = At::new(fd, path)?;
    let found = at.locate(Last::Keep)?;
    match found.name() {
        b"." if directory => return Err(Errno::EINVAL),
        b".." if directory => return Err(Errno::ENOTEMPTY),
        b"" if directory => return Err(Errno::EBUSY),
        b"" | b"." | b".." => return Err(Errno::EISDIR),
        _ => {}
    }
    existing(&found)?;
    found.dir.unlink(found.name(), directory)?;
    Ok(0)
}

pub(super) fn rename(old: Path, new: Path, flags: u32) -> Result<usize, Errno> {
    if flags & !RENAME_NOREPLACE != 0 {
        return Err(Errno::EINVAL);
    }
    let (old, new) = (At::new(old[0], old[1])?, At::new(new[0], new[1])?);
    let from = old.locate(Last::Keep)?;
    let to = new.locate(Last::Keep)?;
    if from.is_special() || to.is_special() {
        return Err(Errno::EBUSY);
    }
    let node = existing(&from)?;
    if to.node.is_some() {
        existing(&to)?;
    }
    if to.slash && node.kind() != Kind::Directory {
        return Err(Errno::ENOTDIR);
    }
    from.dir.rename(
        from.name(),
        &to.dir,
        to.name(),
        flags & RENAME_NOREPLACE != 0,
    )?;
    Ok(0)
}

pub(super) fn readlink(fd: usize, path: usize, to: usize, len: usize) -> Result<usize, Errno> {
    if len as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let at = At::new(fd, path)?;
    let empty = if fd == CWD { 0 } else { AT_EMPTY_PATH };
    let target = at.node(AT_SYMLINK_NOFOLLOW | empty)?.readlink()?;
    let len = len.min(target.len());
    user::copy_out(to, &target[..len])?;
    Ok(len)
}

/// Bytes of a `struct linux_dirent64` before the name.
const ENTRY_HEAD: usize = 19;
/// The most bytes that one getdents64(2) gives.
const MAX_ENTRIES: usize = 32 * 1024;
/// The cookies of `.` and `..`; those of all others are above.
const DOTS: [(&[u8], u64); 2] = [(b".", 1), (b"..", 2)];

pub(super) fn getdents64(fd: usize, to: usize, len: usize) -> Result<usize, Errno> {
    let file = file(fd)?;
    file.io()?;
    let dir = file.node();
    if dir.kind() != Kind::Directory {
        return Err(Errno::ENOTDIR);
    }
    let len = len.min(MAX_ENTRIES);
    let mut out = Vec::new();
    let mut after = file.position();
    // Why it ended before all entries were shown.
    let mut stopped = None;
    let mut show = |entry: DirEntry<'_>| match append(&mut out, len, &entry) {
        Ok(()) => {
            after = entry.cookie;
            true
        }
        Err(error) => {
            stopped = Some(error);
            false
        }
    };
    let parent = dir.parent().unwrap_or_else(|| dir.clone());
    let inos = [dir.stat().ino, parent.stat().ino];
    let start = file.position();
    let dots = DOTS
        .iter()
        .zip(inos)
        .filter(|((_, cookie), _)| *cookie > start);
    let all_dots = dots.into_iter().all(|((name, cookie), ino)| {
        show(DirEntry {
            ino,
            cookie: *cookie,
            kind: Kind::Directory,
            name,
        })
    });
    if all_dots {
        dir.entries(start.max(DOTS[1].1), &mut show)?;
    }
    match stopped {
        Some(error) if out.is_empty() => return Err(error),
        _ => {}
    }
    user::copy_out(to, &out)?;
    file.set_position(after);
    Ok(out.len())
}

/// Appends an entry in Linux's form; EINVAL if it does not fit in `len` bytes.
fn append(out: &mut Vec<u8>, len: usize, entry: &DirEntry<'_>) -> Result<(), Errno> {
    let start = out.len();
    let size = (ENTRY_HEAD + entry.name.len() + 1).next_multiple_of(8);
    if start + size > len {
        return Err(Errno::EINVAL);
    }
    out.try_reserve(size).map_err(|_| Errno::ENOMEM)?;
    memory::extend(out, &entry.ino.to_ne_bytes())?;
    memory::extend(out, &entry.cookie.to_ne_bytes())?;
    memory::extend(out, &(size as u16).to_ne_bytes())?;
    memory::extend(out, &[entry.kind.dirent_type()])?;
    memory::extend(out, entry.name)?;
    out.resize(start + size, 0);
    Ok(())
}
