//! One swap device or file, and which of its slots are used.

use crate::anon::Anon;
use crate::error::OutOfMemory;
use crate::kmem::{Ptr, Table};
use crate::machine::Machine;
use crate::page::{Frames, State};
use crate::pager::Pager;
use crate::pager::swap::bitmap::Bitmap;
use crate::pager::swap::{SwapId, SwapOptions};
use crate::sync::Field;

/// A place that pages of programs go to. The lock of the slots protects it, but for what is written
/// once.
pub(super) struct Device<M: Machine> {
    pub id: SwapId,
    pub pager: &'static dyn Pager<M>,
    pub cookie: usize,
    pub options: SwapOptions,
    pub pages: u64,
    /// Slots that may be handed out.
    pub free: Bitmap,
    /// Slots that somebody has. What is in neither set is bad.
    pub used: Bitmap,
    /// Whose contents are in each used slot, once that is known.
    pub owners: Table<Field<Option<Ptr<Anon<M>>>>>,
    /// Behind the slots that were handed out last.
    pub hand: Field<u64>,
    /// When slots were last handed out: those of equal priority take turns.
    pub turn: Field<u64>,
    /// Whether it is being removed: its slots are not handed out.
    pub leaving: Field<bool>,
}

impl<M: Machine> Device<M> {
    /// A device all of whose slots are free.
    pub fn new(
        machine: &M,
        frames: &Frames,
        id: SwapId,
        pager: &'static dyn Pager<M>,
        cookie: usize,
        pages: u64,
        options: SwapOptions,
    ) -> Result<Device<M>, OutOfMemory> {
        let free = Bitmap::new(machine, frames, pages, true)?;
        let used = match Bitmap::new(machine, frames, pages, false) {
            Ok(used) => used,
            Err(error) => {
                free.clear(machine, frames);
                return Err(error);
            }
        };
        let device = Device {
            id,
            pager,
            cookie,
            options,
            pages,
            free,
            used,
            owners: Table::new(),
            hand: Field::new(0),
            turn: Field::new(0),
            leaving: Field::new(false),
        };
        while (device.owners.len() as u64) < pages {
            let frame = || frames.alloc_page(machine, State::Kernel);
            let grown = device.owners.grow(machine, frame, |_| Field::nothing());
            if grown.is_err() {
                device.clear(machine, frames);
                return Err(OutOfMemory);
            }
        }
        Ok(device)
    }

    /// Gives its memory back.
    pub fn clear(&self, machine: &M, frames: &Frames) {
        self.free.clear(machine, frames);
        self.used.clear(machine, frames);
        self.owners.clear(machine, frames);
    }

    /// Slots that are never handed out again.
    pub fn bad(&self) -> u64 {
        self.pages - self.free.count() - self.used.count()
    }

    /// Whether slots can be had from it.
    pub fn is_open(&self) -> bool {
        !self.leaving.get() && self.free.count() > 0
    }

    /// Panics where its sets contradict each other.
    pub fn check_invariants(&self) {
        self.free.check_invariants();
        self.used.check_invariants();
        assert!(
            self.free.count() + self.used.count() <= self.pages,
            "W1: slots of a device"
        );
        let mut used = self.used.next(0);
        while let Some(slot) = used {
            assert!(
                !self.free.has(slot),
                "W1: slot {slot:#x} is free and in use"
            );
            used = self.used.next(slot + 1);
        }
        for slot in 0..self.pages {
            let owner = self.owners.get(slot as usize).and_then(|owner| owner.get());
            assert!(
                owner.is_none() || self.used.has(slot),
                "W2: slot {slot:#x} has an owner and is not used"
            );
        }
    }
}
