//! Between the pages of files and their blocks: what the manager calls.
//!
//! Pages that come may need pointers from the disk, and in filled files blocks: the thread that needs
//! them takes the volume's metadata for that, which nobody holds who needs a page of a file. Pages that
//! leave need nothing: their blocks are known ([`Contents`]), so whoever makes room, even with the
//! metadata held, waits for the disk alone.

use alloc::sync::Arc;
use core::ops::Range;

use scalvm::{Io, Machine, PAGE_SIZE, Pager, PagerError, Vm};

use super::contents::{BLOCKS_OF_A_PAGE, Contents};
use super::metadata::Metadata;
use super::node::Ext2Node;
use crate::drivers::Scatter;
use crate::fs::names;
use crate::linux::Errno;
use crate::mm::Hw;

/// The pager of all files.
pub(super) static PAGER: Files = Files;

/// See [`PAGER`].
pub(super) struct Files;

/// The file of a request.
fn file(io: &Io<Hw>) -> Option<Arc<Ext2Node>> {
    let node = names::find(io.cookie())?;
    node.into_any().downcast().ok()
}

/// Pages of a request whose blocks follow each other.
#[derive(Default)]
struct Row {
    pages: Range<usize>,
    block: u32,
}

impl Row {
    /// Adds a page; or returns false, if it does not follow.
    fn add(&mut self, page: usize, block: u32) -> bool {
        let follows = self.pages.end == page && self.block + self.pages.len() as u32 == block;
        if self.pages.is_empty() {
            *self = Row {
                pages: page..page + 1,
                block,
            };
            return true;
        }
        if follows {
            self.pages.end += 1;
        }
        follows
    }

    /// Takes what has been gathered.
    fn take(&mut self) -> Option<(Range<usize>, u64)> {
        let row = core::mem::take(self);
        (!row.pages.is_empty()).then_some((row.pages, row.block.into()))
    }
}

impl Ext2Node {
    /// The block of a page, allocated if there is none; the inode is stored. The block's bytes are
    /// what they were: `true` says that it is new.
    pub fn assign(&self, metadata: &mut Metadata, page: u32) -> Result<(u32, bool), Errno> {
        let contents = self.bytes()?;
        let mut inode = *self.inode.lock();
        let before = page
            .checked_sub(1)
            .and_then(|before| contents.extents.lock().get(before));
        let goal = match before {
            Some(block) => block + 1,
            None => metadata.first_block_near(self.ino),
        };
        let (block, is_new) = metadata.assign(&mut inode, page, goal)?;
        if is_new {
            self.store(metadata, inode)?;
        }
        contents.note(page, block)?;
        Ok((block, is_new))
    }

    /// Where a page is to be read from; none for a hole. A filled file has none within its end: a new
    /// block gets zeros, which is begun here.
    fn source(
        &self,
        contents: &Contents,
        metadata: &mut Metadata,
        scatter: &mut Scatter<'_>,
        first: u64,
        i: usize,
    ) -> Result<Option<u32>, Errno> {
        let index = first + i as u64;
        let page = u32::try_from(index).map_err(|_| Errno::EFBIG)?;
        if let Some(block) = contents.extents.lock().get(page) {
            return Ok(Some(block));
        }
        let pointers = self.inode.lock().raw.pointers;
        let block = metadata.find(&pointers, page)?;
        if block != 0 {
            contents.note(page, block)?;
            return Ok(Some(block));
        }
        scatter.zero(i);
        if contents.is_filled() && index * (PAGE_SIZE as u64) < contents.object.size() {
            let (block, _) = self.assign(metadata, page)?;
            scatter.write(i..i + 1, block.into());
        }
        Ok(None)
    }

    /// Reads the pages of a request.
    fn read_pages(&self, contents: &Contents, io: Io<Hw>) {
        let (first, count) = (io.index(), io.frames().len());
        // Only a filled file needs blocks now.
        let wanted = if contents.is_filled() {
            count as u32 * BLOCKS_OF_A_PAGE
        } else {
            0
        };
        let mut metadata = self.volume.lock_with_room(wanted);
        let mut scatter = self.volume.device.disk().scatter(io);
        let mut row = Row::default();
        for i in 0..count {
            match self.source(contents, &mut metadata, &mut scatter, first, i) {
                Ok(Some(block)) if row.add(i, block) => {}
                Ok(found) => {
                    if let Some((pages, at)) = row.take() {
                        scatter.read(pages, at);
                    }
                    if let Some(block) = found {
                        row.add(i, block);
                    }
                }
                Err(error) => {
                    scatter.fail(pager_error(error));
                    break;
                }
            }
        }
        if let Some((pages, at)) = row.take() {
            scatter.read(pages, at);
        }
    }

    /// Writes the pages of a request, whose blocks are known; or reads them. The request's pages are those of the
    /// file from `shift` on. Takes no memory and no lock that anybody blocks with.
    pub(super) fn carry_pages(&self, contents: &Contents, io: Io<Hw>, shift: u64, write: bool) {
        let (first, count) = (io.index() + shift, io.len_bytes().div_ceil(PAGE_SIZE));
        let mut scatter = self.volume.device.disk().scatter(io);
        let carry = |scatter: &mut Scatter<'_>, row: &mut Row| match row.take() {
            Some((pages, at)) if write => scatter.write(pages, at),
            Some((pages, at)) => scatter.read(pages, at),
            None => {}
        };
        let mut row = Row::default();
        for i in 0..count {
            let index = first + i as u64;
            let block = contents.extents.lock().get(index as u32);
            match block {
                Some(block) if row.add(i, block) => {}
                _ => {
                    carry(&mut scatter, &mut row);
                    match block {
                        Some(block) => drop(row.add(i, block)),
                        // It was truncated meanwhile.
                        None if index * PAGE_SIZE as u64 >= contents.object.size() => {}
                        // Against invariant 1 of the contents: the page stays dirty.
                        None => scatter.fail(PagerError::Io),
                    }
                }
            }
        }
        carry(&mut scatter, &mut row);
    }
}

/// Zeros what the last page of a request has beyond the end of the file, where programs may have
/// written.
fn clear_tail(vm: &Vm<Hw>, io: &Io<Hw>) {
    let offset = io.len_bytes() % PAGE_SIZE;
    if let Some(last) = io.frames().get(io.len_bytes() / PAGE_SIZE)
        && offset > 0
    {
        let bytes = vm.machine().frame_ptr(*last);
        // SAFETY: the rest of a frame that the request holds; programs do not run meanwhile.
        unsafe { bytes.add(offset).write_bytes(0, PAGE_SIZE - offset) };
    }
}

fn pager_error(error: Errno) -> PagerError {
    match error {
        Errno::ENOSPC => PagerError::NoRoom,
        _ => PagerError::Io,
    }
}

impl Pager<Hw> for Files {
    fn read_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        let file = file(&io);
        match file.as_ref().map(|file| (file, file.bytes())) {
            Some((file, Ok(contents))) => file.read_pages(contents, io),
            _ => vm.io_done(io, Err(PagerError::Gone)),
        }
    }

    fn write_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        clear_tail(vm, &io);
        let file = file(&io);
        match file.as_ref().map(|file| (file, file.bytes())) {
            Some((file, Ok(contents))) => file.carry_pages(contents, io, 0, true),
            _ => vm.io_done(io, Err(PagerError::Gone)),
        }
    }
}
