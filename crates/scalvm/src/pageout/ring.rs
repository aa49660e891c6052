//! How new pages reach the policies: through a ring for each processor.
//!
//! A fault that makes a page only notes its frame. When the ring of its processor is full, or the
//! daemon runs, all that the ring notes goes to the policies at once; so a policy's lock is taken once
//! for many pages. While memory is plenty a full ring is simply emptied: before pages are to leave
//! all frames are gone through once. Pages that were freed meanwhile are skipped.
//!
//! Invariant **R1**: a page that a fault has noted is in a ring, or known to a policy, or
//! `Pageout::unnoted` is set, until it is freed; or it was found wired, and `Pageout::some_wired` is
//! set. Whoever unwires something says so behind it in `Pageout::unwired`; then all frames are gone through again, when that
//! is much or before a search ends in vain.
//!
//! No lock: places are taken by counting up, and emptied by exchange.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Frames that a ring notes; with its two words, a ring fills four lines.
const PLACES: usize = 62;

/// A processor's new pages.
#[repr(align(64))]
pub(crate) struct Ring {
    next: AtomicU32,
    /// The frame that was noted last.
    newest: AtomicU32,
    /// Frame numbers plus one; 0 for an empty place.
    places: [AtomicU32; PLACES],
}

impl Ring {
    pub const fn new() -> Ring {
        Ring {
            next: AtomicU32::new(0),
            newest: AtomicU32::new(u32::MAX),
            places: [const { AtomicU32::new(0) }; PLACES],
        }
    }

    /// Notes a frame. If the ring is full, or something was overtaken, the frame that found no place
    /// is returned: it must go to the policy, and the ring be emptied.
    #[inline]
    pub fn note(&self, frame: u32) -> Option<u32> {
        self.newest.store(frame, Relaxed);
        let place = self.next.fetch_add(1, Relaxed) as usize;
        let Some(place) = self.places.get(place) else {
            return Some(frame);
        };
        // Whoever emptied the ring may have passed a place before its frame came.
        place.swap(frame + 1, AcqRel).checked_sub(1)
    }

    /// The frame that was noted last.
    pub fn newest(&self) -> u32 {
        self.newest.load(Relaxed)
    }

    /// Empties the ring.
    pub fn empty(&self, mut f: impl FnMut(u32)) {
        let noted = self.next.swap(0, Acquire) as usize;
        if noted == 0 {
            return;
        }
        for place in &self.places {
            if let Some(frame) = place.swap(0, AcqRel).checked_sub(1) {
                f(frame);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_is_noted_comes_out_once() {
        let ring = Ring::new();
        let mut out = Vec::new();
        for frame in 0..1000 {
            if let Some(frame) = ring.note(frame) {
                out.push(frame);
                ring.empty(|frame| out.push(frame));
            }
        }
        ring.empty(|frame| out.push(frame));
        ring.empty(|_| panic!("empty"));
        out.sort_unstable();
        assert_eq!(out, (0..1000).collect::<Vec<u32>>());
    }
}
