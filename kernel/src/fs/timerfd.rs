//! [`TimerFd`]: a timer to wait for, as timerfd_create(2) makes it.
//!
//! While it is set it stands in the kernel's list of timers (`task/timers`), which has room for it
//! from its making on.

use alloc::sync::{Arc, Weak};
use core::any::Any;

use linux_raw_sys::general::{O_RDWR, POLLIN};

use super::buffer::Buf;
use super::file::{File, FileHandle};
use super::inode::{Edges, FileIo};
use super::label::Anonymous;
use super::{memory, wait};
use crate::arch::time::now_ns;
use crate::linux::Errno;
use crate::sync::Mutex;
use crate::task::{self, Interval, WaitQueue};

/// A timer.
pub struct TimerFd {
    this: Weak<TimerFd>,
    /// Whether its times are those of the wall clock.
    pub is_wall: bool,
    state: Mutex<State>,
    rang: WaitQueue,
}

#[derive(Clone, Copy, Default)]
struct State {
    /// When it rings next, in nanoseconds since boot.
    next: Option<u64>,
    /// How long until it rings again, in nanoseconds, 0 if it does not.
    interval: u64,
    /// How often it has rung since somebody asked.
    count: u64,
    /// And since it was made.
    edges: Edges,
}

/// An open file on a new timer.
pub fn open(is_wall: bool, flags: u32) -> Result<FileHandle, Errno> {
    memory::prove(
        size_of::<TimerFd>() + 2 * size_of::<usize>(),
        align_of::<TimerFd>(),
    )?;
    let node = Anonymous::node("anon_inode:[timerfd]")?;
    task::reserve_timer()?;
    let timer = Arc::new_cyclic(|this| TimerFd {
        this: this.clone(),
        is_wall,
        state: Mutex::new(State::default()),
        rang: WaitQueue::new(),
    });
    File::new(node, timer, O_RDWR | flags)
}

impl TimerFd {
    /// The timer that this file is, EINVAL if it is none.
    pub fn of(file: &File) -> Result<Arc<TimerFd>, Errno> {
        let io = file.io()?.clone().into_any();
        io.downcast().map_err(|_| Errno::EINVAL)
    }

    /// Sets it to ring at a time in nanoseconds since boot, and each `interval` from then on; none
    /// switches it off.
    pub fn set(&self, next: Option<u64>, interval: u64) {
        task::remove_timer(self);
        let mut state = self.state.lock();
        let edges = state.edges;
        *state = State {
            next,
            interval,
            count: 0,
            edges,
        };
        drop(state);
        if let (Some(time), Some(this)) = (next, self.this.upgrade()) {
            task::add_timer(time, this);
        }
    }

    /// How long until it rings.
    pub fn left(&self) -> Interval {
        let state = self.state.lock();
        Interval {
            left: state
                .next
                .map_or(0, |time| time.saturating_sub(now_ns()).max(1)),
            interval: state.interval,
        }
    }

    /// Its time has come. Called by the list of timers, in which it is no more.
    pub fn rings(self: Arc<Self>, now: u64) {
        let mut state = self.state.lock();
        let time = state.next.take().unwrap_or(now);
        let late = now.saturating_sub(time);
        let times = 1 + late.checked_div(state.interval).unwrap_or(0);
        state.count += times;
        state.edges.input += 1;
        if state.interval != 0 {
            state.next = time.checked_add(times.saturating_mul(state.interval));
        }
        let next = state.next;
        drop(state);
        self.rang.wake_all();
        wait::changed();
        if let Some(next) = next {
            task::add_timer(next, self);
        }
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        task::release_timer();
    }
}

impl FileIo for TimerFd {
    fn read(&self, file: &File, _at: u64, buf: &mut Buf<'_>) -> Result<usize, Errno> {
        if buf.len() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let has_rung = || self.state.lock().count > 0;
        if !has_rung() && file.nonblocking() {
            return Err(Errno::EAGAIN);
        }
        self.rang.wait_until(has_rung)?;
        let count = core::mem::take(&mut self.state.lock().count);
        buf.put(&count.to_ne_bytes())
    }

    fn ready(&self, _file: &File) -> u32 {
        if self.state.lock().count > 0 {
            POLLIN
        } else {
            0
        }
    }

    fn edges(&self, _file: &File) -> Option<Edges> {
        Some(self.state.lock().edges)
    }

    fn closed(&self, _file: &File) {
        self.set(None, 0);
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
