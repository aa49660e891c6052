//! [`Disk`]: files in memory for the vnode pager, on a disk that can be slow and fail.
//!
//! A file is known by its cookie and has no end: bytes that nobody wrote are zeros. (How long a
//! file is, is the object's affair.)

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scalvm::{Frame, Io, PAGE_SIZE, PagerError, Vm, Vnode};

use crate::failure::Failures;
use crate::machine::{Emulated, lock};
use crate::rng::Rng;

/// When requests are carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Within the pager's call.
    AtOnce,
    /// When [`Disk::pump`] is called, or by a thread that is in [`Disk::serve`].
    Later,
}

/// What a disk has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskCounts {
    /// Requests to read, those that failed with them.
    pub reads: u64,
    /// Pages that were to be read.
    pub pages_read: u64,
    /// Requests to write, those that failed with them.
    pub writes: u64,
    /// Pages that were to be written.
    pub pages_written: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Files whose object is gone.
    pub released: u64,
}

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Read,
    Write,
}

struct State {
    pace: Pace,
    /// Pages by file and number; those that are lacking are zeros.
    pages: BTreeMap<(usize, u64), Box<[u8; PAGE_SIZE]>>,
    waiting: VecDeque<(Direction, Io<Emulated>)>,
    failures: Failures,
    /// Requests that touch these pages fail.
    bad: Vec<(usize, Range<u64>)>,
    counts: DiskCounts,
}

/// A disk in memory.
pub struct Disk {
    state: Mutex<State>,
    arrived: Condvar,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({:?})", self.counts())
    }
}

impl Disk {
    /// An empty disk.
    pub fn new(pace: Pace) -> Disk {
        Disk {
            state: Mutex::new(State {
                pace,
                pages: BTreeMap::new(),
                waiting: VecDeque::new(),
                failures: Failures::never(),
                bad: Vec::new(),
                counts: DiskCounts::default(),
            }),
            arrived: Condvar::new(),
        }
    }

    /// Changes the pace of requests to come.
    pub fn set_pace(&self, pace: Pace) {
        self.state().pace = pace;
    }

    /// Makes the n-th request from now on fail, counted from zero, and no other.
    pub fn fail_request(&self, n: u64) {
        self.state().failures.nth(n, false);
    }

    /// Makes the n-th request from now on fail, counted from zero, and all after it.
    pub fn fail_requests_from(&self, n: u64) {
        self.state().failures.nth(n, true);
    }

    /// Makes one request in so many fail, as a seed determines.
    pub fn fail_randomly(&self, seed: u64, one_in: u64) {
        self.state().failures.random(seed, one_in);
    }

    /// Makes all requests fail that touch these pages of a file.
    pub fn fail_pages(&self, cookie: usize, pages: Range<u64>) {
        self.state().bad.push((cookie, pages));
    }

    /// Makes no request fail any more.
    pub fn stop_failing(&self) {
        let mut state = self.state();
        state.failures.stop();
        state.bad.clear();
    }

    /// What it has done so far.
    pub fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    /// Requests that wait to be carried out.
    pub fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    /// Reads a file behind the manager's back.
    pub fn read_file(&self, cookie: usize, offset: u64, buf: &mut [u8]) {
        let state = self.state();
        for (at, byte) in (offset..).zip(buf) {
            let page = state.pages.get(&(cookie, at / PAGE_SIZE as u64));
            *byte = page.map_or(0, |page| page[at as usize % PAGE_SIZE]);
        }
    }

    /// Writes a file behind the manager's back.
    pub fn write_file(&self, cookie: usize, offset: u64, buf: &[u8]) {
        let mut state = self.state();
        for (at, byte) in (offset..).zip(buf) {
            state.page(cookie, at / PAGE_SIZE as u64)[at as usize % PAGE_SIZE] = *byte;
        }
    }

    /// Makes all bytes of a file from this offset on zeros, as truncating does.
    pub fn cut_file(&self, cookie: usize, offset: u64) {
        let mut state = self.state();
        let (index, rest) = (offset / PAGE_SIZE as u64, offset as usize % PAGE_SIZE);
        if let Some(page) = state.pages.get_mut(&(cookie, index)) {
            page[rest..].fill(0);
        }
        state
            .pages
            .retain(|(file, page), _| *file != cookie || *page <= index);
    }

    /// Carries out all requests that wait, oldest first, and those that come meanwhile; how many.
    pub fn pump(&self, vm: &Vm<Emulated>) -> usize {
        let mut done = 0;
        while self.pump_one(vm, None) {
            done += 1;
        }
        done
    }

