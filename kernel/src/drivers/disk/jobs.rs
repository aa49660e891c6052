//! [`Jobs`]: the pager's requests that are under way in several parts.
//!
//! Invariants:
//! 1. A job is there until all of its parts have ended, and whoever hands them out has said that no
//!    more will come.
//! 2. Jobs have growing numbers.

use scalvm::{Io, PagerError};

use crate::mm::Hw;

/// Jobs that can be under way.
const JOBS: usize = 16;

/// A request, and what is left to do of it.
struct Job {
    io: Io<Hw>,
    number: u64,
    /// Parts under way, and one while more may come.
    parts: usize,
    result: Result<(), PagerError>,
}

/// All of a disk's.
pub struct Jobs {
    slots: [Option<Job>; JOBS],
    /// The number of the next one.
    next: u64,
}

impl Jobs {
    /// None.
    pub const fn new() -> Jobs {
        Jobs {
            slots: [const { None }; JOBS],
            next: 0,
        }
    }

    /// Begins one, and returns its place; if there is none, the request stays where it is.
    pub fn begin(&mut self, given: &mut Option<Io<Hw>>) -> Option<usize> {
        let at = self.slots.iter().position(Option::is_none)?;
        self.slots[at] = Some(Job {
            io: given.take()?,
            number: self.next,
            parts: 1,
            result: Ok(()),
        });
        self.next += 1;
        Some(at)
    }

    /// One more part is about to begin.
    pub fn one_more(&mut self, at: usize) {
        if let Some(job) = &mut self.slots[at] {
            job.parts += 1;
        }
    }

    /// A part has ended, or no more will come. Returns the request if nothing is left of it.
    pub fn one_less(
        &mut self,
        at: usize,
        result: Result<(), PagerError>,
    ) -> Option<(Io<Hw>, Result<(), PagerError>)> {
        let job = self.slots[at].as_mut()?;
        job.result = job.result.and(result);
        job.parts -= 1;
        if job.parts > 0 {
            return None;
        }
        self.slots[at].take().map(|job| (job.io, job.result))
    }

    /// The number that the next job will have.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Whether a job is under way that began before the one of this number.
    pub fn has_before(&self, number: u64) -> bool {
        self.slots.iter().flatten().any(|job| job.number < number)
    }
}
