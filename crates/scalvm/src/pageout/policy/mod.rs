//! Policies of replacement: which page is to leave next.
//!
//! A policy never looks at a page itself. It names a *candidate*, is told whether that was used since
//! it was last asked, and gives its verdict. So the same code serves the page daemon and a
//! simulation of recorded references.
//!
//! ```text
//!   insert ──► [ queues, records ] ──► candidate ──► was it used? ──► judge ──► Keep, Evict
//! ```
//!
//! Pages are known by the numbers of their frames. Their places in the policy's queues lie in their
//! descriptors (`older`, `newer` and the mark), which keep them when the frame is freed: nobody has
//! to tell a policy of that. The daemon finds out when the page is a candidate, or the frame
//! comes again with another page.
//!
//! [`PolicyKind`] says what there is to choose from; `docs/performance.md` shows what it is worth.
//!
//! Lock: rank Policy, one for all policies, held by the caller of every function.

mod clock;
mod clock_pro;
mod list;
mod queues;
mod records;
#[cfg(test)]
mod tests;

use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::{Frames, Segments};
use crate::sync::Field;

use clock::Clock;
use clock_pro::ClockPro;

/// How pages are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    /// Pages take turns: who was used since its last turn gets another one.
    Clock,
    /// CLOCK-Pro: pages that come back soon stay, and what is used once leaves soon. It remembers
    /// pages that left, in 20 bytes for each frame.
    ClockPro,
}

/// What is to be done with a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It stays, and is not the candidate any more.
    Keep,
    /// It leaves: it is in no queue any more.
    Evict,
}

/// What a policy has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Counts {
    /// Pages that came since the last look.
    pub fresh: u32,
    /// Pages that are to stay: active, hot.
    pub active: u32,
    /// Pages that are to leave: inactive, cold.
    pub inactive: u32,
    /// Keys that are remembered, of resident pages and others.
    pub remembered: u32,
}

impl Counts {
    /// All pages. Those are contained that were freed since and not met yet.
    pub fn pages(self) -> u32 {
        self.active + self.cold()
    }

    fn cold(self) -> u32 {
        self.fresh + self.inactive
    }
}

/// Calls the policy that was chosen.
macro_rules! chosen {
    ($self:ident.$call:ident($($arg:expr),*)) => {
        if $self.kind.get() == PolicyKind::ClockPro as u8 {
            $self.clock_pro.$call($($arg),*)
        } else {
            $self.clock.$call($($arg),*)
        }
    };
}

/// The policy of one kind of pages, anonymous or file.
pub(crate) struct Policy {
    kind: Field<u8>,
    clock: Clock,
    clock_pro: ClockPro,
}

impl Policy {
    pub const fn new(file: bool) -> Policy {
        Policy {
            kind: Field::<u8>::constant(0),
            clock: Clock::new(file),
            clock_pro: ClockPro::new(file),
        }
    }

    /// Chooses the policy, before there are pages, and gets it the memory that it needs.
    pub fn start<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        kind: PolicyKind,
    ) -> Result<(), OutOfMemory> {
        if kind == PolicyKind::ClockPro {
            self.clock_pro.start(machine, frames)?;
        }
        self.kind.set(kind as u8);
        Ok(())
    }

    /// What it has.
    pub fn counts(&self) -> Counts {
        chosen!(self.counts())
    }

    /// Pages that it has, those with them that were freed and not met yet.
    pub fn len(&self) -> u32 {
        self.counts().pages()
    }

    /// A page has come. Tells whether it was missed: it had left not long ago. `key` names the page
    /// whatever its frame.
    pub fn insert(&self, segments: &Segments, frame: u32, key: u64) -> bool {
        chosen!(self.insert(segments, frame, key))
    }

    /// A page that was to leave stays.
    pub fn reinsert(&self, segments: &Segments, frame: u32) {
        chosen!(self.reinsert(segments, frame))
    }

    /// A frame has no page of this kind any more, if it ever had.
    pub fn remove(&self, segments: &Segments, frame: u32) {
        chosen!(self.remove(segments, frame))
    }

    /// A page is to be the next that leaves, unless it is used.
    pub fn cool(&self, segments: &Segments, frame: u32) {
        chosen!(self.cool(segments, frame))
    }

    /// The page about which the policy wants to know whether it was used.
    pub fn candidate(&self, segments: &Segments) -> Option<u32> {
        chosen!(self.candidate(segments))
    }

    /// Nothing can be found out about the candidate now: it keeps its rank, and another one is next.
    pub fn skip(&self, segments: &Segments, frame: u32) {
        chosen!(self.skip(segments, frame))
    }

    /// Decides about a page that was the candidate. One that has gone meanwhile is kept.
    pub fn judge(&self, segments: &Segments, frame: u32, used: bool, key: u64) -> Verdict {
        chosen!(self.judge(segments, frame, used, key))
    }

    /// Panics where the policy contradicts itself.
    pub fn check_invariants(&self, segments: &Segments) {
        chosen!(self.check_invariants(segments))
    }
}
