//! Files that memory is put back to.
//!
//! The manager wants a store that is always there, so there is a row of places, one for each area that there can be.
//! A place has a file while memory is put back to it; requests go to the file's blocks, past its page cache
//! ([`carry_pages`](Ext2Node::carry_pages)), which has none of its pages but what somebody has read meanwhile.
//!
//! Locks: a place's is short. The file's `changes` are locked while it becomes such a file, and while it ceases.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use scalvm::{Io, Pager, PagerError, Vm};

use super::contents::pages;
use super::node::Ext2Node;
use crate::fs::inode::Node;
use crate::linux::Errno;
use crate::mm::{Hw, Object};
use crate::sync::Mutex;

/// As many as the manager has areas.
pub const PLACES: usize = 32;

/// A file's first page is the area's header.
const HEADER: u64 = 1;

static SWAP_FILES: [SwapFile; PLACES] = [const { SwapFile::new() }; PLACES];

/// A place for a file that memory is put back to.
struct SwapFile {
    is_taken: AtomicBool,
    file: Mutex<Option<Arc<Ext2Node>>>,
}

impl SwapFile {
    const fn new() -> SwapFile {
        SwapFile {
            is_taken: AtomicBool::new(false),
            file: Mutex::new(None),
        }
    }

    fn file(&self) -> Option<Arc<Ext2Node>> {
        self.file.lock().clone()
    }

    fn carry(&self, vm: &Vm<Hw>, io: Io<Hw>, write: bool) {
        let file = self.file();
        match file.as_ref().map(|file| (file, file.bytes())) {
            Some((file, Ok(contents))) => file.carry_pages(contents, io, HEADER, write),
            _ => vm.io_done(io, Err(PagerError::Gone)),
        }
    }
}

impl Pager<Hw> for SwapFile {
    fn read_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        self.carry(vm, io, false);
    }

    fn write_pages(&self, vm: &Vm<Hw>, io: Io<Hw>) {
        self.carry(vm, io, true);
    }
}

/// Takes a file to put memory back to; returns the number of its place, and its bytes, for the header. EINVAL if it
/// is no regular file of such a file system, or has holes; EBUSY if it is taken or mapped; EPERM if there is no
/// place; EROFS. Blocks.
pub fn claim(node: &Node) -> Result<(usize, Object), Errno> {
    let file = super::root_of(node).ok_or(Errno::EINVAL)?;
    let contents = file.bytes().map_err(|_| Errno::EINVAL)?;
    file.volume.check_writable()?;
    let _changes = contents.changes.lock_killable()?;
    if contents.is_swap() {
        return Err(Errno::EBUSY);
    }
    contents.sync()?;
    if !contents.is_unused() {
        return Err(Errno::EBUSY);
    }
    file.know_blocks()?;
    let is_free = |place: &SwapFile| !place.is_taken.swap(true, Relaxed);
    let number = SWAP_FILES.iter().position(is_free).ok_or(Errno::EPERM)?;
    contents.set_swap(true);
    *SWAP_FILES[number].file.lock() = Some(file.clone());
    Ok((number, contents.object.clone()))
}

/// The store of a place.
pub fn store(number: usize) -> &'static dyn Pager<Hw> {
    &SWAP_FILES[number]
}

/// The file in a place.
pub fn node(number: usize) -> Option<Node> {
    let file = SWAP_FILES.get(number)?.file()?;
    Some(file)
}

/// The place of a file; EINVAL if it has none.
pub fn number_of(node: &Node) -> Result<usize, Errno> {
    let file = super::root_of(node).ok_or(Errno::EINVAL)?;
    let is_there = |place: &SwapFile| place.file().is_some_and(|there| Arc::ptr_eq(&there, &file));
    SWAP_FILES.iter().position(is_there).ok_or(Errno::EINVAL)
}

/// Gives the file back. Nothing is put there any more. Blocks.
pub fn release(number: usize) {
    let place = &SWAP_FILES[number];
    let Some(file) = place.file() else { return };
    if let Some(contents) = &file.contents {
        let _changes = contents.changes.lock();
        // What was read meanwhile is not what is there now.
        contents.object.drop_clean(0, contents.object.size());
        contents.set_swap(false);
    }
    *place.file.lock() = None;
    place.is_taken.store(false, Relaxed);
}

impl Ext2Node {
    /// Notes the block of each page. EINVAL if one has none. The changes are locked. Blocks.
    fn know_blocks(&self) -> Result<(), Errno> {
        let contents = self.bytes()?;
        let pointers = self.inode.lock().raw.pointers;
        let metadata = self.volume.metadata.lock();
        for page in 0..pages(contents.object.size()) {
            let page = u32::try_from(page).map_err(|_| Errno::EFBIG)?;
            if contents.extents.lock().get(page).is_some() {
                continue;
            }
            match metadata.find(&pointers, page)? {
                0 => return Err(Errno::EINVAL),
                block => contents.note(page, block)?,
            }
        }
        Ok(())
    }
}
