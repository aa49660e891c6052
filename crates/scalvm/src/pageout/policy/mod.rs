//! Policies of replacement: which page is to leave next.
//!
//! A policy never looks at a page itself. It names a *candidate*, is told whether that was used, and
//! gives its verdict. Pages are known by the numbers of their frames, and linked through their
//! descriptors. A frame that is freed stays linked until the daemon meets it, or it gets a page
//! again.
//!
//! Lock: rank Policy, one for all.

mod clock;

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::{Frames, Segments};

use clock::Clock;

/// How pages are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    /// Second chance: the page that came first leaves first, unless it was used meanwhile.
    Clock,
}

/// What is to be done with a candidate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It stays, and is not the candidate any more.
    Keep,
    /// It leaves: the policy has forgotten it.
    Evict,
}

/// The policy of one kind of pages.
pub(crate) struct Policy {
    kind: AtomicU8,
    clock: Clock,
}

impl Policy {
    pub const fn new(file: bool) -> Policy {
        Policy {
            kind: AtomicU8::new(0),
            clock: Clock::new(file),
        }
    }

    /// Chooses the policy, and gets it the memory that it needs.
    pub fn start<M: Machine>(
        &self,
        _machine: &M,
        _frames: &Frames,
        kind: PolicyKind,
    ) -> Result<(), OutOfMemory> {
        self.kind.store(kind as u8, Relaxed);
        Ok(())
    }

    /// Pages that it has, those with them that were freed and not met yet.
    pub fn len(&self) -> u32 {
        self.clock.len()
    }

    /// A page has come. Tells whether it was missed: it had left not long ago. `key` names the page
    /// whatever its frame.
    pub fn insert(&self, segments: &Segments, frame: u32, _key: u64) -> bool {
        self.clock.insert(segments, frame);
        false
    }

    /// A page that was to leave stays.
    pub fn reinsert(&self, segments: &Segments, frame: u32) {
        self.clock.insert(segments, frame);
    }

    /// A frame has no page of this kind any more.
    pub fn remove(&self, segments: &Segments, frame: u32) {
        self.clock.remove(segments, frame);
    }

    /// A page is to be the next candidate.
    pub fn cool(&self, segments: &Segments, frame: u32) {
        self.clock.cool(segments, frame);
    }

    /// The page about which the policy wants to know whether it was used.
    pub fn candidate(&self, _segments: &Segments) -> Option<u32> {
        self.clock.candidate()
    }

    /// Decides about the candidate.
    pub fn judge(&self, segments: &Segments, frame: u32, used: bool, _key: u64) -> Verdict {
        self.clock.judge(segments, frame, used)
    }
}
