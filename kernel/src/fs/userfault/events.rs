//! Events: a program that serves ranges may want to be told what becomes of them. Who unmaps or moves a range, drops
//! its contents, or forks then waits until the program has read of it; and until then nothing is served, since the program
//! does not know yet what it would serve (EAGAIN).
//!
//! Contents that are dropped are told of before, since a page that is served in between would be lost; ranges that
//! are unmapped or moved, and children, are told of after, since it may fail. A child's memory is watched by a
//! descriptor of its own. Its open file is made before, since that may fail too, and is the event's until somebody
//! reads of the child, who gets it; it is closed with an event that nobody reads, and so watches nothing then.
//!
//! Invariant: a change is noted in its descriptor from when it begins until it is dropped, unless the program has
//! read of it before, or the descriptor is closed.
//!
//! Locks: none is held while a thread waits, nor while a file is closed.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::Cell;
use core::mem::take;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::{
    O_CLOEXEC, UFFD_EVENT_FORK, UFFD_EVENT_REMAP, UFFD_EVENT_REMOVE, UFFD_EVENT_UNMAP,
    UFFD_FEATURE_EVENT_FORK, UFFD_FEATURE_EVENT_REMOVE, UFFD_FEATURE_EVENT_UNMAP,
};
use scalvm::Watch;

use super::{ALL, UserFault, find};
use crate::fs::{FileHandle, memory, wait};
use crate::linux::Errno;
use crate::task::{self, Space, State, Woken};

/// How many descriptors are told of what is unmapped. While there are none, nobody looks who might be.
pub(super) static LISTENERS: AtomicU32 = AtomicU32::new(0);

/// What a program is to read of.
pub(super) struct Event {
    ticket: u64,
    /// The message: which event, and its arguments.
    words: [u64; 4],
    /// The descriptor that watches a child's memory, which ends with this if nobody gets it.
    child: Option<FileHandle>,
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
        words: [u64; 4],
        child: Option<FileHandle>,
    ) -> Result<Change, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ticket = NEXT.fetch_add(1, Relaxed);
        let event = Event {
            ticket,
            words,
            child,
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
            // It may have been closed before the event was there.
            let closed = watcher.closed.load(Relaxed);
            !closed && events.iter().any(|event| event.ticket == self.ticket)
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
        let nth = events.iter().position(|event| event.ticket == self.ticket);
        let unread = nth.map(|nth| events.remove(nth));
        drop(events);
        self.watcher.changing.fetch_sub(1, Relaxed);
        drop(unread);
    }
}

/// The message about a range.
fn about(kind: u32, start: usize, end: usize) -> [u64; 4] {
    [kind.into(), start as u64, end as u64, 0]
}

/// Contents of a part of a mapping with this watcher are about to be dropped: tells it if it wants to know.
/// Blocks.
pub fn removing(server: u32, start: usize, len: usize) -> Result<(), Errno> {
    if let Some(watcher) = find(server).filter(|w| w.has(UFFD_FEATURE_EVENT_REMOVE)) {
        let words = about(UFFD_EVENT_REMOVE, start, start + len);
        Change::begin(watcher, words, None)?.tell();
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
            let change = Change::begin(watcher, about(UFFD_EVENT_UNMAP, start, end), None)?;
            memory::push(changes, change)?;
        }
    }
    Ok(())
}

/// The change to be told to who watches a mapping once it has moved; dropped instead if it has not.
pub fn moving(watch: Option<Watch>, start: usize) -> Result<Option<Change>, Errno> {
    let watcher = watch.filter(|w| w.follows).and_then(|w| find(w.server));
    watcher.map_or(Ok(None), |watcher| {
        Change::begin(watcher, about(UFFD_EVENT_REMAP, start, 0), None).map(Some)
    })
}

