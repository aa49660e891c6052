//! [`ProcNode`]: an inode of /proc.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use linux_raw_sys::general::{O_ACCMODE, O_RDONLY};

use super::mappings::MappingText;
use super::name::{Digits, Name, number};
use super::pagemap::PageMap;
use super::process::{
    BY_MAPPING, FILES as PROCESS_FILES, LINKS, MEMORY, PAGEMAP, WRITABLE as PROCESS_WRITABLE,
};
use super::system::{FILES, WRITABLE};
use super::tree::{all_below, below, depth, first_below, last_name};
use super::{ProcessText, SystemText, Writer, file};
use crate::arch::time::wall_ns;
use crate::fs::inode::{DirEntry, FileIo, FsStat, Inode, Kind, Node, Stat, Target};
use crate::fs::memory;
use crate::fs::text::Text;
use crate::linux::Errno;
use crate::task::{self, Pid, Process};

const MAGIC: u64 = 0x9fa0;
const DEVICE: u64 = 3;
/// Cookies of processes in the root directory are above this.
const PROCESSES: u64 = 1 << 16;

/// What an inode stands for.
#[derive(Clone, Copy)]
pub enum What {
    /// The root directory.
    Root,
    /// The link to the directory of whoever looks.
    Itself,
    /// The link to the mounts that whoever looks can see.
    Mounts,
    /// A directory of files about the kernel: what their paths begin with.
    Directory(&'static str),
    /// A file about the kernel: its number in [`FILES`].
    File(usize),
    /// The directory of a process.
    Process(Pid),
    /// A file about a process: its number in [`PROCESS_FILES`].
    ProcessFile(Pid, usize),
    /// A link of a process: its number in [`LINKS`].
    ProcessLink(Pid, usize),
    /// The directory of a process's descriptors.
    Descriptors(Pid),
    /// A descriptor.
    Descriptor(Pid, usize),
}

/// An inode of /proc.
pub struct ProcNode {
    what: What,
    /// The directory that holds it; none for the root.
    parent: Option<Node>,
    made: u64,
    this: Weak<ProcNode>,
}

impl What {
    /// What the file says now.
    pub fn text(self) -> Result<Text, Errno> {
        let mut text = Text::default();
        match self {
            What::File(index) => {
                let make: SystemText = FILES[index].1;
                make(&mut text)?;
            }
            What::ProcessFile(pid, index) => {
                let make: ProcessText = PROCESS_FILES[index].1;
                make(&*process(pid)?, &mut text)?;
            }
            _ => return Err(Errno::EISDIR),
        }
        Ok(text)
    }

    /// The process of which the file is the memory, if it is one of those.
    pub fn memory_of(self) -> Option<Pid> {
        match self {
            What::ProcessFile(pid, index) if PROCESS_FILES[index].0 == MEMORY => Some(pid),
            _ => None,
        }
    }

    /// The process of whose mappings the file tells, and how, if it is one of those.
    pub fn mappings_of(self) -> Option<(Pid, MappingText)> {
        let What::ProcessFile(pid, index) = self else {
            return None;
        };
        let name = PROCESS_FILES[index].0;
        let entry = BY_MAPPING.iter().find(|(entry, _)| *entry == name)?;
        Some((pid, entry.1))
    }

    /// What takes the bytes that are written to the file, if it can be written.
    pub fn writer(self) -> Option<Writer> {
        let of = |list: &[(&str, Writer)], name: &str| {
            let entry = list.iter().find(|(entry, _)| *entry == name)?;
            Some(entry.1)
        };
        match self {
            What::File(index) => of(WRITABLE, FILES[index].0),
            What::ProcessFile(_, index) => of(PROCESS_WRITABLE, PROCESS_FILES[index].0),
            _ => None,
        }
    }

    fn kind(self) -> Kind {
        match self {
            What::Root | What::Directory(_) | What::Process(_) | What::Descriptors(_) => {
                Kind::Directory
            }
            What::Itself | What::Mounts | What::ProcessLink(..) | What::Descriptor(..) => {
                Kind::Symlink
            }
            What::File(_) | What::ProcessFile(..) => Kind::Regular,
        }
    }

