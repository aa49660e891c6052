//! Swap devices, and which of their slots are used. No I/O happens here: `pager/swapped.rs` makes
//! the requests, the page daemon asks for slots.
//!
//! A slot is a page's place on a device. Slots are handed out in runs, so that pages which leave
//! together lie together: the device of the highest priority that has a free slot gives them, and
//! devices of the same priority take turns, a run each. On a device the search goes on where it
//! ended the last time.
//!
//! | a slot is | moves |
//! |---|---|
//! | free | *used* when it is handed out |
//! | used | *free* when its contents are needed no more; *bad* when it could not be written |
//! | bad | never handed out again |
//!
//! One lock ([`Rank::Swap`]) protects all of it; memory is allocated outside of it. A device cannot
//! go while a slot of it is used, so who has a slot needs no lock to reach its device.
//!
//! - **W1** each slot of a device is free, used or bad; the sets know their sizes.
//! - **W2** only used slots have owners; an owner is alive, and its backing is that slot, for as
//!   long as it stands here.
//! - **W3** `free`, `used` and `total` are the sums over all devices; of a device that is being
//!   removed no slot counts as free.

mod bitmap;
mod cipher;
mod device;
mod slot;
#[cfg(test)]
pub(super) mod tests;
mod types;

pub use cipher::Cipher;
pub use types::{SwapError, SwapId, SwapInfo, SwapOptions};

pub(crate) use slot::{DEVICES, Slot};

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use device::Device;

use crate::anon::Anon;
use crate::kmem::{Pool, Ptr, RawPool};
use crate::machine::{Machine, Rank};
use crate::page::Frames;
use crate::pager::Pager;
use crate::sync::{Field, SpinGuard, SpinLock};
use crate::vm::Vm;

/// All swap devices.
pub(crate) struct Swap<M: Machine> {
    lock: SpinLock,
    devices: [Field<Option<Ptr<Device<M>>>>; DEVICES],
    pool: Pool<Device<M>>,
    /// The sums (W3), to be read without the lock.
    free: AtomicU64,
    used: AtomicU64,
    total: AtomicU64,
    /// Counts devices, for their names.
    ids: AtomicU64,
    /// Counts runs, for taking turns.
    turns: AtomicU64,
}

impl<M: Machine> Swap<M> {
    /// No device.
    pub const fn new() -> Swap<M> {
        Swap {
            lock: SpinLock::new(),
            devices: [const { Field::nothing() }; DEVICES],
            pool: Pool::new(),
            free: AtomicU64::new(0),
            used: AtomicU64::new(0),
            total: AtomicU64::new(0),
            ids: AtomicU64::new(1),
            turns: AtomicU64::new(1),
        }
    }

    /// The pool of its structures, for figures and reclaim.
    pub fn pool(&self) -> &RawPool {
        self.pool.raw()
    }

    /// Adds a device, all of whose pages are free: at most 2^32.
    pub fn add(
        &self,
        machine: &M,
        frames: &Frames,
        pager: &'static dyn Pager<M>,
        cookie: usize,
        pages: u64,
        options: SwapOptions,
    ) -> Result<SwapId, SwapError> {
        match pages {
            0 => return Err(SwapError::Empty),
            1..=0x1_0000_0000 => {}
            _ => return Err(SwapError::TooLarge),
        }
        let id = SwapId(self.ids.fetch_add(1, Relaxed));
        let device = Device::new(machine, frames, id, pager, cookie, pages, options)
            .map_err(|_| SwapError::OutOfMemory)?;
        let device = self
            .pool
            .try_alloc(machine, frames, device)
            .map_err(|device| {
                device.clear(machine, frames);
                SwapError::OutOfMemory
            })?;
        let held = self.lock(machine);
        if let Some(place) = self.devices.iter().find(|place| place.get().is_none()) {
            place.set(Some(device));
            self.count(&self.free, pages as i64);
            self.count(&self.total, pages as i64);
            return Ok(id);
        }
        drop(held);
        self.destroy(machine, frames, device);
        Err(SwapError::TooMany)
    }

    /// Hands out a run of up to `want` slots, as long as is easily found, and tells how many. They
    /// follow each other on one device.
    pub fn alloc(&self, machine: &M, want: usize) -> Option<(Slot, usize)> {
        if want == 0 || self.is_full() {
            return None;
        }
        let _held = self.lock(machine);
        let (number, device) = self.next_device()?;
        let (first, len) = device.free.find(want as u64, device.hand.get())?;
        for page in first..first + len {
            device.free.remove(page);
            device.used.add(page);
        }
        device.hand.set((first + len) % device.pages);
        device.turn.set(self.turns.fetch_add(1, Relaxed));
        self.count(&self.free, -(len as i64));
        self.count(&self.used, len as i64);
        Some((Slot::new(number, first as u32), len as usize))
    }