impl Change {
    /// Tells where to a mapping has moved, and how many bytes of it.
    pub fn tell_moved(self, to: usize, len: usize) {
        let mine = |event: &&mut Event| event.ticket == self.ticket;
        if let Some(event) = self.watcher.events.lock().iter_mut().find(mine) {
            (event.words[2], event.words[3]) = (to as u64, len as u64);
        }
        self.tell();
    }
}

/// Who is to watch in a child what somebody watches in its parent.
pub struct Heir {
    change: Change,
    child: Arc<UserFault>,
    /// Whether the child has anything that it is to watch.
    used: Cell<bool>,
}

/// Makes them for an address space that is about to be copied. What is dropped before it is told of is as if it had
/// not been.
pub fn forking(space: &Space) -> Result<Vec<Heir>, Errno> {
    let mut heirs: Vec<Heir> = Vec::new();
    let next = |heirs: &[Heir]| {
        let known = |of: &UserFault| heirs.iter().any(|h| h.change.watcher.number == of.number);
        let all = ALL.lock();
        let mut alive = all.iter().filter_map(|(_, watcher)| watcher.upgrade());
        alive.find(|w| w.has(UFFD_FEATURE_EVENT_FORK) && w.is_of(space) && !known(w))
    };
    while let Some(watcher) = next(&heirs) {
        let (flags, features) = (watcher.flags, watcher.features.load(Relaxed));
        let (child, file) = UserFault::make(Weak::new(), flags, features)?;
        // The file here outlives the lock of the events, so that it is not closed under it.
        let event = Some(file.clone());
        let heir = Heir {
            change: Change::begin(watcher, about(UFFD_EVENT_FORK, 0, 0), event)?,
            child,
            used: Cell::new(false),
        };
        memory::push(&mut heirs, heir)?;
    }
    Ok(heirs)
}

/// Who watches in a child, by the number of who watches in its parent.
pub fn heir_of(heirs: &[Heir], server: u32) -> Option<u32> {
    let heir = heirs
        .iter()
        .find(|heir| heir.change.watcher.number == server)?;
    heir.used.set(true);
    Some(heir.child.number)
}

/// There is a child now: tells who serves it. Blocks.
pub fn forked(mut heirs: Vec<Heir>, child: &Arc<Space>) {
    heirs.retain(|heir| heir.used.get());
    heirs.iter().for_each(|heir| heir.child.set_space(child));
    heirs.into_iter().for_each(|heir| heir.change.tell());
}

impl UserFault {
    /// Takes out the next event that may be read. Who waits for that goes on. A child's descriptor becomes one of the
    /// caller's, whose number is told; if it cannot the event stays.
    pub(super) fn next_event(&self) -> Result<Option<[u64; 4]>, Errno> {
        let mut events = self.events.lock();
        let Some(event) = events.iter_mut().find(|event| event.ready) else {
            return Ok(None);
        };
        let (ticket, mut words, child) = (event.ticket, event.words, event.child.clone());
        // Nobody else reads it meanwhile.
        event.ready = false;
        drop(events);
        let installed = child.map(|child| {
            let files = task::current().files();
            let close_on_exec = self.flags & O_CLOEXEC != 0;
            files.lock().add(child, 0, close_on_exec)
        });
        let mut events = self.events.lock();
        let nth = events.iter().position(|event| event.ticket == ticket);
        match installed.transpose() {
            Ok(None) => {}
            Ok(Some(descriptor)) => words[1] = descriptor as u64,
            Err(error) => {
                if let Some(event) = nth.and_then(|nth| events.get_mut(nth)) {
                    event.ready = true;
                }
                drop(events);
                self.readers.wake_all();
                wait::changed();
                return Err(error);
            }
        }
        let read = nth.map(|nth| events.remove(nth));
        drop(events);
        drop(read);
        self.telling.wake_all();
        Ok(Some(words))
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
        // None of the children's descriptors is to be had any more.
        let unread = take(&mut *self.events.lock());
        drop(unread);
        self.telling.wake_all();
    }
}