    fn ino(self) -> u64 {
        let of = |pid: Pid, entry: usize| (pid as u64) << 20 | entry as u64;
        match self {
            What::Root => 1,
            What::Itself => 2,
            What::Mounts => 3,
            What::File(index) => 0x100 + index as u64,
            What::Directory(prefix) => 0x1000 + first_below(prefix) as u64 * 16 + depth(prefix),
            What::Process(pid) => of(pid, 0),
            What::Descriptors(pid) => of(pid, 1),
            What::ProcessFile(pid, index) => of(pid, 0x100 + index),
            What::ProcessLink(pid, index) => of(pid, 0x200 + index),
            What::Descriptor(pid, fd) => of(pid, 0x1000 + fd),
        }
    }

    fn name(self) -> Name {
        match self {
            What::Root => Name::Fixed(""),
            What::Itself => Name::Fixed("self"),
            What::Mounts => Name::Fixed("mounts"),
            What::Directory(path) => Name::Fixed(last_name(path)),
            What::File(index) => Name::Fixed(last_name(FILES[index].0)),
            What::Process(pid) => Name::Number(Digits::of(pid as usize)),
            What::ProcessFile(_, index) => Name::Fixed(PROCESS_FILES[index].0),
            What::ProcessLink(_, index) => Name::Fixed(LINKS[index].0),
            What::Descriptors(_) => Name::Fixed("fd"),
            What::Descriptor(_, fd) => Name::Number(Digits::of(fd)),
        }
    }

    /// What has this name in the directory.
    fn find(self, name: &[u8]) -> Result<What, Errno> {
        let find = || match self {
            What::Root => match name {
                b"self" => Some(What::Itself),
                b"mounts" => Some(What::Mounts),
                _ => number(name)
                    .and_then(|pid| process(Pid::try_from(pid).ok()?).ok())
                    .map(|process| What::Process(process.pid))
                    .or_else(|| below("", name)),
            },
            What::Directory(prefix) => below(prefix, name),
            What::Process(pid) => {
                process(pid).ok()?;
                let has_name = |entry: &str| entry.as_bytes() == name;
                if name == b"fd" {
                    return Some(What::Descriptors(pid));
                }
                let file = PROCESS_FILES.iter().position(|(entry, _)| has_name(entry));
                let link = LINKS.iter().position(|(entry, _)| has_name(entry));
                file.map(|index| What::ProcessFile(pid, index))
                    .or_else(|| link.map(|index| What::ProcessLink(pid, index)))
            }
            What::Descriptors(pid) => {
                let fd = number(name)?;
                process(pid).ok()?.files().lock().get(fd).ok()?;
                Some(What::Descriptor(pid, fd))
            }
            _ => None,
        };
        if self.kind() != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        find().ok_or(Errno::ENOENT)
    }

    /// Shows the entries whose cookie is above `after`.
    fn each(self, after: u64, each: &mut dyn FnMut(u64, What) -> bool) {
        let mut cookie = 2;
        let mut show = |what: What| {
            cookie += 1;
            cookie <= after || each(cookie, what)
        };
        match self {
            What::Root => {
                let fixed = [What::Itself, What::Mounts]
                    .into_iter()
                    .chain(all_below(""));
                if !fixed.into_iter().all(&mut show) {
                    return;
                }
                for process in task::all() {
                    let cookie = PROCESSES + process.pid as u64;
                    if cookie > after && !each(cookie, What::Process(process.pid)) {
                        return;
                    }
                }
            }
            What::Directory(prefix) => {
                all_below(prefix).all(&mut show);
            }
            What::Process(pid) => {
                let files = (0..PROCESS_FILES.len()).map(|index| What::ProcessFile(pid, index));
                let links = (0..LINKS.len()).map(|index| What::ProcessLink(pid, index));
                core::iter::once(What::Descriptors(pid))
                    .chain(files)
                    .chain(links)
                    .all(&mut show);
            }
            What::Descriptors(pid) => {
                let Ok(process) = process(pid) else { return };
                let first = after.saturating_sub(2) as usize;
                let files = process.files();
                let next = |from| files.lock().used(from).next().map(|(fd, _)| fd);
                let mut from = first;
                while let Some(fd) = next(from) {
                    if !each(fd as u64 + 3, What::Descriptor(pid, fd)) {
                        return;
                    }
                    from = fd + 1;
                }
            }
            _ => {}
        }
    }
}

impl ProcNode {
    /// The inode that stands for this, in this directory.
    pub(super) fn make(what: What, parent: Option<Node>) -> Result<Node, Errno> {
        memory::prove(
            size_of::<ProcNode>() + 2 * size_of::<usize>(),
            align_of::<ProcNode>(),
        )?;
        Ok(Arc::new_cyclic(|this| ProcNode {
            what,
            parent,
            made: wall_ns(),
            this: this.clone(),
        }))
    }
}

impl Inode for ProcNode {
    fn kind(&self) -> Kind {
        self.what.kind()
    }

