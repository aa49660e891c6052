//! Ranges that somebody watches: a program, or a thread of the kernel's, is told of certain accesses
//! before they happen, and serves them. This is the core of Linux's userfaultfd(2).
//!
//! A watch is an attribute of entries, so it splits, joins and ends with them. A child has it only where
//! [`Map::fork_watched`](crate::Map::fork_watched) names a watcher for it, a mapping that moves only if the watch follows
//! ([`Watch::follows`]). A fault that meets one leads to [`Fault::Watched`](crate::Fault::Watched), and nothing is
//! remembered: who gets that queues it, waits, and has the access made again. What a watcher does is in `fault/serve.rs` (placing pages), `protect.rs`
//! and `shift.rs`; watching begins and ends in `register.rs`.
//!
//! Events, in the order in which one access may meet them:
//! - *missing*: there is no page, neither the mapping's own nor its object's, in memory or on a store;
//! - *minor*: the object has a page, but this mapping does not show it yet;
//! - *write protection*: the write of a page of an entry that is protected, whether or not it is there.
//!
//! Page tables may forget at any time, so a minor event may come for a page again, as it does on Linux
//! after reclaim. Protection is an attribute of entries and survives whatever becomes of the page; a page
//! that is protected alone takes an entry of its own, as with mprotect(2).
//!
//! A server that has lost a page *poisons* it: accesses end in [`Fault::Poisoned`](crate::Fault::Poisoned)
//! from then on, until another is placed, or it is discarded or unmapped. That is an attribute of entries as well, which
//! goes along where a mapping moves, and stays when nobody watches any more.
//!
//! S6 of `map/body.rs` is this module's. Locks: the map's, for writing wherever entries change.

mod poison;
mod protect;
mod register;
mod shift;

use bitflags::bitflags;

bitflags! {
    /// Of which accesses a watcher wants to be told.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WatchEvents: u8 {
        /// Those to a page that does not exist: it would be zeros.
        const MISSING = 1;
        /// Those to a page that an object has and the mapping has not shown yet.
        const MINOR = 2;
        /// Writes of pages that [`Map::write_protect`](crate::Map::write_protect) was called for.
        const WRITE_PROTECT = 4;
    }
}

/// Who watches a range, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    /// The kernel's own name for the watcher, below 2^28.
    pub server: u32,
    /// What it is told; not empty.
    pub events: WatchEvents,
    /// Whether it goes along where [`Map::remap`](crate::Map::remap) moves a mapping.
    pub follows: bool,
}

/// The first number that no watcher has.
pub(super) const SERVERS: u32 = 1 << 28;

impl Watch {
    /// What an entry has noted; none without events.
    #[inline(always)]
    pub(super) fn new(server: u32, events: u8, follows: bool) -> Option<Watch> {
        let events = WatchEvents::from_bits_truncate(events);
        (!events.is_empty()).then_some(Watch {
            server,
            events,
            follows,
        })
    }

    /// The same by somebody else.
    pub(crate) fn of(self, server: u32) -> Option<Watch> {
        (server < SERVERS).then_some(Watch { server, ..self })
    }
}
