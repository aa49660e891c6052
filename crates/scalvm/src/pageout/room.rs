//! Making room: what a thread does that has got no memory, and what the daemon does.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::machine::Machine;
use crate::pageout::daemon::Who;
use crate::stats::Event;
use crate::vm::Vm;

/// How often an operation may be tried again (arbitrary: others take what was freed for it, or it brings
/// a page back only to lose it, for want of another frame).
const ROUNDS: u32 = 64;

/// After a search that found too little, one page in so many must come, of those that were searched, before the
/// daemon searches again: so it looks at about 500 pages at the most for each that comes
/// (arbitrary).
const SHARE: u32 = 128;

/// The most frames that one search is for (arbitrary).
const STEP: u64 = 32;

/// What was free when an operation began that may run out of memory: see [`Vm::make_room`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    progress: u32,
    rounds: u32,
}

impl<M: Machine> Vm<M> {
    /// Taken before an operation, so that [`make_room`](Vm::make_room) knows what has become free
    /// since it began.
    #[inline]
    pub fn room(&self) -> Room {
        Room {
            progress: self.pageout.progress.load(Acquire),
            rounds: 0,
        }
    }

    /// For a caller that has got no memory, holds no lock, and may block: frees some, or waits for
    /// whoever does. True if something has become free since `room`, which is renewed: the operation
    /// is worth another try. False if there is nothing that could leave, or the operation has failed
    /// again and again. Each time more is freed, since it may need several frames at once.
    ///
    /// Threads are served in the order in which they came.
    pub fn make_room(&self, room: &mut Room) -> bool {
        room.rounds += 1;
        if room.rounds > ROUNDS {
            return false;
        }
        if !self.pageout.is_on() {
            return self.reclaim_kmem() != 0;
        }
        self.in_turn(|| {
            let before = room.progress;
            if before == self.room().progress {
                let least = 1 << room.rounds.min(6) >> 1;
                let want = self.frames_wanted().clamp(least, STEP);
                if self.reclaim(want, Who::Needy) == 0 {
                    self.reclaim_kmem();
                }
            }
            room.progress = self.room().progress;
            room.progress != before
        })
    }

    /// Tries an operation until it has the memory that it needs, or there is none to be had. Blocks.
    pub fn with_room<T, E>(
        &self,
        mut operation: impl FnMut() -> Result<T, E>,
        short: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut room = self.room();
        loop {
            match operation() {
                Err(error) if short(&error) && self.make_room(&mut room) => {}
                result => return result,
            }
        }
    }

    /// For the page daemon's thread: blocks until memory is short, and something may leave it. After
    /// [`balance`](Vm::balance) has found too little that is when a request has ended, a place to put
    /// pages has been added, or as many pages have come or places become free as make it worth
    /// another search. Who needs memory before that does not wait: [`make_room`](Vm::make_room)
    /// searches anyway.
    pub fn wait_for_pressure(&self) {
        let word = self.frames.pressure();
        while word.load(Acquire) == 0 {
            self.machine.wait(word, 0);
        }
    }

    /// For the page daemon's thread: frees frames up to the high mark, as far as it can, and tells
    /// how many. Blocks for I/O.
    pub fn balance(&self) -> u64 {
        self.frames.pressure().store(0, Release);
        if !self.pageout.is_on() {
            return 0;
        }
        self.count(Event::Balance);
        let mut freed = match self.frames_wanted() {
            0 => 0,
            _ => self.reclaim_idle_kmem(),
        };
        loop {
            // What becomes able to leave while it is searched is told at once.
            self.frames.forbear(u32::MAX);
            let (want, step) = self.in_turn(|| {
                let want = self.frames_wanted();
                (want, self.reclaim(want.min(STEP), Who::Daemon))
            });
            freed += step;
            // A search that finds less than it was for has looked at everything, for now.
            if step < want.clamp(1, STEP) {
                let patience = if want == 0 { 0 } else { self.patience() };
                self.frames.forbear_no_longer_than(patience);
                return freed;
            }
        }
    }

    /// How many pages must come before it is worth to search again what was just searched.
    pub(super) fn patience(&self) -> u32 {
        let known = self.pageout.policies.iter().map(|policy| policy.len());
        known.sum::<u32>() / SHARE + 1
    }

    /// Something may leave memory that could not before: a request has ended, or there is a new place
    /// for pages.
    #[cold]
    pub(crate) fn more_may_leave(&self) {
        self.frames.renew(&self.machine);
    }

    /// One page may leave memory that could not before: a hold was given up, or a place for a page
    /// became free.
    #[inline]
    pub(crate) fn one_may_leave(&self) {
        if self.frames.is_forbearing() {
            self.tell_of_one();
        }
    }

    #[cold]
    fn tell_of_one(&self) {
        self.frames.notice(&self.machine, 1);
    }

    /// How many frames are lacking to the high mark.
    fn frames_wanted(&self) -> u64 {
        let high = self.pageout.high.load(Relaxed);
        high.saturating_sub(self.frames.free_count())
    }

    /// Runs `f` when it is the caller's turn to reclaim.
    pub(super) fn in_turn<T>(&self, f: impl FnOnce() -> T) -> T {
        let pageout = &self.pageout;
        let number = pageout.drawn.fetch_add(1, Relaxed);
        loop {
            let serving = pageout.serving.load(Acquire);
            if serving == number {
                break;
            }
            self.machine.wait(&pageout.serving, serving);
        }
        let result = f();
        pageout.serving.fetch_add(1, Release);
        self.machine.wake(&pageout.serving);
        result
    }

    /// Frames have become free, or what is waited for has ended.
    pub(crate) fn progressed(&self) {
        self.pageout.progress.fetch_add(1, Release);
        self.machine.wake(&self.pageout.progress);
    }
}
