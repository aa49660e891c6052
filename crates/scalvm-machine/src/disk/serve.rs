//! Requests are carried out.

use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use scalvm::{Io, PAGE_SIZE, Pager, PagerError, Request, Vm};

use super::image::Image;
use super::queue::{Next, Waiting};
use super::trouble::Sectors;
use super::{Direction, Disk, State};
use crate::arena::Arena;
use crate::machine::Emulated;
use crate::rng::Rng;

/// Fills pages that could not be read: anything but what was asked for.
const SPOILED: [u8; PAGE_SIZE] = [0xdb; PAGE_SIZE];

impl Disk {
    /// Carries out all requests that wait, and those that come meanwhile; how many. A disk that
    /// does not answer carries out none.
    pub fn pump(&self, vm: &Vm<Emulated>) -> usize {
        let mut done = 0;
        loop {
            let next = self.state().queue.next(None);
            match next {
                Next::Ready(waiting) => self.carry_out(vm, waiting),
                Next::NotYet => continue,
                Next::Nothing => return done,
            }
            done += 1;
        }
    }

    /// Carries out one request that waits and is due: the oldest, or one by chance. If none is
    /// due, time goes on. False if there is none or the disk does not answer.
    pub fn pump_one(&self, vm: &Vm<Emulated>, chance: Option<&mut Rng>) -> bool {
        let next = self.state().queue.next(chance);
        match next {
            Next::Ready(waiting) => self.carry_out(vm, waiting),
            Next::NotYet => {}
            Next::Nothing => return false,
        }
        true
    }

    /// Carries out requests as they come until `stop` is set: for a thread of its own.
    pub fn serve(&self, vm: &Vm<Emulated>, stop: &AtomicBool) {
        while !stop.load(SeqCst) {
            self.pump(vm);
            let state = self.state();
            if state.queue.len() == 0 || state.queue.stopped {
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

    /// Takes a request from the pager.
    fn accept(&self, vm: &Vm<Emulated>, direction: Direction, io: Io<Emulated>) {
        let held = vm.machine().held_locks();
        assert!(held.is_empty(), "a pager is called while {held:?} are held");
        let mut state = self.state();
        if state.queue.must_wait() {
            state.queue.push(direction, io, vm.machine().clone());
            self.arrived.notify_one();
            return;
        }
        let result = state.transfer(vm.machine(), direction, &io, false);
        drop(state);
        answer(vm, io, result);
    }

    fn carry_out(&self, vm: &Vm<Emulated>, waiting: Waiting) {
        let Waiting {
            direction,
            io,
            machine,
            lost,
            ..
        } = waiting;
        let result = self.state().transfer(&machine, direction, &io, lost);
        answer(vm, io, result);
    }
}

/// Tells how a request went; nothing of one that is lost, as when a server dies that has it.
fn answer(vm: &Vm<Emulated>, io: Io<Emulated>, result: Result<(), PagerError>) {
    let request = Request::new(vm, io);
    match result {
        Err(PagerError::Gone) => drop(request),
        result => request.done(result),
    }
}

impl State {
    fn transfer(
        &mut self,
        machine: &Emulated,
        direction: Direction,
        io: &Io<Emulated>,
        lost: bool,
    ) -> Result<(), PagerError> {
        let dead = lost || !self.powered;
        let fails = self.trouble.fails(direction, io) | dead;
        let arena = &machine.hardware.arena;
        let count = io.frames().len() as u64;
        match direction {
            Direction::Read => {
                self.counts.reads += 1;
                self.counts.pages_read += count;
                self.image.fill(arena, io, fails);
            }
            Direction::Write => {
                self.counts.writes += 1;
                self.counts.pages_written += count;
                self.counts.failed_writes += u64::from(fails);
                let trouble = &mut self.trouble;
                self.image.store(arena, io, || match (dead, fails) {
                    (true, _) => Sectors::NONE,
                    (_, true) => trouble.torn(),
                    _ => Sectors::ALL,
                });
            }
        }
        self.counts.failed += u64::from(fails);
        match (fails, dead) {
            (false, _) => Ok(()),
            (true, false) if self.trouble.loses() => Err(PagerError::Gone),
            (true, _) => Err(PagerError::Io),
        }
    }

    /// See [`Disk::cut_power`].
    pub(super) fn cut_power(&mut self, seed: u64) {
        let mut rng = Rng::new(seed);
        if self.powered {
            for waiting in self.queue.iter().filter(|waiting| !waiting.lost) {
                if waiting.direction == Direction::Write {
                    let arena = &waiting.machine.hardware.arena;
                    let some = || Sectors::some(&mut rng);
                    self.image.store(arena, &waiting.io, some);
                }
            }
        }
        self.powered = false;
        self.queue.fail_waiting();
    }
}

impl Image {
    /// Brings a request's pages, or something else.
    fn fill(&self, arena: &Arena, io: &Io<Emulated>, fails: bool) {
        for (index, frame) in (io.index()..).zip(io.frames()) {
            match self.page(io.cookie(), index) {
                _ if fails => arena.write(*frame, 0, &SPOILED),
                Some(page) => arena.write(*frame, 0, page),
                None => arena.zero(*frame),
            }
        }
    }

    /// Puts a request's pages: of each, some sectors.
    fn store(&mut self, arena: &Arena, io: &Io<Emulated>, mut some: impl FnMut() -> Sectors) {
        let mut left = io.len_bytes();
        for (index, frame) in (io.index()..).zip(io.frames()) {
            let count = left.min(PAGE_SIZE);
            let mut bytes = [0; PAGE_SIZE];
            arena.read(*frame, 0, &mut bytes);
            for range in some().ranges() {
                let range = range.start.min(count)..range.end.min(count);
                self.page_mut(io.cookie(), index)[range.clone()].copy_from_slice(&bytes[range]);
            }
            left -= count;
        }
    }
}

impl Pager<Emulated> for Disk {
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