    /// The device whose turn it is.
    fn next_device(&self) -> Option<(u32, Ptr<Device<M>>)> {
        let devices = self.numbered().filter(|(_, device)| device.is_open());
        devices.min_by_key(|(_, device)| (-i32::from(device.options.priority), device.turn.get()))
    }

    /// Takes a slot back that was handed out.
    pub fn free(&self, machine: &M, slot: Slot) {
        let _held = self.lock(machine);
        if let Some(device) = self.take_back(slot) {
            device.free.add(u64::from(slot.page()));
            if !device.leaving.get() {
                self.count(&self.free, 1);
            }
        }
    }

    /// Takes back the slots of a run that could not be written together. They are handed out next, one by
    /// one, so that it shows which of them cannot be written.
    pub fn free_failed(&self, machine: &M, slot: Slot) {
        self.free(machine, slot);
        let _held = self.lock(machine);
        if let Some(device) = self.device(slot.device()) {
            device
                .hand
                .set(device.hand.get().min(u64::from(slot.page())));
        }
    }

    /// Retires a slot that was handed out and cannot be written.
    pub fn mark_bad(&self, machine: &M, slot: Slot) {
        let _held = self.lock(machine);
        if self.take_back(slot).is_some() {
            self.count(&self.total, -1);
        }
    }

    /// Makes a slot neither free nor used.
    fn take_back(&self, slot: Slot) -> Option<Ptr<Device<M>>> {
        let device = self.device(slot.device())?;
        let used = device.used.remove(u64::from(slot.page()));
        debug_assert!(used, "{slot:?} is given back and not in use");
        if !used {
            return None;
        }
        if let Some(owner) = device.owners.get(slot.page() as usize) {
            owner.set(None);
        }
        self.count(&self.used, -1);
        Some(device)
    }

    /// Notes whose contents are in a slot (W2): while the backing of the anon changes to it.
    pub fn set_owner(&self, machine: &M, slot: Slot, anon: Ptr<Anon<M>>) {
        let _held = self.lock(machine);
        let Some(device) = self.device(slot.device()) else {
            return;
        };
        debug_assert!(device.used.has(u64::from(slot.page())));
        if let Some(owner) = device.owners.get(slot.page() as usize) {
            owner.set(Some(anon));
        }
    }

    /// Runs `f` for the anon whose contents are in a slot. It lives meanwhile: with the slots
    /// locked it cannot part from this one.
    pub fn with_owner<R>(
        &self,
        machine: &M,
        slot: Slot,
        f: impl FnOnce(Ptr<Anon<M>>) -> R,
    ) -> Option<(Ptr<Anon<M>>, R)> {
        let _held = self.lock(machine);
        let device = self.device(slot.device())?;
        let anon = device.owners.get(slot.page() as usize)?.get()?;
        Some((anon, f(anon)))
    }

    /// Whether somebody has a slot.
    pub fn is_used(&self, machine: &M, slot: Slot) -> bool {
        let _held = self.lock(machine);
        let device = self.device(slot.device());
        device.is_some_and(|device| device.used.has(u64::from(slot.page())))
    }

    /// The first used slot of a device from page `from` on.
    pub fn next_used(&self, machine: &M, id: SwapId, from: u64) -> Option<Slot> {
        let _held = self.lock(machine);
        let (number, device) = self.find(id)?;
        let page = device.used.next(from)?;
        Some(Slot::new(number, page as u32))
    }

    /// Hands out no more slots of a device.
    pub fn begin_remove(&self, machine: &M, id: SwapId) -> Result<(), SwapError> {
        let _held = self.lock(machine);
        let (_, device) = self.find(id).ok_or(SwapError::Unknown)?;
        if device.leaving.get() {
            return Err(SwapError::Busy);
        }
        device.leaving.set(true);
        self.count(&self.free, -(device.free.count() as i64));
        Ok(())
    }

    /// The device stays after all.
    pub fn cancel_remove(&self, machine: &M, id: SwapId) {
        let _held = self.lock(machine);
        if let Some((_, device)) = self.find(id)
            && device.leaving.get()
        {
            device.leaving.set(false);
            self.count(&self.free, device.free.count() as i64);
        }
    }

