//! [`WaitQueue`]: threads that wait for something.
//!
//! A waiting thread's entry lies on its own kernel stack, so waiting needs no memory. The entry is
//! in the queue exactly while its thread waits: whoever wakes the thread takes it out, or the
//! thread itself does.
//!
//! Whoever makes something true wakes the queue after that; who waits looks first, and again when
//! woken. Nothing can come in between, since the kernel is not preempted.

use alloc::sync::Arc;
use core::cell::{Cell, UnsafeCell};
use core::marker::PhantomPinned;
use core::pin::pin;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::sched;
use super::signal::SigSet;
use super::thread::{State, Thread};
use super::timers::{self, Timer};
use crate::arch::{interrupts, time};
use crate::linux::Errno;

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Woken {
    /// Somebody woke the thread, or it did not have to wait.
    Called,
    /// A signal came.
    Signal,
    /// The time is over.
    TimedOut,
}

/// Threads that wait, each with a key that says for what.
pub struct WaitQueue<K: Copy = ()> {
    first: UnsafeCell<*const Entry<K>>,
}

struct Entry<K: Copy> {
    thread: Arc<Thread>,
    key: Cell<K>,
    queued: Cell<bool>,
    next: Cell<*const Entry<K>>,
    prev: Cell<*const Entry<K>>,
    _pinned: PhantomPinned,
}

// SAFETY: one processor, and nothing waits or is interrupted in the middle of a change.
unsafe impl<K: Copy + Send> Sync for WaitQueue<K> {}
// SAFETY: a queue that moves has no entries: they borrow it.
unsafe impl<K: Copy + Send> Send for WaitQueue<K> {}

impl<K: Copy> WaitQueue<K> {
    /// Nobody waits.
    pub const fn new() -> WaitQueue<K> {
        WaitQueue {
            first: UnsafeCell::new(ptr::null()),
        }
    }

    /// Whether nobody waits.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        // SAFETY: see Sync.
        unsafe { (*self.first.get()).is_null() }
    }

    fn insert(&self, entry: &Entry<K>) {
        // SAFETY: see Sync. Entries in the queue are alive: they leave before they go.
        unsafe {
            let first = self.first.get();
            entry.next.set(*first);
            entry.prev.set(ptr::null());
            if let Some(second) = (*first).as_ref() {
                second.prev.set(entry);
            }
            *first = entry;
        }
        entry.queued.set(true);
    }

    fn remove(&self, entry: &Entry<K>) {
        // SAFETY: as in insert.
        unsafe {
            match entry.prev.get().as_ref() {
                Some(prev) => prev.next.set(entry.next.get()),
                None => *self.first.get() = entry.next.get(),
            }
            if let Some(next) = entry.next.get().as_ref() {
                next.prev.set(entry.prev.get());
            }
        }
        entry.queued.set(false);
    }

    /// The entry that waits longest.
    fn last(&self) -> *const Entry<K> {
        // SAFETY: as in insert.
        unsafe {
            let mut at = *self.first.get();
            while let Some(entry) = at.as_ref() {
                if entry.next.get().is_null() {
                    break;
                }
                at = entry.next.get();
            }
            at
        }
    }

    /// Wakes up to `count` threads whose key fits, the longest waiting first. Returns how many.
    pub fn wake_where(&self, count: usize, fits: impl Fn(K) -> bool) -> usize {
        let mut woken = 0;
        let mut at = self.last();
        // SAFETY: as in insert; the one before is read before the entry leaves.
        while let Some(entry) = unsafe { at.as_ref() } {
            at = entry.prev.get();
            if woken == count {
                break;
            }
            if fits(entry.key.get()) {
                woken += 1;
                self.remove(entry);
                sched::make_ready(&entry.thread);
            }
        }
        woken
    }

    /// Gives up to `count` threads whose key fits another key, the longest waiting first. Returns
    /// how many.
    pub fn change_keys(&self, count: usize, fits: impl Fn(K) -> bool, key: K) -> usize {
        let mut changed = 0;
        let mut at = self.last();
        // SAFETY: as in insert.
        while let Some(entry) = unsafe { at.as_ref() } {
            at = entry.prev.get();
            if changed == count {
                break;
            }
            if fits(entry.key.get()) {
                changed += 1;
                entry.key.set(key);
            }
        }
        changed
    }

    /// Wakes all. Callable from interrupt handlers.
    #[inline]
    pub fn wake_all(&self) {
        if !self.is_empty() {
            self.wake_where(usize::MAX, |_| true);
        }
    }

    /// Waits once: until woken, until this time if one is given, or, as a `sleep` that is not
    /// sound, until a signal comes.
    pub fn wait(&self, key: K, sleep: State, until: Option<u64>) -> Woken {
        let Some(thread) = sched::current_arc() else {
            // At boot, there is one who waits, and only for interrupts.
            interrupts::wait();
            return Woken::Called;
        };
        if sleep == State::Interruptible && thread.must_look()
            || sleep == State::Killable && thread.is_killed()
        {
            return Woken::Signal;
        }
        let entry = pin!(Entry {
            thread,
            key: Cell::new(key),
            queued: Cell::new(false),
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            _pinned: PhantomPinned,
        });
        let entry = entry.as_ref().get_ref();
        let thread = &entry.thread;
        self.insert(entry);
        if let Some(time) = until {
            timers::add(time, Timer::Wake(thread.clone()));
        }
        thread.set_state(sleep);
        sched::give_up();
        if until.is_some() {
            timers::remove_wake(thread);
        }
        if !entry.queued.get() {
            return Woken::Called;
        }
        self.remove(entry);
        match until {
            Some(time) if time::now_ns() >= time => Woken::TimedOut,
            _ => Woken::Signal,
        }
    }
}

