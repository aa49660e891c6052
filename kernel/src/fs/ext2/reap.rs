//! The end of inodes that have lost their last name, when nobody uses them any more.
//!
//! Closing a file must not block, so it only wakes a thread. Nothing tells when the last mapping of
//! such a file goes: while there are any the thread looks every few seconds.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use scalvm::Access;

use super::metadata::Metadata;
use super::node::Ext2Node;
use super::volume::Volume;
use crate::arch::time::{SECOND, now_ns, wall_ns};
use crate::fs::inode::Kind;
use crate::fs::mount;
use crate::linux::Errno;
use crate::task::{self, State, WaitQueue};

/// How often inodes are looked at that are only mapped.
const PERIOD: u64 = 5 * SECOND;
/// Where a block of extended attributes says how many inodes have it.
const USERS: usize = 4;

/// The thread waits here.
static WORK: WaitQueue = WaitQueue::new();
static HAS_WORK: AtomicBool = AtomicBool::new(false);

/// An inode without a name has lost a user. Does not block.
pub(super) fn look() {
    HAS_WORK.store(true, Relaxed);
    WORK.wake_all();
}

/// Starts the thread. Not before processes can be.
pub fn start() -> Result<(), Errno> {
    task::start_kernel_thread(run)
}

extern "C" fn run() -> ! {
    let mut left = false;
    loop {
        if !HAS_WORK.swap(false, Relaxed) {
            let until = left.then(|| now_ns() + PERIOD);
            WORK.wait((), State::Uninterruptible, until);
            HAS_WORK.store(false, Relaxed);
        }
        left = reap_all();
    }
}

/// Ends what can be ended on all file systems. Whether anything is left.
fn reap_all() -> bool {
    let mut left = false;
    for mount in mount::list().unwrap_or_default() {
        if let Some(root) = super::root_of(&mount.root) {
            // An error is that of a disk, of which others will be told.
            left |= root.volume.reap().unwrap_or(true);
        }
    }
    left
}

/// Ends an inode, if it has no name and nobody but the caller uses it. Blocks.
pub(super) fn end_if_unused(node: Arc<Ext2Node>) -> Result<(), Errno> {
    if node.links() > 0 {
        return Ok(());
    }
    // The table has it, and the caller.
    if node.is_unused(2) {
        return node.volume.end(&node);
    }
    drop(node);
    look();
    Ok(())
}

impl Volume {
    /// Ends the inodes without a name that nobody uses. Whether there are others. Blocks.
    pub fn reap(&self) -> Result<bool, Errno> {
        let mut left = false;
        for node in self.list()? {
            if node.links() > 0 {
                continue;
            }
            // The table has it, and this list.
            if node.is_unused(2) {
                self.end(&node)?;
            } else {
                left = true;
            }
        }
        Ok(left)
    }

    /// Ends an inode, whoever has it. Blocks.
    pub fn end(&self, node: &Arc<Ext2Node>) -> Result<(), Errno> {
        if node.contents.is_some() {
            node.shrink(0)?;
        }
        let mut metadata = self.metadata.lock();
        let mut inode = *node.inode.lock();
        if inode.has_ended() {
            return Ok(());
        }
        if inode.has_blocks() {
            metadata.truncate(&mut inode, 0)?;
            inode.set_size(0);
        }
        let attributes = core::mem::take(&mut inode.raw.attributes);
        if attributes != 0 {
            metadata.release_attributes(attributes)?;
        }
        inode.end(wall_ns());
        node.store(&metadata, inode)?;
        metadata.free_inode(node.ino, inode.kind() == Some(Kind::Directory))?;
        self.forget(node.ino);
        Ok(())
    }
}

impl Metadata {
    /// An inode has no block of extended attributes any more, which others may have, too.
    fn release_attributes(&mut self, number: u32) -> Result<(), Errno> {
        let mut block = self.block(number, Access::Write)?;
        let users: u32 = block.get(USERS);
        if users > 1 {
            block.put(USERS, &(users - 1));
            return Ok(());
        }
        drop(block);
        self.sync(number)?;
        self.free_blocks(number, 1)
    }
}
