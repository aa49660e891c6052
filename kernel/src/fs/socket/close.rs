//! Shutting a socket down, and closing it.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::mem;
use core::sync::atomic::Ordering::Relaxed;

use super::names;
use super::state::{Phase, Socket};
use crate::linux::Errno;
use crate::sync::Mutex;

/// Closed sockets whose queues are still to be dropped, each with the next one.
///
/// What lies in a queue may be the last reference to another socket, in whose queue lies one more,
/// and so on: they close one after the other, not one inside the other, however long the chain is.
static DOOMED: Mutex<Option<Arc<Socket>>> = Mutex::new(None);
/// Held by who drops them.
static DROPPING: Mutex<()> = Mutex::new(());

impl Socket {
    /// shutdown(2): it will not receive, or not send.
    pub fn shut_down(&self, receives: bool, sends: bool) {
        self.end(receives, sends);
        if self.style().connects()
            && let Some(peer) = self.peer()
        {
            peer.end(sends, receives);
        }
    }

    /// No more comes from now on, or goes.
    fn end(&self, receives: bool, sends: bool) {
        let mut state = self.state.lock();
        state.receives &= !receives;
        state.sends &= !sends;
        drop(state);
        self.came();
        self.made_room();
    }

    /// Its file is closed.
    pub(super) fn close(&self) {
        self.hang_up(false);
        self.drop_queue();
    }

    /// It is gone for all others. `unaccepted` if nobody ever had it.
    fn hang_up(&self, unaccepted: bool) {
        let peer = self.peer();
        let mut state = self.state.lock();
        state.closed = true;
        let was_connected = state.phase == Phase::Connected;
        let lost = unaccepted || !state.queue.is_empty();
        let bound = state.bound.take();
        drop(state);
        if let Some(bound) = &bound {
            names::release(&bound.key);
        }
        drop(bound);
        if let Some(peer) = peer.filter(|_| was_connected) {
            if lost {
                peer.state.lock().error = Some(Errno::ECONNRESET);
            }
            peer.end(true, true);
        }
        self.end(true, true);
    }

    /// Drops what lies in its queue, and in those of sockets that close by that. If somebody is about
    /// that already, they do it.
    pub(super) fn drop_queue(&self) {
        if let Some(this) = self.weak().upgrade()
            && !self.is_doomed.swap(true, Relaxed)
        {
            let mut doomed = DOOMED.lock();
            *self.next_doomed.lock() = doomed.take();
            *doomed = Some(this);
        }
        let Some(_turn) = DROPPING.try_lock() else {
            return;
        };
        loop {
            let Some(socket) = DOOMED.lock().take() else {
                return;
            };
            *DOOMED.lock() = socket.next_doomed.lock().take();
            socket.is_doomed.store(false, Relaxed);
            let mut state = socket.state.lock();
            state.consumed = 0;
            let messages = mem::take(&mut state.queue);
            let connections: VecDeque<_> = mem::take(&mut state.pending);
            drop(state);
            drop(messages);
            for connection in connections {
                connection.hang_up(true);
                // It drops its queue in this loop.
                connection.drop_queue();
            }
        }
    }
}