    /// Carries out one request that waits: the oldest, or one by chance. False if there is none.
    pub fn pump_one(&self, vm: &Vm<Emulated>, chance: Option<&mut Rng>) -> bool {
        let mut state = self.state();
        let count = state.waiting.len() as u64;
        let index = match chance {
            Some(rng) if count > 0 => rng.below(count) as usize,
            _ => 0,
        };
        let Some((direction, io)) = state.waiting.remove(index) else {
            return false;
        };
        drop(state);
        self.carry_out(vm, direction, io);
        true
    }

    /// Carries out requests as they come until `stop` is set: for a thread of its own.
    pub fn serve(&self, vm: &Vm<Emulated>, stop: &AtomicBool) {
        while !stop.load(SeqCst) {
            self.pump(vm);
            let state = self.state();
            if state.waiting.is_empty() {
                // Wakes up now and then to look at `stop`.
                let nap = Duration::from_millis(1);
                drop(
                    self.arrived
                        .wait_timeout(state, nap)
                        .unwrap_or_else(PoisonError::into_inner),
                );
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes a request from the pager.
    fn accept(&self, vm: &Vm<Emulated>, direction: Direction, io: Io<Emulated>) {
        let held = vm.machine().held_locks();
        assert!(held.is_empty(), "a pager is called while {held:?} are held");
        let mut state = self.state();
        match state.pace {
            Pace::AtOnce => {
                drop(state);
                self.carry_out(vm, direction, io);
            }
            Pace::Later => {
                state.waiting.push_back((direction, io));
                self.arrived.notify_one();
            }
        }
    }

    fn carry_out(&self, vm: &Vm<Emulated>, direction: Direction, io: Io<Emulated>) {
        let result = self.state().transfer(vm.machine(), direction, &io);
        vm.io_done(io, result);
    }
}

impl State {
    fn page(&mut self, cookie: usize, index: u64) -> &mut [u8; PAGE_SIZE] {
        self.pages
            .entry((cookie, index))
            .or_insert_with(|| Box::new([0; PAGE_SIZE]))
    }

    fn transfer(
        &mut self,
        machine: &Emulated,
        direction: Direction,
        io: &Io<Emulated>,
    ) -> Result<(), PagerError> {
        let (cookie, first, frames) = (io.cookie(), io.index(), io.frames());
        let end = first + frames.len() as u64;
        let bad = |(file, pages): &(usize, Range<u64>)| {
            *file == cookie && pages.start < end && first < pages.end
        };
        let fails = self.failures.event() | self.bad.iter().any(bad);
        self.counts.failed += u64::from(fails);
        let arena = &machine.hardware.arena;
        let counts = &mut self.counts;
        match direction {
            Direction::Read => {
                counts.reads += 1;
                counts.pages_read += frames.len() as u64;
                for (index, frame) in (first..).zip(frames) {
                    let page = self.pages.get(&(cookie, index));
                    // What a failed request leaves is anything but what was asked for.
                    let spoiled = [0xdb; PAGE_SIZE];
                    let bytes = match page {
                        _ if fails => &spoiled,
                        Some(page) => &**page,
                        None => &[0; PAGE_SIZE],
                    };
                    arena.write(*frame, 0, bytes);
                }
            }
            Direction::Write => {
                counts.writes += 1;
                counts.pages_written += frames.len() as u64;
                if !fails {
                    self.write(arena, cookie, first, frames, io.len_bytes());
                }
            }
        }
        if fails { Err(PagerError::Io) } else { Ok(()) }
    }

    fn write(
        &mut self,
        arena: &crate::arena::Arena,
        cookie: usize,
        first: u64,
        frames: &[Frame],
        len: usize,
    ) {
        let mut left = len;
        for (index, frame) in (first..).zip(frames) {
            let count = left.min(PAGE_SIZE);
            let mut bytes = [0; PAGE_SIZE];
            arena.read(*frame, 0, &mut bytes);
            self.page(cookie, index)[..count].copy_from_slice(&bytes[..count]);
            left -= count;
        }
    }
}

impl Vnode<Emulated> for Disk {
    fn read_pages(&self, vm: &Vm<Emulated>, io: Io<Emulated>) {
        self.accept(vm, Direction::Read, io);
    }

    fn write_pages(&self, vm: &Vm<Emulated>, io: Io<Emulated>) {
        self.accept(vm, Direction::Write, io);
    }

    fn released(&self, _cookie: usize) {
        self.state().counts.released += 1;
    }
}