impl WaitQueue {
    /// Waits until the condition holds. EINTR if a signal comes first. The condition may take what it
    /// finds: once it has held it is not asked again.
    #[inline]
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) -> Result<(), Errno> {
        while !condition() {
            if self.wait((), State::Interruptible, None) == Woken::Signal {
                return if condition() {
                    Ok(())
                } else {
                    Err(Errno::EINTR)
                };
            }
        }
        Ok(())
    }

    /// Waits until the condition holds, which is then true, or so many nanoseconds are over. EINTR
    /// if a signal comes first.
    pub fn wait_until_timeout(
        &self,
        ns: u64,
        condition: impl FnMut() -> bool,
    ) -> Result<bool, Errno> {
        self.wait_until_time(time::now_ns().saturating_add(ns), condition)
    }

    /// The same until a time in nanoseconds since boot.
    pub fn wait_until_time(
        &self,
        until: u64,
        mut condition: impl FnMut() -> bool,
    ) -> Result<bool, Errno> {
        while !condition() {
            match self.wait((), State::Interruptible, Some(until)) {
                Woken::Called => {}
                Woken::TimedOut => return Ok(condition()),
                Woken::Signal if condition() => break,
                Woken::Signal => return Err(Errno::EINTR),
            }
        }
        Ok(true)
    }

    /// Waits until the condition holds, or the thread is to end.
    pub fn wait_killable(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            if self.wait((), State::Killable, None) == Woken::Signal {
                return;
            }
        }
    }
}

/// Waits until the condition holds, which one of these signals may make true even where it is held
/// back. EINTR if another one comes first.
pub fn wait_for_signal(signals: SigSet, condition: impl FnMut() -> bool) -> Result<(), Errno> {
    static NOBODY_WAKES: WaitQueue = WaitQueue::new();
    let thread = sched::current_thread();
    thread.set_awaited(signals);
    let result = NOBODY_WAKES.wait_until(condition);
    thread.set_awaited(SigSet::EMPTY);
    result
}

/// Those that wait for the memory manager, by the address of the word.
static WORDS: WaitQueue<usize> = WaitQueue::new();

/// Sleeps while the word holds this value, whatever signals come.
pub fn wait_on_word(word: &AtomicU32, value: u32) {
    if word.load(Relaxed) == value {
        WORDS.wait(word.as_ptr() as usize, State::Uninterruptible, None);
    }
}

/// Wakes all that sleep on the word.
#[inline]
pub fn wake_word(word: &AtomicU32) {
    if !WORDS.is_empty() {
        WORDS.wake_where(usize::MAX, |at| at == word.as_ptr() as usize);
    }
}
