//! [`Pending`]: signals that have come and were not handled yet.

use alloc::vec::Vec;
use core::cell::Cell;

use super::info::SigInfo;
use super::set::SigSet;
use crate::sync::Mutex;

/// The first signal of which several are kept.
const FIRST_QUEUED: u32 = 32;
/// The most that are kept.
const MAX_QUEUED: usize = 1024;

/// Signals that have come. A bit of `set` says that a signal has; what is known about it is in
/// `infos`, if there was memory for that.
pub struct Pending {
    set: Cell<SigSet>,
    infos: Mutex<Vec<SigInfo>>,
}

// SAFETY: one processor, and the cell is read and written in one go.
unsafe impl Sync for Pending {}

impl Pending {
    /// None.
    pub const fn new() -> Pending {
        Pending {
            set: Cell::new(SigSet::EMPTY),
            infos: Mutex::new(Vec::new()),
        }
    }

    /// Which.
    #[inline(always)]
    pub fn set(&self) -> SigSet {
        self.set.get()
    }

    /// Adds one. False if a real-time signal finds no room.
    pub fn add(&self, info: SigInfo) -> bool {
        if info.signal < FIRST_QUEUED && self.set.get().contains(info.signal) {
            return true;
        }
        let mut infos = self.infos.lock();
        let room = infos.len() < MAX_QUEUED && infos.try_reserve(1).is_ok();
        if room {
            infos.push(info);
        }
        if room || info.signal < FIRST_QUEUED {
            self.set.set(self.set.get().with(info.signal));
        }
        room || info.signal < FIRST_QUEUED
    }

    /// Takes the first of these signals out, if there is one.
    pub fn take(&self, from: SigSet) -> Option<SigInfo> {
        let signal = self.set.get().and(from).first()?;
        let mut infos = self.infos.lock();
        let at = infos.iter().position(|info| info.signal == signal);
        let info = match at {
            Some(at) => infos.remove(at),
            None => SigInfo {
                signal,
                code: 0,
                first: 0,
                second: 0,
            },
        };
        if !infos.iter().any(|info| info.signal == signal) {
            self.set.set(self.set.get().without(SigSet::of(signal)));
        }
        Some(info)
    }

    /// Forgets these signals.
    pub fn forget(&self, which: SigSet) {
        if !self.set.get().and(which).is_empty() {
            self.set.set(self.set.get().without(which));
            self.infos
                .lock()
                .retain(|info| !which.contains(info.signal));
        }
    }
}
