//! /proc/PID/pagemap: a word for each page of the address space, and [`clear_refs`], which goes with it.
//!
//! | bits | what |
//! |---|---|
//! | 0-54 | of a page in memory its frame; of one that is on swap the number of the device (0-4) and the page on it (5-54) |
//! | 55 | written since that was last asked for: never told, as on a Linux built without it |
//! | 56 | nobody else has it |
//! | 57 | writes of it are told to who serves it: userfaultfd(2) |
//! | 58 | it is a guard; as on Linux it is then also said to be on swap |
//! | 61 | it is one of a file or of shared memory |
//! | 62 | it is on swap, or in the compressor (then with all bits of the device set) |
//! | 63 | it is in memory: mapped, or the process's own |

use alloc::sync::Arc;
use core::any::Any;

use scalvm::{PAGE_SIZE, PageInfo, PagePlace, Which};

use super::node::{self, What};
use super::written;
use crate::arch::layout::USER_HIGH;
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::FileIo;
use crate::linux::Errno;
use crate::task::{Pid, Space};

const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;
const GUARD: u64 = 1 << 58;
const PROTECTED: u64 = 1 << 57;
const EXCLUSIVE: u64 = 1 << 56;

/// Bytes that tell of one page.
const WORD: usize = 8;
/// Pages that are told of together.
const STEP: usize = 64;

/// The file, open.
pub struct PageMap {
    pid: Pid,
}

impl PageMap {
    /// That of a process.
    pub fn new(pid: Pid) -> PageMap {
        PageMap { pid }
    }
}

impl FileIo for PageMap {
    fn read(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let wanted = buf.len();
        if !at.is_multiple_of(WORD as u64) || !wanted.is_multiple_of(WORD) {
            return Err(Errno::EINVAL);
        }
        // Of a process that has ended there is nothing to tell.
        let process = node::process(self.pid);
        let Some(process) = process.ok().filter(|process| !process.is_zombie()) else {
            return Ok(0);
        };
        let space = process.map();
        let mut page = usize::try_from(at).map_err(|_| Errno::EINVAL)? / WORD;
        let mut done = 0;
        while done < wanted && page < USER_HIGH / PAGE_SIZE {
            let mut words = [[0; WORD]; STEP];
            let left = (wanted - done) / WORD;
            let count = tell(&space, page, &mut words[..left.min(STEP)]);
            match buf.put(words[..count].as_flattened()) {
                Ok(put) => done += put,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
            page += count;
        }
        Ok(done)
    }

    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Tells of some pages from one on; how many, at least one.
fn tell(space: &Space, page: usize, words: &mut [[u8; WORD]]) -> usize {
    let start = page * PAGE_SIZE;
    let most = words.len().min(USER_HIGH / PAGE_SIZE - page);
    let mut infos = [PageInfo::default(); STEP];
    let told = space.inspect(start, &mut infos[..most]);
    for (word, info) in words.iter_mut().zip(&infos[..told]) {
        *word = word_of(info).to_le_bytes();
    }
    if told > 0 {
        return told;
    }
    // A hole: up to where something is mapped.
    let next = space.query(start).map_or(USER_HIGH, |region| region.start);
    let hole = (next.saturating_sub(start) / PAGE_SIZE).clamp(1, most);
    words[..hole].fill([0; WORD]);
    hole
}

fn word_of(info: &PageInfo) -> u64 {
    let of_a_file = if info.own { 0 } else { OF_A_FILE };
    let exclusive = if info.sharers == 1 { EXCLUSIVE } else { 0 };
    let protected = if info.write_protected { PROTECTED } else { 0 };
    if info.guarded {
        return SWAPPED | GUARD | protected;
    }
    let place = match info.place {
        PagePlace::Memory(frame) if info.mapped || info.own => {
            PRESENT | of_a_file | exclusive | frame.0
        }
        PagePlace::Device(frame) => PRESENT | frame.0,
        PagePlace::Zeros => PRESENT,
        PagePlace::Swap(device, page) => {
            SWAPPED | of_a_file | u64::from(device) | u64::from(page) << 5
        }
        PagePlace::Compressed => SWAPPED | of_a_file | 31,
        PagePlace::Memory(_) | PagePlace::Moving | PagePlace::Nowhere => 0,
    };
    place | protected
}

/// What writing to /proc/PID/clear_refs does: 1 to 3 forget which pages were used, of all, of anonymous, of
/// other mappings; 4 would begin to watch what is written, which is never told; 5 forgets the most that was mapped.
pub(super) fn clear_refs(bytes: &[u8], what: What) -> Result<(), Errno> {
    let What::ProcessFile(pid, _) = what else {
        return Err(Errno::ESRCH);
    };
    let space = node::process(pid)?.map();
    match written::<u32>(bytes)? {
        1 => space.forget_uses(Which::All),
        2 => space.forget_uses(Which::Anonymous),
        3 => space.forget_uses(Which::Objects),
        4 => {}
        5 => space.forget_peak(),
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