    /// Takes a device away for which `begin_remove` was called; refuses while a slot is used.
    pub fn finish_remove(&self, machine: &M, frames: &Frames, id: SwapId) -> Result<(), SwapError> {
        let held = self.lock(machine);
        let (number, device) = self.find(id).ok_or(SwapError::Unknown)?;
        if !device.leaving.get() || device.used.count() > 0 {
            return Err(SwapError::Busy);
        }
        self.devices[number as usize].set(None);
        self.count(&self.total, -((device.pages - device.bad()) as i64));
        drop(held);
        self.destroy(machine, frames, device);
        Ok(())
    }

    /// Gives the memory of a device back that nobody can find.
    fn destroy(&self, machine: &M, frames: &Frames, device: Ptr<Device<M>>) {
        device.clear(machine, frames);
        self.pool.take(machine, frames, device);
    }

    /// Whether no slot is free.
    pub fn is_full(&self) -> bool {
        self.free.load(Relaxed) == 0
    }

    /// Slots that somebody has.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// All slots but the bad ones.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// The cookie of the device of a slot that is used.
    pub fn cookie(&self, slot: Slot) -> usize {
        self.device(slot.device()).map_or(0, |device| device.cookie)
    }

    /// The pager of a device of which a slot is used.
    pub fn pager(&self, device: u32) -> Option<&'static dyn Pager<M>> {
        self.device(device).map(|device| device.pager)
    }

    /// The cipher of a device of which a slot is used.
    pub fn cipher(&self, device: u32) -> Option<&'static dyn Cipher> {
        self.device(device)?.options.cipher
    }

    /// Calls `f` for each device.
    pub fn each(&self, machine: &M, mut f: impl FnMut(SwapInfo)) {
        for number in 0..DEVICES as u32 {
            let held = self.lock(machine);
            let Some(device) = self.device(number) else {
                continue;
            };
            let info = SwapInfo {
                id: device.id,
                cookie: device.cookie,
                priority: device.options.priority,
                pages: device.pages,
                used: device.used.count(),
                bad: device.bad(),
            };
            drop(held);
            f(info);
        }
    }

    fn lock<'a>(&'a self, machine: &'a M) -> SpinGuard<'a, M> {
        self.lock.lock(machine, Rank::Swap)
    }

    #[inline]
    fn device(&self, number: u32) -> Option<Ptr<Device<M>>> {
        self.devices.get(number as usize)?.get()
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, Ptr<Device<M>>)> {
        let numbers = 0..DEVICES as u32;
        numbers.filter_map(|number| Some((number, self.device(number)?)))
    }

    fn find(&self, id: SwapId) -> Option<(u32, Ptr<Device<M>>)> {
        self.numbered().find(|(_, device)| device.id == id)
    }

    /// Adds to a sum; the lock is held.
    fn count(&self, sum: &AtomicU64, by: i64) {
        sum.store(sum.load(Relaxed).wrapping_add_signed(by), Relaxed);
    }

    /// Panics where sums, sets and owners contradict each other.
    pub fn check_invariants(&self, machine: &M, frames: &Frames) {
        self.pool.check_invariants(machine, frames);
        let (mut free, mut used, mut total) = (0, 0, 0);
        for (_, device) in self.numbered() {
            device.check_invariants();
            if !device.leaving.get() {
                free += device.free.count();
            }
            used += device.used.count();
            total += device.pages - device.bad();
        }
        assert_eq!(free, self.free.load(Relaxed), "W3: free slots");
        assert_eq!(used, self.used(), "W3: used slots");
        assert_eq!(total, self.total(), "W3: slots");
        assert_eq!(self.pool.in_use(), self.numbered().count() as u64);
    }
}

impl<M: Machine> Vm<M> {
    /// Adds a swap device or file of so many pages: whatever it holds will be overwritten. `store`
    /// serves requests with this cookie, for as long as it is there. About 0.2% of the
    /// size is used in memory.
    pub fn add_swap(
        &self,
        store: &'static dyn Pager<M>,
        cookie: usize,
        pages: u64,
        how: SwapOptions,
    ) -> Result<SwapId, SwapError> {
        let added = self
            .swap
            .add(&self.machine, &self.frames, store, cookie, pages, how);
        self.more_may_leave();
        added
    }

    /// Calls `f` for each swap device. No lock is held.
    pub fn each_swap(&self, f: impl FnMut(SwapInfo)) {
        self.swap.each(&self.machine, f);
    }
}
