//! /proc/PID/maps, and the sums of it that other files want.

use scalvm::{PAGE_SIZE, Prot, Region, Share};

use crate::fs::text::Text;
use crate::fs::{dev, names};
use crate::linux::Errno;
use crate::mm::labels;
use crate::task::{Process, Space};

/// The column at which names begin.
pub(super) const NAME_COLUMN: usize = 73;

/// The mappings of a space, from the lowest.
pub(super) fn regions(space: &Space) -> impl Iterator<Item = Region> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let region = space.mapping(at)?;
        at = region.end;
        Some(region)
    })
}

/// The line that tells of one mapping.
pub(super) fn line(space: &Space, region: &Region, text: &mut Text) -> Result<(), Errno> {
    let heap = space.heap();
    let file = region.cookie.and_then(names::object_name);
    let (device, ino) = file
        .as_ref()
        .map_or((0, 0), |(device, ino, _)| (*device, *ino));
    let right = |right, letter| {
        if region.prot.contains(right) {
            letter
        } else {
            '-'
        }
    };
    let start = text.len();
    write!(
        text,
        "{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {ino} ",
        region.start,
        region.end,
        right(Prot::READ, 'r'),
        right(Prot::WRITE, 'w'),
        right(Prot::EXEC, 'x'),
        if region.share == Share::Shared {
            's'
        } else {
            'p'
        },
        if region.object_id.is_some() {
            region.offset
        } else {
            0
        },
        dev::major(device),
        dev::minor(device),
    )?;
    let label = labels::get(region.tag);
    let given = label.name.as_ref().map(|name| &***name);
    let mut kind = None;
    let name: &[u8] = match &file {
        Some((_, _, path)) => path.as_bytes(),
        // Shared memory that can never be written is the kernel's library for programs.
        None if region.object_id.is_some() && !region.max_prot.contains(Prot::WRITE) => b"[vdso]",
        None if region.object_id.is_some() && region.share == Share::Shared => {
            kind = given.map(|_| "anon_shmem");
            given.unwrap_or(b"/dev/zero (deleted)")
        }
        None if region.start < heap.1 && heap.0 < region.end => b"[heap]",
        None if region.grows && region.end == space.stack_end() => b"[stack]",
        None => {
            kind = given.map(|_| "anon");
            given.unwrap_or_default()
        }
    };
    if kind.is_some() || !name.is_empty() {
        text.pad(start, NAME_COLUMN)?;
    }
    if let Some(kind) = kind {
        write!(text, "[{kind}:")?;
    }
    text.bytes(name)?;
    if kind.is_some() {
        text.bytes(b"]")?;
    }
    text.bytes(b"\n")
}

/// Pages in mappings: of code, and of memory that only the process writes.
pub(super) fn code_and_data(process: &Process) -> (u64, u64) {
    let (mut code, mut data) = (0, 0);
    for region in regions(&process.map()) {
        let pages = ((region.end - region.start) / PAGE_SIZE) as u64;
        if region.prot.contains(Prot::EXEC) {
            code += pages;
        } else if region.share == Share::Private && region.prot.contains(Prot::WRITE) {
            data += pages;
        }
    }
    (code, data)
}

/// Bytes of the stack.
pub(super) fn stack(process: &Process) -> u64 {
    let space = process.map();
    let stack = space.query(space.stack_end() - PAGE_SIZE);
    stack.map_or(0, |region| (region.end - region.start) as u64)
}