    fn stat(&self) -> Stat {
        let permissions = match self.what {
            What::ProcessLink(..) | What::Itself | What::Mounts => 0o777,
            What::Descriptor(..) => 0o700,
            What::Descriptors(_) => 0o500,
            what if what.memory_of().is_some() => 0o600,
            what if what.writer().is_some() => 0o644,
            What::File(_) | What::ProcessFile(..) => 0o444,
            _ => 0o555,
        };
        Stat {
            dev: DEVICE,
            ino: self.what.ino(),
            mode: self.kind().mode_bits() | permissions,
            nlink: if self.kind() == Kind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            rdev: 0,
            size: 0,
            blocks: 0,
            atime: self.made,
            mtime: self.made,
            ctime: self.made,
        }
    }

    fn fs_stat(&self) -> FsStat {
        FsStat::without_blocks(MAGIC)
    }

    fn open(self: Arc<Self>, flags: u32) -> Result<Arc<dyn FileIo>, Errno> {
        let writes = flags & O_ACCMODE != O_RDONLY;
        if self.kind() == Kind::Regular
            && writes
            && self.what.writer().is_none()
            && self.what.memory_of().is_none()
        {
            return Err(Errno::EACCES);
        }
        if let What::ProcessFile(pid, index) = self.what
            && PROCESS_FILES[index].0 == PAGEMAP
        {
            return Ok(memory::arc(PageMap::new(pid))?);
        }
        file(self.what)
    }

    fn lookup(&self, name: &[u8]) -> Result<Node, Errno> {
        let what = self.what.find(name)?;
        let this: Node = self.this.upgrade().ok_or(Errno::ENOENT)?;
        ProcNode::make(what, Some(this))
    }

    fn make(
        &self,
        _name: &[u8],
        _new: crate::fs::inode::New<'_>,
        _mode: u32,
    ) -> Result<Node, Errno> {
        Err(Errno::ENOENT)
    }

    fn entries(&self, after: u64, each: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        self.what.each(after, &mut |cookie, what| {
            each(DirEntry {
                ino: what.ino(),
                cookie,
                kind: what.kind(),
                name: what.name().as_bytes(),
            })
        });
        Ok(())
    }

    fn follow(&self) -> Result<Target, Errno> {
        match self.what {
            What::Itself => {
                let digits = Digits::of(task::current().pid as usize);
                Ok(Target::Path(memory::vec(digits.as_bytes())?))
            }
            What::Mounts => Ok(Target::Path(memory::vec(b"self/mounts")?)),
            What::ProcessLink(pid, index) => (LINKS[index].1)(&*process(pid)?),
            What::Descriptor(pid, fd) => {
                let files = process(pid)?.files();
                let file = files.lock().get(fd).map_err(|_| Errno::ENOENT)?.clone();
                Ok(Target::Node(file.node().clone()))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn place(&self) -> Option<(Node, Vec<u8>)> {
        let name = memory::vec(self.what.name().as_bytes()).ok()?;
        Some((self.parent.clone()?, name))
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A process that has not ended: what has is no longer told of, but for its entry.
pub(super) fn process(pid: Pid) -> Result<Arc<Process>, Errno> {
    task::find(pid).ok_or(Errno::ESRCH)
}
