//! What watches: the options, and the records by the addresses of their pieces.

use core::ptr::NonNull;

use super::DebugOptions;
use super::quarantine::Quarantine;
use super::record::Record;
use crate::addr::PAGE_SIZE;
use crate::kmem::Ptr;
use crate::machine::{Machine, Rank};
use crate::page::{Frames, MAX_ORDER, State};
use crate::sync::{Field, SpinGuard, SpinLock};

/// The first record of a chain.
type Head = Field<Option<Ptr<Record>>>;

/// All pieces in use or in quarantine.
pub(crate) struct Watch {
    lock: SpinLock,
    pub options: DebugOptions,
    /// The chains, a power of two of them, in a block of frames.
    heads: NonNull<Head>,
    len: usize,
    pub quarantine: Quarantine,
}

// SAFETY: the heads are never freed, and are fields.
unsafe impl Send for Watch {}
// SAFETY: as for Send.
unsafe impl Sync for Watch {}

impl Watch {
    /// One that has seen nothing, with a chain or more for each eighth frame there is: none if there
    /// is no memory for them.
    pub fn new<M: Machine>(machine: &M, frames: &Frames, options: DebugOptions) -> Option<Watch> {
        let in_frame = PAGE_SIZE / size_of::<Head>();
        let wanted = (frames.total() as usize / 8).div_ceil(in_frame).max(1);
        let order = wanted.next_power_of_two().trailing_zeros().min(MAX_ORDER);
        let block = frames.alloc_block(machine, order, None, State::Kernel)?;
        let heads = NonNull::new(machine.frame_ptr(block.frame()))?;
        // SAFETY: the block is ours, and has so many bytes. Null pointers are zeros.
        unsafe { heads.write_bytes(0, PAGE_SIZE << order) };
        Some(Watch {
            lock: SpinLock::new(),
            options,
            heads: heads.cast(),
            len: in_frame << order,
            quarantine: Quarantine::new(),
        })
    }

    /// Gives the chains back: nobody has used it.
    pub fn release<M: Machine>(&self, machine: &M, frames: &Frames) {
        if let Some(block) = frames.page_at(self.heads.addr().get()) {
            frames.free_block(machine, block);
        }
    }

    pub fn lock<'a, M: Machine>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::Types)
    }

    fn heads(&self) -> &[Head] {
        // SAFETY: `new` made so many, which are never freed.
        unsafe { core::slice::from_raw_parts(self.heads.as_ptr(), self.len) }
    }

    fn head(&self, address: usize) -> &Head {
        // Pieces are 16 bytes or more apart; the multiplication spreads those that are as far apart
        // as a page.
        let hash = (address as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.heads()[(hash >> 32) as usize & (self.len - 1)]
    }

    /// The record of the piece that was given out with this address.
    pub fn find<M: Machine>(
        &self,
        address: usize,
        _held: &SpinGuard<'_, M>,
    ) -> Option<Ptr<Record>> {
        chain(self.head(address)).find(|record| record.memory.addr().get() == address)
    }

    /// A piece is given out.
    pub fn add<M: Machine>(&self, record: Ptr<Record>, _held: &SpinGuard<'_, M>) {
        let head = self.head(record.memory.addr().get());
        record.next.set(head.get());
        head.set(Some(record));
    }

    /// A piece goes back to the heap.
    pub fn remove<M: Machine>(&self, record: Ptr<Record>, _held: &SpinGuard<'_, M>) {
        let head = self.head(record.memory.addr().get());
        match chain(head).find(|before| before.next.get() == Some(record)) {
            Some(before) => before.next.set(record.next.get()),
            None => head.set(record.next.get()),
        }
    }

    /// All records.
    pub fn records<M: Machine>(
        &self,
        _held: &SpinGuard<'_, M>,
    ) -> impl Iterator<Item = Ptr<Record>> {
        self.heads().iter().flat_map(chain)
    }
}

fn chain(head: &Head) -> impl Iterator<Item = Ptr<Record>> + use<> {
    core::iter::successors(head.get(), |record| record.next.get())
}
