//! Events: a program that serves ranges may want to be told what becomes of them. Who unmaps a range or drops its
//! contents then waits until the program has read of it; and until then nothing is served, since the program
//! does not know yet what it would serve (EAGAIN).
//!
//! Contents that are dropped are told of before, since a page that is served in between would be lost; ranges that
//! are unmapped are told of after, since it may fail.
//!
//! Invariant: a change is noted in its descriptor from when it begins until it is dropped, unless the program has
//! read of it before, or the descriptor is closed.
//!
//! Locks: none is held while a thread waits.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{
    UFFD_EVENT_REMOVE, UFFD_EVENT_UNMAP, UFFD_FEATURE_EVENT_REMOVE, UFFD_FEATURE_EVENT_UNMAP,
};

use super::{UserFault, find};
use crate::fs::{memory, wait};
use crate::linux::Errno;
use crate::task::{Space, State, Woken};

/// How many descriptors are told of what is unmapped. While there are none, nobody looks who might be.
pub(super) static LISTENERS: AtomicU32 = AtomicU32::new(0);

/// What a program is to read of.
pub(super) struct Event {
    ticket: u64,
    kind: u32,
    start: usize,
    end: usize,
    /// Whether it may be read.
    ready: bool,
}

/// A change of a range that a program is told of.
pub struct Change {
    watcher: Arc<UserFault>,
    ticket: u64,
}

impl Change {
    fn begin(
        watcher: Arc<UserFault>,
        kind: u32,
        start: usize,
        end: usize,
    ) -> Result<Change, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT.fetch_add(1, Relaxed);
        let event = Event {
            ticket,
            kind,
            start,
            end,
            ready: false,
        };
        memory::push(&mut watcher.events.lock(), event)?;
        watcher.changing.fetch_add(1, Relaxed);
        Ok(Change { watcher, ticket })
    }

    /// Tells of it, and waits until the program has read of it, its descriptor is closed, or the thread is to
    /// end.
    pub fn tell(self) {
        let watcher = &self.watcher;
        let mine = |event: &&mut Event| event.ticket == self.ticket;
        if let Some(event) = watcher.events.lock().iter_mut().find(mine) {
            event.ready = true;
        }
        watcher.readers.wake_all();
        wait::changed();
        let waits = || {
            let events = watcher.events.lock();
            events.iter().any(|event| event.ticket == self.ticket)
        };
        let mut woken = Woken::Called;
        while waits() && woken == Woken::Called {
            woken = watcher.telling.wait((), State::Killable, None);
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut events = self.watcher.events.lock();
        events.retain(|event| event.ticket != self.ticket);
        self.watcher.changing.fetch_sub(1, Relaxed);
    }
}

/// Contents of a part of a mapping with this watcher are about to be dropped: tells it if it wants to know.
/// Blocks.
pub fn removing(server: u32, start: usize, len: usize) -> Result<(), Errno> {
    if let Some(watcher) = find(server).filter(|w| w.has(UFFD_FEATURE_EVENT_REMOVE)) {
        Change::begin(watcher, UFFD_EVENT_REMOVE, start, start + len)?.tell();
    }
    Ok(())
}

/// The changes to be told once a range has been unmapped; dropped instead if that has failed.
#[inline]
pub fn unmapping(space: &Space, start: usize, len: usize) -> Result<Vec<Change>, Errno> {
    let mut changes = Vec::new();
    if LISTENERS.load(Relaxed) > 0 {
        gather(space, start, start.saturating_add(len), &mut changes)?;
    }
    Ok(changes)
}

/// Unmaps a range, and tells who watches it.
pub fn unmap(space: &Space, start: usize, len: usize) -> Result<(), Errno> {
    let changes = unmapping(space, start, len)?;
    space.unmap(start, len)?;
    changes.into_iter().for_each(Change::tell);
    Ok(())
}

/// As on Linux, each watcher is told once, of the whole range.
fn gather(space: &Space, start: usize, end: usize, changes: &mut Vec<Change>) -> Result<(), Errno> {
    let mut at = start;
    while at < end
        && let Some(region) = space.query(at).filter(|region| region.start < end)
    {
        at = region.end;
        let watcher = region.watch.and_then(|watch| find(watch.server));
        let known = |known: &UserFault| changes.iter().any(|c| c.watcher.number == known.number);
        if let Some(watcher) = watcher.filter(|w| w.has(UFFD_FEATURE_EVENT_UNMAP) && !known(w)) {
            let change = Change::begin(watcher, UFFD_EVENT_UNMAP, start, end)?;
            memory::push(changes, change)?;
        }
    }
    Ok(())
}

impl UserFault {
    /// Takes out the next event that may be read: kind, and the range. Who waits for that goes on.
    pub(super) fn next_event(&self) -> Option<[u64; 3]> {
        let mut events = self.events.lock();
        let nth = events.iter().position(|event| event.ready)?;
        let event = events.remove(nth);
        drop(events);
        self.telling.wake_all();
        Some([event.kind.into(), event.start as u64, event.end as u64])
    }

    /// Whether there is an event to be read.
    pub(super) fn has_event(&self) -> bool {
        self.events.lock().iter().any(|event| event.ready)
    }

    /// EAGAIN while ranges change.
    pub(super) fn settled(&self) -> Result<(), Errno> {
        match self.changing.load(Relaxed) {
            0 => Ok(()),
            _ => Err(Errno::EAGAIN),
        }
    }

    /// Lets all go on who wait for their event to be read.
    pub(super) fn forget_events(&self) {
        if self.has(UFFD_FEATURE_EVENT_UNMAP) {
            LISTENERS.fetch_sub(1, Relaxed);
        }
        self.events.lock().clear();
        self.telling.wake_all();
    }
}
