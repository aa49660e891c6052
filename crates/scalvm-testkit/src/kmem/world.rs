//! What all threads of a program share: the manager, the model beside it, and what they hand to each
//! other.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scalvm::{Frame, FrameLimits, Vm};

use super::accounts::Accounts;
use super::arenas::{Arenas, Interval};
use super::objects::{Caches, Counts, Things};
use super::pieces::Piece;
use super::program::Shape;
use super::wired::{Kernel, Wired};
use crate::kit::{Hw, Kit};
use crate::run::{Check, wrong};

/// What a thread has.
#[derive(Default)]
pub struct Goods<'k> {
    /// Memory of a type.
    pub pieces: Vec<Piece>,
    /// Objects of caches.
    pub things: Things<'k>,
    /// Ranges of arenas.
    pub ranges: Vec<Interval>,
    /// Memory of the kernel map.
    pub wired: Vec<Wired>,
    /// Frames in a row: the first, and how many.
    pub frames: Vec<(Frame, usize)>,
}

/// What all threads share.
pub struct World<'k> {
    /// The manager and its machine.
    pub kit: &'k Kit,
    /// How much of everything.
    pub shape: Shape,
    /// Tell each step.
    pub loud: bool,
    /// The types.
    pub accounts: Accounts,
    /// The arenas.
    pub arenas: Arenas<'k>,
    /// The object caches.
    pub caches: &'k Caches<'k>,
    /// What their constructors have done.
    pub counts: Arc<Counts>,
    /// The kernel map.
    pub kernel: Kernel<'k>,
    /// What was handed to each thread.
    pub mail: Vec<Mutex<Goods<'k>>>,
    /// All memory in use: where it ends, by where it begins.
    memory: Mutex<BTreeMap<usize, usize>>,
    serial: AtomicU64,
    /// Whether allocations fail by chance.
    pub sometimes: AtomicBool,
    /// Whether one was to fail since all was compared last.
    pub troubled: AtomicBool,
    /// How often memory ran out without a failure that was arranged.
    pub short: AtomicU64,
}

/// Locks, also after a thread has panicked. No lock of a test is held while the manager is called:
/// threads that are none of the host's take turns there.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'k> World<'k> {
    /// Nothing yet but memory.
    pub fn new(
        kit: &'k Kit,
        (arenas, caches, kernel): (Arenas<'k>, &'k Caches<'k>, Kernel<'k>),
        shape: Shape,
        loud: bool,
    ) -> World<'k> {
        World {
            kit,
            shape,
            loud,
            accounts: Accounts::new(kit.vm()),
            arenas,
            caches,
            counts: Arc::default(),
            kernel,
            mail: (0..shape.threads).map(|_| Mutex::default()).collect(),
            memory: Mutex::default(),
            serial: AtomicU64::new(1),
            sometimes: AtomicBool::new(false),
            troubled: AtomicBool::new(false),
            short: AtomicU64::new(0),
        }
    }

    /// The manager.
    pub fn vm(&self) -> &'k Vm<Hw> {
        self.kit.vm()
    }

    /// Whether nobody else does anything meanwhile.
    pub fn is_alone(&self) -> bool {
        self.shape.threads == 1
    }

    /// A number that nobody else has.
    pub fn fresh(&self) -> u64 {
        self.serial.fetch_add(1, Relaxed)
    }

    /// Notes memory that was handed out: nobody else may have any of it.
    pub fn take_memory(&self, start: usize, bytes: usize) -> Check {
        let mut memory = lock(&self.memory);
        let before = memory.range(..start + bytes).next_back();
        if let Some((&other, &end)) = before.filter(|(_, end)| **end > start) {
            return wrong(format!(
                "{start:#x} to {:#x} was handed out, but {other:#x} to {end:#x} is in use",
                start + bytes
            ));
        }
        memory.insert(start, start + bytes);
        Ok(())
    }

    /// Notes that memory is about to be given back.
    pub fn give_memory(&self, start: usize) {
        lock(&self.memory).remove(&start);
    }

    /// Something failed for want of memory, though there had been so many failures arranged before. If one
    /// was, none is from now on; else memory must be short: a block of frames of this order is not to be
    /// had.
    pub fn excuse(&self, failures: u64, order: u32) -> Check {
        let arranged = self.kit.failures()[0] != failures || self.sometimes.load(Relaxed);
        if !self.is_alone() {
            let stats = self.vm().stats();
            let plenty = stats.frames_free * 2 > stats.frames_total && order == 0;
            if plenty && !self.troubled.load(Relaxed) {
                return wrong(format!(
                    "memory ran out while {} frames are free",
                    stats.frames_free
                ));
            }
            return Ok(());
        }
        self.fail_nothing();
        if arranged {
            return Ok(());
        }
        self.short.fetch_add(1, Relaxed);
        match self.vm().alloc_frames(1 << order, &FrameLimits::NONE) {
            Err(_) => Ok(()),
            Ok(frame) => {
                // SAFETY: just allocated, as many.
                unsafe { self.vm().free_frames(frame, 1 << order) };
                let free = self.vm().stats().frames_free;
                wrong(format!(
                    "memory ran out, but {} frames in a row were to be had, of {free} that are free",
                    1 << order
                ))
            }
        }
    }

    /// The same where so many frames were needed, and some for page tables and records.
    pub fn excuse_frames(&self, failures: u64, frames: u64) -> Check {
        let arranged = self.kit.failures()[0] != failures || self.sometimes.load(Relaxed);
        if !self.is_alone() || arranged {
            return self.excuse(failures, 1);
        }
        self.fail_nothing();
        self.short.fetch_add(1, Relaxed);
        let free = self.vm().stats().frames_free;
        match free < frames + 8 {
            true => Ok(()),
            false => wrong(format!(
                "memory ran out for {frames} frames; {free} are free"
            )),
        }
    }

    /// From now on no allocation fails.
    pub fn fail_nothing(&self) {
        self.kit.fail_nothing();
        self.sometimes.store(false, Relaxed);
        self.counts.refuses.store(false, Relaxed);
    }

    /// Tells what is done, when asked to.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.loud {
            eprintln!("    {}", what());
        }
    }
}
