//! [`Segment`]: shared memory that has a number.

use linux_raw_sys::general::F_SEAL_SEAL;
use scalvm::{MapRequest, PAGE_SIZE, Prot, Share};

use crate::arch::layout::USER_HIGH;
use crate::arch::time::{SECOND, wall_ns};
use crate::fs::inode::Node;
use crate::fs::text::Text;
use crate::fs::tmpfs;
use crate::linux::Errno;
use crate::mm::{Map, Object, VM};
use crate::task::{self, Pid, with_memory};

/// The mode bit of a segment that was removed, and goes with its last mapping.
pub const REMOVED: u32 = 0o1000;
/// The mode bit of one that is locked in memory.
pub const LOCKED: u32 = 0o2000;
/// Permissions of a mode.
pub const PERMISSIONS: u32 = 0o777;

/// What can be told of a segment. Times in seconds since 1970, 0 for never.
#[derive(Clone, Copy)]
pub struct Status {
    /// Its number.
    pub id: i32,
    /// What it is found by; 0 for one that is not found.
    pub key: i32,
    /// Bytes.
    pub size: usize,
    /// Permissions, and what else is true of it.
    pub mode: u32,
    /// Who owns it: user and group.
    pub owner: [u32; 2],
    /// Who made it.
    pub creator: [u32; 2],
    /// The process that made it.
    pub made_by: Pid,
    /// The process that attached or detached it last.
    pub used_by: Pid,
    /// When it was attached last.
    pub attached: u64,
    /// When it was detached last.
    pub detached: u64,
    /// When it was made, or its owner or mode were set.
    pub changed: u64,
    /// How many mappings it has.
    pub mappings: usize,
    /// Pages in memory.
    pub resident: u64,
    /// Pages that were put back.
    pub away: u64,
}

/// Shared memory that has a number.
pub struct Segment {
    pub(super) status: Status,
    /// Keeps the name that /proc shows.
    _node: Node,
    pub(super) object: Object,
    /// While it is locked: a mapping of the kernel's own that is wired.
    lock: Option<Map>,
}

/// The time in seconds.
pub fn now() -> u64 {
    wall_ns() / SECOND
}

impl Segment {
    /// A new one, which has no number yet. Blocks.
    pub fn new(key: i32, size: usize, permissions: u32) -> Result<Segment, Errno> {
        let label = Text::format(format_args!("/SYSV{:08x} (deleted)", key as u32))?;
        let (node, _) = with_memory(|| tmpfs::nameless(&label, permissions, F_SEAL_SEAL))?;
        let object = node.object().ok_or(Errno::EINVAL)?;
        with_memory(|| object.set_size(size as u64)).map_err(|_| Errno::ENOMEM)?;
        Ok(Segment {
            status: Status {
                id: 0,
                key,
                size,
                mode: permissions,
                owner: [0; 2],
                creator: [0; 2],
                made_by: task::current().pid,
                used_by: 0,
                attached: 0,
                detached: 0,
                changed: now(),
                mappings: 0,
                resident: 0,
                away: 0,
            },
            _node: node,
            object,
            lock: None,
        })
    }

    /// What can be told of it now.
    pub fn status(&self) -> Status {
        Status {
            mappings: self.mappings(),
            resident: self.object.resident(),
            away: self.object.put_back(),
            ..self.status
        }
    }

    /// How many mappings programs have of it.
    pub fn mappings(&self) -> usize {
        self.object.shared_mappings() - usize::from(self.lock.is_some())
    }

    /// Whole pages.
    pub fn pages(&self) -> u64 {
        self.status.size.div_ceil(PAGE_SIZE) as u64
    }

    /// Locks it in memory by this mapping, or no more; returns the mapping that there was.
    pub fn set_lock(&mut self, lock: Option<Map>) -> Option<Map> {
        if lock.is_some() {
            self.status.mode |= LOCKED;
        } else {
            self.status.mode &= !LOCKED;
        }
        core::mem::replace(&mut self.lock, lock)
    }
}

/// A mapping of an object that no program has, wired. Blocks.
pub fn wired(object: &Object, size: usize) -> Result<Map, Errno> {
    let map = with_memory(|| VM.new_map(PAGE_SIZE, USER_HIGH))?;
    let request = || MapRequest::object(object, 0, size, Prot::READ, Share::Shared);
    let at = with_memory(|| map.map(request()))?;
    let len = size.next_multiple_of(PAGE_SIZE);
    with_memory(|| map.wire(at, len))?;
    Ok(map)
}
