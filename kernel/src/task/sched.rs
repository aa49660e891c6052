//! Who has the processor.
//!
//! Ready threads stand in a queue and take turns; the timer ends a turn only while others wait for
//! theirs. There is no idle thread: who gives the processor up while nobody is ready waits for an
//! interrupt.
//!
//! The kernel looks at signals, and at the end of turns, before it returns to a program, if
//! [`LOOK`] says so. It always does after a switch.
//!
//! Invariants:
//! 1. A thread is in [`READY`] exactly if its state is `Ready` and it is not the current one, and
//!    then once. There is room for all threads.
//! 2. [`CURRENT`] is a counted reference; [`LEFT`] is empty but in the middle of a switch.
//! 3. [`ACTIVE`] is the current thread's address space, but after its process has left it at its
//!    end, and while a thread of the kernel's own runs.
//! 4. If the current thread has anything to look at, [`LOOK`] is set.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};

use scalvm::{Access, FaultError};

use super::process::Process;
use super::space::Space;
use super::thread::{State, Thread};
use super::{signal, timers, trace};
use crate::arch::frame::Frame;
use crate::arch::{interrupts, switch, syscall, time, timer};
use crate::fs::userfault::Origin;
use crate::linux::Errno;
use crate::mm::VM;
use crate::sync::Mutex;

/// How long a turn is, in nanoseconds.
const TURN: u64 = 10_000_000;

/// Threads that wait for the processor. There is room for all (see [`reserve`]).
static READY: Mutex<VecDeque<Arc<Thread>>> = Mutex::new(VecDeque::new());
/// The thread that has the processor: a counted reference. None at boot.
static CURRENT: AtomicPtr<Thread> = AtomicPtr::new(ptr::null_mut());
/// The thread that had it before, until the switch is done.
static LEFT: Mutex<Option<Arc<Thread>>> = Mutex::new(None);
/// The address space that the processor uses.
static ACTIVE: Mutex<Option<Arc<Space>>> = Mutex::new(None);
/// Whether there is something to do before the return to a program.
static LOOK: AtomicBool = AtomicBool::new(false);
/// Whether the current thread's turn is over.
static TURN_OVER: AtomicBool = AtomicBool::new(false);
/// When the turn is over; u64::MAX if nobody waits.
static TURN_ENDS: AtomicU64 = AtomicU64::new(u64::MAX);
/// When the current thread got the processor.
static SINCE: AtomicU64 = AtomicU64::new(0);
/// Since when the processor is idle; u64::MAX if it is not.
static IDLE_SINCE: AtomicU64 = AtomicU64::new(u64::MAX);
/// How long it has been, in all.
static IDLE_NS: AtomicU64 = AtomicU64::new(0);

/// The thread that runs, or its process, for as long as that code runs.
///
/// It stays on the thread's own stack: it cannot be sent elsewhere.
pub struct Current<T>(*const T, PhantomData<*const T>);

impl<T> Deref for Current<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a thread exists, and its process, until it has left its stack for ever.
        unsafe { &*self.0 }
    }
}

/// The thread that runs. Not at boot.
#[inline(always)]
pub fn current_thread() -> Current<Thread> {
    Current(CURRENT.load(Relaxed), PhantomData)
}

/// The process that runs. Not at boot.
#[inline(always)]
pub fn current() -> Current<Process> {
    Current(Arc::as_ptr(current_thread().process()), PhantomData)
}

/// The thread that runs, counted; none at boot.
pub(super) fn current_arc() -> Option<Arc<Thread>> {
    let thread = CURRENT.load(Relaxed);
    if thread.is_null() {
        return None;
    }
    // SAFETY: CURRENT is a counted reference.
    unsafe {
        Arc::increment_strong_count(thread);
        Some(Arc::from_raw(thread))
    }
}

/// Makes sure that there is room for this many ready threads.
pub(super) fn reserve(threads: usize) -> Result<(), Errno> {
    let mut ready = READY.lock();
    let more = threads.saturating_sub(ready.len());
    ready.try_reserve(more).map_err(|_| Errno::ENOMEM)
}

