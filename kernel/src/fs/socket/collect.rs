//! Sockets that lie only in each other's queues: nobody can ever receive them.
//!
//! When a descriptor of a socket in flight is closed, or a message with one goes, all in flight are
//! looked through. A socket whose file is referred to from anywhere but a queue of a socket in flight
//! can be reached, and so can what lies in its queue; the rest is garbage, and its queues are
//! emptied, which closes it. No memory is needed; the time grows with the number of sockets in flight
//! and of the files in their queues.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::rights::IN_FLIGHT;
use super::state::Socket;
use crate::fs::FileHandle;
use crate::sync::Mutex;

/// What the collector notes about a socket in flight.
pub struct Mark {
    /// How often its file lies in queues of sockets in flight.
    inside: AtomicUsize,
    /// How many references there are to its file.
    references: AtomicUsize,
    reachable: AtomicBool,
    /// The next one of those that can be reached and whose queues have not been looked into.
    next: Mutex<Option<Arc<Socket>>>,
}

impl Mark {
    pub(super) const fn new() -> Mark {
        Mark {
            inside: AtomicUsize::new(0),
            references: AtomicUsize::new(0),
            reachable: AtomicBool::new(false),
            next: Mutex::new(None),
        }
    }
}

/// Whether there may be garbage: a socket in flight is referred to by less than before.
static STALE: AtomicBool = AtomicBool::new(false);

/// A reference to this file, in a table or a message, is about to go.
pub fn released(file: &FileHandle) {
    if let Some(socket) = Socket::of(file)
        && socket.flights.load(Relaxed) > 0
    {
        STALE.store(true, Relaxed);
    }
}

/// Empties the queues of what cannot be reached, if there may be such. No lock of a socket may be
/// held.
pub fn collect() {
    if !STALE.swap(false, Relaxed) {
        return;
    }
    for_each(|socket| {
        socket.mark.inside.store(0, Relaxed);
        socket.mark.reachable.store(false, Relaxed);
    });
    for_each(|socket| {
        socket.each_file(&mut |file| {
            if let Some(inner) = Socket::of(file) {
                inner.mark.inside.fetch_add(1, Relaxed);
                inner
                    .mark
                    .references
                    .store(Arc::strong_count(file), Relaxed);
            }
        });
    });
    let mut work = None;
    for_each(|socket| {
        let inside = socket.mark.inside.load(Relaxed);
        if inside == 0 || socket.mark.references.load(Relaxed) > inside {
            reach(socket, &mut work);
        }
    });
    while let Some(socket) = work.take() {
        work = socket.mark.next.lock().take();
        socket.each_file(&mut |file| {
            if let Some(inner) = Socket::of(file) {
                reach(&inner, &mut work);
            }
        });
    }
    while let Some(garbage) = find(|socket| !socket.mark.reachable.load(Relaxed)) {
        // Its turn does not come again.
        garbage.mark.reachable.store(true, Relaxed);
        garbage.drop_queue();
    }
    // What went by that was all of what could not be reached.
    STALE.store(false, Relaxed);
}

/// A socket can be reached: what lies in its queue is looked at, unless it has been.
fn reach(socket: &Arc<Socket>, work: &mut Option<Arc<Socket>>) {
    if !socket.mark.reachable.swap(true, Relaxed) {
        *socket.mark.next.lock() = work.take();
        *work = Some(socket.clone());
    }
}

/// Shows all sockets in flight; the list is not locked meanwhile, and must not change.
fn for_each(mut each: impl FnMut(&Arc<Socket>)) {
    find(|socket| {
        each(socket);
        false
    });
}

fn find(mut fits: impl FnMut(&Arc<Socket>) -> bool) -> Option<Arc<Socket>> {
    let mut at = 0;
    loop {
        let entry = IN_FLIGHT.lock().get(at).map(Weak::upgrade)?;
        if let Some(socket) = entry.filter(&mut fits) {
            return Some(socket);
        }
        at += 1;
    }
}

impl Socket {
    /// Shows the files in its queue, and in those of connections that nobody has accepted.
    fn each_file(&self, each: &mut dyn FnMut(&FileHandle)) {
        let state = self.state.lock();
        for message in &state.queue {
            if let Some(rights) = &*message.rights.lock() {
                rights.files().iter().for_each(&mut *each);
            }
        }
        for connection in &state.pending {
            // A connection has none of its own.
            connection.each_file(each);
        }
    }
}
