//! The compressor: anonymous pages that have left their frames without leaving memory.
//!
//! A page of one repeated 64-bit word is kept as that word, in its entry. Others are compressed,
//! and lie in blocks of frames by their size; what does not become smaller than three quarters of a
//! page is refused. When the compressor has as many frames as it may have, it refuses everything,
//! and whoever pages out moves the oldest entries to a disk, in two steps: [`oldest`] fills a page,
//! and when that is written [`spilled`] makes the slot the owner's backing.
//!
//! An owner lives for as long as it has an entry, since it ends the entry first. It may be about to
//! do that, or to bring the page back, while the entry is moved to a disk; so whoever comes with a
//! handle says whose it is, and is told when it is that no more. Then the owner's backing has
//! changed, and must be read again.
//!
//! Neighbours: `entry` has the entries and their ages, `blocks` the data, `store` both of them;
//! `spill` is for what goes to disks; `codec` is what a kernel brings.
//!
//! Locks: compressing and decompressing happen in one of a few buffers, each with its lock
//! ([`Rank::Codec`]); inside of it one lock ([`Rank::Compressor`]) protects entries and blocks, and
//! nothing is done under it that takes longer than to copy some pages. Frames are allocated under
//! both.
//!
//! - **C1** the ring has each entry of data that is not being spilled, from the oldest to the
//!   youngest; each entry in use has an owner.
//! - **C2** an entry of data has a used slot, whose object names the entry; each used slot has one.
//! - **C3** each block with room is in the list of its class and fullness, and no other is; none is
//!   empty.
//! - **C4** the counts of entries, objects, frames and bytes are those of what is there.
//!
//! [`oldest`]: Compressor::oldest
//! [`spilled`]: Compressor::spilled

mod blocks;
mod class;
mod codec;
mod entry;
mod spill;
mod stats;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use codec::Codec;
pub use stats::CompressorStats;

pub(crate) use spill::Spill;

use core::array::from_fn;

use blocks::{Blocks, HEADER, Place};
use class::{CLASSES, LARGEST};
use entry::Entries;
use store::{Store, repeated};

use crate::addr::PAGE_SIZE;
use crate::anon::Anon;
use crate::error::{OutOfMemory, PagerError};
use crate::kmem::{Buffer, Pool, Ptr, RawPool};
use crate::machine::{Machine, Rank};
use crate::page::Page;
use crate::pager::Handle;
use crate::sync::{Field, SpinGuard, SpinLock};
use crate::vm::Vm;

/// Buffers: so many processors can compress or decompress at the same time (arbitrary).
const BUFFERS: usize = 4;
/// Bytes that a codec may write: more than it ever makes of a page that is worth it.
const OUT: usize = PAGE_SIZE + PAGE_SIZE / 4;

/// What became of a page that was to be compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    /// It is stored under this handle; the owner's backing is the caller's to change.
    Stored(Handle),
    /// It does not become small enough.
    Incompressible,
    /// There is no room, or no compressor.
    Full,
}

/// Pages that are compressed; none until a codec is set.
pub(crate) struct Compressor<M: Machine> {
    lock: SpinLock,
    store: Field<Option<Ptr<Store<M>>>>,
    pool: Pool<Store<M>>,
}

impl<M: Machine> Compressor<M> {
    /// Off.
    pub const fn new() -> Compressor<M> {
        Compressor {
            lock: SpinLock::new(),
            store: Field::nothing(),
            pool: Pool::new(),
        }
    }

    /// The pool of its structures, for figures and reclaim.
    pub fn pool(&self) -> &RawPool {
        self.pool.raw()
    }

    /// Whether a codec has been set.
    pub fn is_on(&self) -> bool {
        self.store.get().is_some()
    }

    /// Pages that are stored.
    pub fn entries(&self) -> u64 {
        self.store.get().map_or(0, |store| store.entries.count())
    }

    fn set(
        &self,
        vm: &Vm<M>,
        codec: &'static dyn Codec,
        most_frames: u64,
    ) -> Result<(), OutOfMemory> {
        if let Some(store) = self.store.get() {
            store.most_frames.set(most_frames);
            return Ok(());
        }
        let (machine, frames) = (&vm.machine, &vm.frames);
        let store = self.pool.alloc_with(machine, frames, || Store {
            codec,
            buffers: from_fn(|_| Buffer::new()),
            most_frames: Field::new(most_frames),
            entries: Entries::new(),
            blocks: Blocks::new(),
            class: Field::new(0),
            counts: stats::Counts::new(),
        })?;
        let all = store
            .buffers
            .iter()
            .try_for_each(|buffer| buffer.allocate(vm, OUT, codec.scratch()));
        let held = self.lock(vm);
        if all.is_ok() && self.store.get().is_none() {
            self.store.set(Some(store));
            return Ok(());
        }
        drop(held);
        for buffer in &store.buffers {
            buffer.release(vm);
        }
        self.pool.take(machine, frames, store);
        // If somebody else was quicker, it is on.
        all
    }