/// Lets a thread that waits go on. Callable from interrupt handlers.
pub(super) fn make_ready(thread: &Arc<Thread>) {
    if matches!(thread.state(), State::Ready | State::Dead) {
        return;
    }
    thread.set_state(State::Ready);
    READY.lock().push_back(thread.clone());
    if TURN_ENDS.load(Relaxed) == u64::MAX {
        let end = time::now_ns() + TURN;
        TURN_ENDS.store(end, Relaxed);
        timer::arm(end);
    }
}

/// Has a thread look at its signals, if that may disturb it.
pub(super) fn disturb(thread: &Arc<Thread>) {
    // It may be the current one, even if it waits: while nobody else is ready.
    look_before_return();
    match thread.state() {
        State::Interruptible if thread.must_look() => make_ready(thread),
        State::Killable if thread.is_killed() => make_ready(thread),
        _ => {}
    }
}

/// Has the current thread look before it returns to its program.
#[inline(always)]
pub(super) fn look_before_return() {
    LOOK.store(true, Relaxed);
}

/// Whether the current thread has to look before it returns to its program.
#[inline(always)]
pub fn must_look() -> bool {
    LOOK.load(Relaxed)
}

/// The timer's interrupt came.
pub fn on_timer() {
    let now = time::now_ns();
    let next = timers::run(now);
    let mut end = TURN_ENDS.load(Relaxed);
    if end <= now {
        end = u64::MAX;
        if !READY.lock().is_empty() {
            end = now + TURN;
        }
        TURN_ENDS.store(end, Relaxed);
    }
    // The turn is over, or somebody was woken.
    after_interrupt();
    if next.min(end) != u64::MAX {
        timer::arm(next.min(end));
    }
}

/// An interrupt has been handled: whom it woke need not wait until the turn is over.
pub fn after_interrupt() {
    if !READY.lock().is_empty() {
        TURN_OVER.store(true, Relaxed);
        look_before_return();
    }
}

/// Does what is to be done before the processor returns to a program.
#[inline(always)]
pub fn before_return(frame: &mut Frame) {
    if must_look() {
        look(frame, None);
    }
}

/// Ends the turn, delivers signals, stops or ends the thread. `call` is the number of the system
/// call that the program returns from.
#[inline(never)]
pub fn look(frame: &mut Frame, call: Option<usize>) {
    loop {
        LOOK.store(false, Relaxed);
        if TURN_OVER.swap(false, Relaxed) {
            yield_now();
        }
        if trace::is_on() {
            trace::call_ends();
        }
        if current_thread().must_look() || current_thread().mask_to_restore.get().is_some() {
            signal::act(frame, call);
        }
        if !must_look() {
            return;
        }
    }
}

/// Gives the processor to the thread that waits longest for it; returns when it is this one's turn
/// again.
pub fn yield_now() {
    let mut ready = READY.lock();
    if let Some(next) = ready.pop_front() {
        if let Some(current) = current_arc() {
            ready.push_back(current);
        }
        drop(ready);
        switch_to(next);
    }
}

/// Takes interrupts, and ends the turn if it is over: for long work in the kernel. The caller may
/// block, and holds nothing that a handler needs.
pub fn pause() {
    interrupts::take();
    if TURN_OVER.swap(false, Relaxed) {
        yield_now();
    }
}

/// Gives the processor up: the current thread is no longer ready. Returns when it is again.
pub(super) fn give_up() {
    loop {
        let next = READY.lock().pop_front();
        match next {
            Some(next) => return switch_to(next),
            None => idle(),
        }
    }
}

/// Waits for an interrupt; that time is nobody's.
fn idle() {
    IDLE_SINCE.store(time::now_ns(), Relaxed);
    interrupts::wait();
}

/// The processor takes an interrupt: if it was idle it is no longer. What the handler does counts
/// for the thread that was the last to run.
#[inline]
pub fn interrupted() {
    let since = IDLE_SINCE.swap(u64::MAX, Relaxed);
    if since != u64::MAX {
        let idle = time::now_ns() - since;
        SINCE.fetch_add(idle, Relaxed);
        IDLE_NS.fetch_add(idle, Relaxed);
    }
}

