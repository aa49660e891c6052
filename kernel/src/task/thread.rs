//! [`Thread`]: what runs.

use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed,
};

use super::Pid;
use super::kernel_stack::KernelStack;
use super::policy::Policy;
use super::process::Process;
use super::signal::{AltStack, FaultContext, Pending, SigInfo, SigSet};
use super::{sched, table, timers};
use crate::arch::fpu;
use crate::arch::frame;
use crate::arch::switch::{self, SegmentBases};
use crate::fs::memory;
use crate::linux::Errno;

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// Runs, or waits for the processor.
    Ready,
    /// Waits, and a signal ends that.
    Interruptible,
    /// Waits, and only the end of the thread ends that.
    Killable,
    /// Waits.
    Uninterruptible,
    /// Has ended.
    Dead,
}

/// A thread of a process.
pub struct Thread {
    tid: AtomicI32,
    process: Arc<Process>,
    stack: KernelStack,
    state: AtomicU8,
    /// The kernel stack's pointer while another thread runs.
    pub(super) saved_stack: Cell<usize>,
    /// The vector registers while another thread runs.
    pub(super) fpu: fpu::State,
    /// The program's thread-local memory.
    pub segments: SegmentBases,
    /// Time on the processor, in nanoseconds.
    pub(super) ran_ns: AtomicU64,
    /// Signals that are held back.
    pub(super) mask: Cell<SigSet>,
    /// What the mask becomes again after a call that changed it while it waited.
    pub(super) mask_to_restore: Cell<Option<SigSet>>,
    /// Signals that a call waits for: they end its wait even if they are held back.
    pub(super) awaited: Cell<SigSet>,
    /// Signals sent to this thread alone.
    pub(super) pending: Pending,
    /// The stack for signal handlers that ask for one.
    pub(super) alt_stack: Cell<AltStack>,
    /// The exception that the program is in.
    pub(super) fault: Cell<FaultContext>,
    /// The thread is to end, though its process goes on.
    pub(super) end: AtomicBool,
    /// From which nodes its memory is to come.
    pub policy: Cell<Option<Policy>>,
    /// Where zero is written, and a futex woken, when the thread ends.
    pub clear_child_tid: AtomicUsize,
    /// Where the list of locks begins that are given up when the thread ends, if it has one.
    pub robust_list: AtomicUsize,
}

// SAFETY: one processor, no preemption in the kernel: nobody is in the middle of a change to a cell
// when another looks, and none of them hands out references.
unsafe impl Sync for Thread {}
// SAFETY: nothing in it belongs to one thread only.
unsafe impl Send for Thread {}

/// How a thread begins.
pub(super) enum Start<'a> {
    /// It returns to its program with these registers.
    Program(&'a frame::Frame),
    /// It runs this function of the kernel.
    Kernel(extern "C" fn() -> !),
}

impl Thread {
    /// A thread of a process. It is not ready yet.
    pub(super) fn new(
        tid: Pid,
        process: Arc<Process>,
        start: Start<'_>,
    ) -> Result<Arc<Thread>, Errno> {
        let threads = table::count_threads() + 1;
        sched::reserve(threads)?;
        timers::reserve(threads)?;
        let stack = KernelStack::new()?;
        // SAFETY: the stack is new.
        let saved_stack = unsafe {
            match start {
                Start::Program(registers) => switch::prepare(stack.top(), registers),
                Start::Kernel(body) => switch::prepare_call(stack.top(), body),
            }
        };
        memory::arc(Thread {
            tid: AtomicI32::new(tid),
            process,
            stack,
            state: AtomicU8::new(State::Uninterruptible as u8),
            saved_stack: Cell::new(saved_stack),
            fpu: fpu::State::new(),
            segments: SegmentBases::default(),
            ran_ns: AtomicU64::new(0),
            mask: Cell::new(SigSet::EMPTY),
            mask_to_restore: Cell::new(None),
            awaited: Cell::new(SigSet::EMPTY),
            pending: Pending::new(),
            alt_stack: Cell::new(AltStack::NONE),
            fault: Cell::new(FaultContext::NONE),
            end: AtomicBool::new(false),
            policy: Cell::new(None),
            clear_child_tid: AtomicUsize::new(0),
            robust_list: AtomicUsize::new(0),
        })
    }

    /// Its number.
    pub fn tid(&self) -> Pid {
        self.tid.load(Relaxed)
    }

    /// The thread that is left after exec has its process's number.
    pub(super) fn become_leader(&self) {
        self.tid.store(self.process.pid, Relaxed);
    }

    /// Its process.
    #[inline(always)]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The end of its kernel stack.
    #[inline(always)]
    pub(super) fn stack_top(&self) -> usize {
        self.stack.top()
    }

    /// What it does.
    #[inline(always)]
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Ready,
            1 => State::Interruptible,
            2 => State::Killable,
            3 => State::Uninterruptible,
            _ => State::Dead,
        }
    }

    #[inline(always)]
    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    /// Whether it is to end now.
    #[inline]
    pub(super) fn is_killed(&self) -> bool {
        self.end.load(Relaxed) || self.process.is_exiting()
    }

    /// Whether it has to look at its signals, or at what its process is told to do, before it goes
    /// on.
    #[inline]
    pub(super) fn must_look(&self) -> bool {
        !(self.pending.set() | self.process.pending.set())
            .without(self.mask.get().without(self.awaited.get()))
            .is_empty()
            || self.process.is_told()
            || self.end.load(Relaxed)
    }

    /// The signals that are held back.
    pub fn mask(&self) -> SigSet {
        self.mask.get()
    }

    /// Signals that have come and are held back.
    pub fn pending(&self) -> SigSet {
        self.has_come().and(self.mask.get())
    }

    /// Signals that have come to it or its process, and were not handled yet.
    pub fn has_come(&self) -> SigSet {
        self.pending.set() | self.process.pending.set()
    }

    /// Takes one of these signals, which is then not handled.
    pub fn take_signal(&self, which: SigSet) -> Option<SigInfo> {
        self.pending
            .take(which)
            .or_else(|| self.process.pending.take(which))
    }

    /// Time on the processor, in nanoseconds.
    pub fn run_ns(&self) -> u64 {
        sched::run_ns(self)
    }

    /// Says which signals a call waits for.
    pub fn set_awaited(&self, signals: SigSet) {
        self.awaited.set(signals);
    }

    /// Whether a signal would be noticed now.
    pub(super) fn notices(&self, signal: u32) -> bool {
        !self.mask.get().contains(signal) || self.awaited.get().contains(signal)
    }

    /// Changes which signals are held back. SIGKILL and SIGSTOP never are.
    pub fn set_mask(&self, mask: SigSet) {
        self.mask.set(mask.without(SigSet::UNMASKABLE));
        sched::look_before_return();
    }

    /// Changes which signals are held back until the next one has been handled, or nothing came.
    pub fn set_mask_for_wait(&self, mask: SigSet) {
        self.mask_to_restore.set(Some(self.mask.get()));
        self.set_mask(mask);
    }

    /// The stack for signal handlers.
    pub fn alt_stack(&self) -> AltStack {
        self.alt_stack.get()
    }

    /// Changes the stack for signal handlers.
    pub fn set_alt_stack(&self, stack: AltStack) {
        self.alt_stack.set(stack);
    }
}