    /// Stores the contents of a page, which is busy and mapped nowhere, for its anon, whose backing
    /// is not a handle.
    pub fn put(&self, vm: &Vm<M>, from: Ptr<Page>, owner: Ptr<Anon<M>>) -> Put {
        let Some(store) = self.store.get() else {
            return Put::Full;
        };
        let frame = from.frame();
        let word = vm
            .frames
            .with_bytes(&vm.machine, frame, |page| repeated(page));
        if let Some(word) = word {
            let _held = self.lock(vm);
            let stored = store.add_word(vm, owner, word);
            return stored.map_or(Put::Full, Put::Stored);
        }
        store
            .buffer(vm)
            .with(&vm.machine, Rank::Codec, |out, scratch| {
                let compress =
                    |page: &mut [u8; PAGE_SIZE]| store.codec.compress(page, out, scratch);
                let len = vm.frames.with_bytes(&vm.machine, frame, compress);
                let data = len.and_then(|len| out.get(..len));
                let _held = self.lock(vm);
                match data {
                    Some(data) if !data.is_empty() && data.len() + HEADER <= LARGEST => {
                        let stored = store.add(vm, owner, data);
                        stored.map_or(Put::Full, Put::Stored)
                    }
                    _ => {
                        store.counts.refused();
                        Put::Incompressible
                    }
                }
            })
    }

    /// Fills a new page with the contents of an entry, which stays and is the youngest now. False
    /// when the handle is not this owner's, or no more. A page whose contents cannot be had any
    /// more says that it failed.
    pub fn get(&self, vm: &Vm<M>, handle: Handle, owner: Ptr<Anon<M>>, into: Ptr<Page>) -> bool {
        let Some(store) = self.store.get() else {
            return false;
        };
        store.buffer(vm).with(&vm.machine, Rank::Codec, |out, _| {
            let held = self.lock(vm);
            let Some(entry) = store.entry_of(handle, owner) else {
                return false;
            };
            store.entries.touch(handle, entry);
            let content = store.content(vm, entry, out);
            drop(held);
            if !store.fill(vm, content, out, into.frame()) {
                into.fail(PagerError::Io);
            }
            true
        })
    }

    /// Ends an entry. False when the handle is not this owner's, or no more.
    pub fn free(&self, vm: &Vm<M>, handle: Handle, owner: Ptr<Anon<M>>) -> bool {
        let Some(store) = self.store.get() else {
            return false;
        };
        let _held = self.lock(vm);
        let entry = store.entry_of(handle, owner);
        if let Some(entry) = entry {
            store.remove(vm, handle, entry);
        }
        entry.is_some()
    }

    /// Moves data together until so many frames have become free, or nothing is to be gained; tells
    /// how many have.
    pub fn compact(&self, vm: &Vm<M>, want_frames: usize) -> usize {
        let Some(store) = self.store.get() else {
            return 0;
        };
        let (mut freed, mut idle) = (0, 0);
        // One block at a time, so that others get at the lock.
        while freed < want_frames && idle < CLASSES {
            let _held = self.lock(vm);
            let number = store.class.get() as usize % CLASSES;
            let (machine, frames) = (&vm.machine, &vm.frames);
            let got = store.blocks.compact(machine, frames, number, |entry, to| {
                if let Some(entry) = store.entries.live(entry) {
                    entry.place.set(to.pack());
                }
            });
            freed += got;
            if got > 0 {
                idle = 0;
            } else {
                idle += 1;
                store.class.set(number as u32 + 1);
            }
        }
        freed
    }

    fn lock<'v>(&'v self, vm: &'v Vm<M>) -> SpinGuard<'v, M> {
        self.lock.lock(&vm.machine, Rank::Compressor)
    }

    /// Panics where entries, blocks and counts contradict each other.
    pub fn check_invariants(&self, vm: &Vm<M>) {
        self.pool.check_invariants(&vm.machine, &vm.frames);
        let Some(store) = self.store.get() else {
            return;
        };
        store.entries.check_invariants();
        let mut objects = 0;
        store.blocks.check_invariants(|place| {
            objects += 1;
            let number = store.blocks.entry(&vm.machine, &vm.frames, place);
            let entry = store.entries.live(number).expect("C2: an object's entry");
            assert_eq!(
                Place::unpack(entry.place.get()),
                place,
                "C2: entry {number}"
            );
            assert!(entry.len.get() > 0, "C2: entry {number}");
        });
        let (mut bytes, mut same) = (0, 0);
        store.entries.each(|_, entry| {
            bytes += u64::from(entry.len.get());
            same += u64::from(entry.len.get() == 0);
        });
        let stats = store.stats();
        assert_eq!((stats.bytes, stats.same), (bytes, same), "C4: bytes");
        assert_eq!(objects + same, stats.entries, "C4: objects");
    }
}

impl<M: Machine> Vm<M> {
    /// Compresses anonymous pages that leave memory, before they go to swap: in at most so many
    /// frames. A later call changes that number alone; the first codec stays.
    pub fn set_compressor(
        &self,
        codec: &'static dyn Codec,
        most_frames: u64,
    ) -> Result<(), OutOfMemory> {
        let set = self.compressor.set(self, codec, most_frames);
        self.more_may_leave();
        set
    }

    /// What the compressor has, and did.
    pub fn compressor_stats(&self) -> CompressorStats {
        let store = self.compressor.store.get();
        store.map_or(CompressorStats::default(), |store| store.stats())
    }
}
