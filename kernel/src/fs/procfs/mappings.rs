//! [`Mappings`]: /proc/PID/maps or smaps, open.
//!
//! The text of a mapping is made when a read comes to it, so that a short read of a process with many mappings is
//! soon done, and takes little memory. Mappings that change between two reads make the text one of no single moment,
//! as on Linux.
//!
//! Also as there, a read gives no more texts than have room in a page: programs take a read that does not fill their buffer
//! for the last one.

use alloc::sync::Arc;
use core::any::Any;

use scalvm::{PAGE_SIZE, Region};

use super::node;
use crate::fs::buffer::Buf;
use crate::fs::file::File;
use crate::fs::inode::FileIo;
use crate::fs::text::Text;
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::{Pid, Space};

/// What appends the text of a mapping.
pub type MappingText = fn(&Space, &Region, &mut Text) -> Result<(), Errno>;

/// A file that tells of each mapping of a process.
pub struct Mappings {
    pid: Pid,
    make: MappingText,
    /// What was made last.
    part: Mutex<Part>,
}

/// The text of a mapping, and where it stands in the file.
#[derive(Default)]
struct Part {
    text: Text,
    start: u64,
    /// Mappings from this address on come behind it.
    next: usize,
}

impl Part {
    /// What there is from a place in the file on.
    fn rest(&self, at: u64) -> &[u8] {
        let skipped = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        self.text.as_bytes().get(skipped..).unwrap_or(&[])
    }
}

impl Mappings {
    /// The file of this process, with a text for each mapping that `make` makes.
    pub fn new(pid: Pid, make: MappingText) -> Mappings {
        Mappings {
            pid,
            make,
            part: Mutex::new(Part::default()),
        }
    }

    /// Goes on to the next mapping; false if there is none.
    fn advance(&self, space: &Space, part: &mut Part) -> Result<bool, Errno> {
        let Some(region) = space.mapping(part.next) else {
            return Ok(false);
        };
        let mut text = Text::default();
        (self.make)(space, &region, &mut text)?;
        part.start += part.text.len() as u64;
        part.text = text;
        part.next = region.end;
        Ok(true)
    }

    /// Fills the buffer from a place in the file on.
    fn fill(&self, part: &mut Part, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        let space = node::process(self.pid)?.map();
        let mut done = 0;
        while !buf.is_empty() {
            let rest = part.rest(at + done as u64);
            if rest.is_empty() {
                match self.advance(&space, part) {
                    Ok(true) => continue,
                    Err(error) if done == 0 => return Err(error),
                    _ => break,
                }
            }
            if done > 0 && done + rest.len() > PAGE_SIZE {
                break;
            }
            let len = rest.len().min(buf.len());
            match buf.put(rest) {
                Ok(put) if put == len => done += put,
                Ok(put) => return Ok(done + put),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

impl FileIo for Mappings {
    fn read(&self, _file: &File, at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        // Copying may block: the part is nobody else's meanwhile.
        let mut part = core::mem::take(&mut *self.part.lock());
        if at == 0 || at < part.start {
            part = Part::default();
        }
        let result = self.fill(&mut part, at, buf);
        *self.part.lock() = part;
        result
    }

    fn size(&self) -> Option<u64> {
        Some(0)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