/// How long the processor has been idle since boot, in nanoseconds.
pub fn idle_ns() -> u64 {
    IDLE_NS.load(Relaxed)
}

/// Gives the processor to `next`; returns when somebody gives it back.
fn switch_to(next: Arc<Thread>) {
    let current = CURRENT.load(Relaxed);
    if ptr::eq(current, Arc::as_ptr(&next)) {
        return;
    }
    account();
    let mut boot_stack = 0;
    // SAFETY: CURRENT is a counted reference, or null at boot.
    let saved_stack = match unsafe { current.as_ref() } {
        Some(current) => {
            if current.state() != State::Dead {
                current.fpu.save();
            }
            next.segments.load_after(&current.segments);
            current.saved_stack.as_ptr()
        }
        None => {
            next.segments.load_fs();
            next.segments.load_gs();
            &mut boot_stack
        }
    };
    next.fpu.load();
    // The kernel's own threads need none, and leave that of the thread before.
    if !next.process().is_kernel() {
        activate(&next.process().map());
    }
    syscall::set_kernel_stack(next.stack_top());
    look_before_return();
    let to = next.saved_stack.get();
    CURRENT.store(Arc::into_raw(next).cast_mut(), Relaxed);
    if !current.is_null() {
        // SAFETY: CURRENT's reference, which it no longer holds.
        *LEFT.lock() = Some(unsafe { Arc::from_raw(current) });
    }
    // SAFETY: the stack of a thread that does not run; its pointer is what was left there.
    unsafe { switch::switch_stacks(saved_stack, to) };
    finish_switch();
}

/// Lets the thread go that ran before.
#[inline(always)]
fn finish_switch() {
    let left = LEFT.lock().take();
    drop(left);
}

/// A thread of the kernel's own runs for the first time.
pub fn first_call() {
    finish_switch();
}

/// A thread runs for the first time.
pub fn first_return(frame: &mut Frame) {
    finish_switch();
    before_return(frame);
}

/// Makes an address space the processor's.
pub(super) fn activate(space: &Arc<Space>) {
    let mut active = ACTIVE.lock();
    if active
        .as_ref()
        .is_some_and(|active| Arc::ptr_eq(active, space))
    {
        return;
    }
    space.activate();
    let old = active.replace(space.clone());
    drop(active);
    if let Some(old) = old {
        old.deactivate();
    }
}

/// Leaves the program's address space, whose last user this may be.
pub(super) fn leave_space() {
    VM.machine().leave_space();
    let old = ACTIVE.lock().take();
    if let Some(old) = old {
        old.deactivate();
    }
}

/// Handles a fault of the program that runs, or of the kernel at its memory. Blocks.
#[inline]
pub fn fault(address: usize, access: Access, origin: Origin) -> Result<(), FaultError> {
    let thread = CURRENT.load(Relaxed);
    if thread.is_null() {
        return Err(FaultError::NoMapping);
    }
    let process = current();
    let is_major = process.map().handle_fault(address, access, origin)?;
    process.count_fault(is_major);
    Ok(())
}

/// Writes down the time that the current thread has had the processor.
fn account() {
    let now = time::now_ns();
    let since = SINCE.swap(now, Relaxed);
    // SAFETY: CURRENT is a counted reference, or null at boot.
    if let Some(current) = unsafe { CURRENT.load(Relaxed).as_ref() } {
        let ns = current.ran_ns.load(Relaxed) + now.saturating_sub(since);
        current.ran_ns.store(ns, Relaxed);
    }
}

/// How long a thread has had the processor, in nanoseconds.
pub(super) fn run_ns(thread: &Thread) -> u64 {
    if ptr::eq(thread, CURRENT.load(Relaxed)) {
        account();
    }
    thread.ran_ns.load(Relaxed)
}

/// The stack pointer of the program that is in a system call.
pub fn user_stack_pointer() -> usize {
    let frame = current_thread().stack_top() - size_of::<Frame>();
    // SAFETY: entry code has put the program's registers there.
    unsafe { (*(frame as *const Frame)).rsp }
}
