//! Requests that wait to be carried out.

use scalvm::Io;

use super::{Direction, Pace};
use crate::machine::Emulated;
use crate::rng::Rng;

/// A request that waits.
pub(crate) struct Waiting {
    pub direction: Direction,
    pub io: Io<Emulated>,
    /// Whose frames its pages are.
    pub machine: Emulated,
    /// The time from which on it may be carried out.
    due: u64,
    /// The power went away while it waited: it fails.
    pub lost: bool,
}

/// What comes of looking for a request.
pub(crate) enum Next {
    /// This one is to be carried out.
    Ready(Waiting),
    /// There are some, but none is due yet: time went on.
    NotYet,
    /// There are none, or the disk does not answer.
    Nothing,
}

/// The requests that wait, the oldest first.
pub(crate) struct Queue {
    pub pace: Pace,
    /// No request is answered.
    pub stopped: bool,
    waiting: Vec<Waiting>,
    /// Goes on by one whenever a request comes and whenever somebody looks for one.
    time: u64,
    most_delay: u64,
    rng: Rng,
}

impl Queue {
    pub fn new(pace: Pace) -> Queue {
        Queue {
            pace,
            stopped: false,
            waiting: Vec::new(),
            time: 0,
            most_delay: 0,
            rng: Rng::new(0),
        }
    }

    pub fn delay(&mut self, seed: u64, most: u64) {
        self.rng = Rng::new(seed);
        self.most_delay = most;
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All that wait, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.waiting.iter()
    }

    /// Whether a request that comes now must wait.
    pub fn must_wait(&self) -> bool {
        self.pace == Pace::Later || self.stopped || self.most_delay != 0
    }

    /// Puts a request at the end.
    pub fn push(&mut self, direction: Direction, io: Io<Emulated>, machine: Emulated) {
        self.time += 1;
        let delay = match self.most_delay {
            0 => 0,
            most => self.rng.below(most + 1),
        };
        self.waiting.push(Waiting {
            direction,
            io,
            machine,
            due: self.time + delay,
            lost: false,
        });
    }

    /// Takes a request that is due: the oldest, or one by chance.
    pub fn next(&mut self, chance: Option<&mut Rng>) -> Next {
        if self.stopped || self.waiting.is_empty() {
            return Next::Nothing;
        }
        self.time += 1;
        let due = |waiting: &Waiting| waiting.due <= self.time;
        let count = self.waiting.iter().filter(|w| due(w)).count() as u64;
        if count == 0 {
            return Next::NotYet;
        }
        let nth = chance.map_or(0, |rng| rng.below(count)) as usize;
        let mut due = self.waiting.iter().enumerate().filter(|(_, w)| due(w));
        let (index, _) = due.nth(nth).expect("there are so many");
        Next::Ready(self.waiting.remove(index))
    }

    /// Lets all that wait fail when they are carried out.
    pub fn fail_waiting(&mut self) {
        self.waiting.iter_mut().for_each(|w| w.lost = true);
    }
}
