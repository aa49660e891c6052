//! Processes, threads, the scheduler, waiting and signals.
//!
//! A process is an address space, files, a place in the file system, and signal actions; its
//! threads run. One processor, no preemption in the kernel: a thread gives the processor up where
//! it waits ([`WaitQueue`]), and on its way back to its program. So what lies behind a [`Mutex`] or
//! in an atomic is consistent whenever no thread is in the middle of changing it, and no lock may
//! be held while waiting.
//!
//! Files: `process`, `thread`, `space`, `kernel_stack` (what they are), `table` (all of them), `pid` (their
//! numbers), `sched` (who runs),
//! `timers`, `wait` (waiting), `fork`, `exec` with `elf` and `stack`, `exit`, `reap` (wait4), `trace` (ptrace),
//! `groups`, `settings`, `policy`, `signal`, `kernel` (threads without a program), `oom` (when memory
//! runs out) and `thrash` (when it all but does).
//!
//! [`Mutex`]: crate::sync::Mutex

mod clock;
mod elf;
mod exec;
mod exit;
mod fork;
mod groups;
mod kernel;
mod kernel_stack;
mod oom;
mod pid;
pub mod policy;
mod process;
mod reap;
mod sched;
mod settings;
mod signal;
mod sleep_mutex;
mod space;
mod stack;
mod start;
mod table;
mod thrash;
mod thread;
mod timers;
pub mod trace;
mod vdso;
mod wait;

pub use clock::{Interval, Times};
pub use exec::exec;
pub use exit::{exit_group, exit_thread};
pub use fork::{CloneRequest, clone};
pub use groups::{new_session, set_group};
pub use kernel::start_kernel_thread;
pub use oom::{is_ending, score_in_thousandths, with_memory};
pub use process::{Faults, Process};
pub use reap::{WaitedFor, Wanted, wait_for_child};
pub use sched::{
    after_interrupt, before_return, current, current_thread, fault, first_call, first_return,
    idle_ns, interrupted, look, must_look, on_timer, pause, user_stack_pointer, yield_now,
};
pub use settings::Capabilities;
pub use signal::{
    Action, AltStack, FaultContext, SigInfo, SigSet, fault_signal, post_to_group, post_to_process,
    post_to_thread, signal_current, signal_group, sigreturn,
};
pub use sleep_mutex::{SleepGuard, SleepMutex};
pub use space::{
    Space, min_address, randomize_va_space, served, set_min_address, set_randomize_va_space,
};
pub use stack::{CLOCK_TICKS, Strings};
pub use start::{power_off, start_init};
pub use table::{all, find, find_thread};
pub use thrash::Thrash;
pub use thread::{State, Thread};
pub use timers::{
    add_file as add_timer, release_file as release_timer, remove_file as remove_timer,
    reserve_file as reserve_timer,
};
pub use vdso::update as clocks_changed;
pub use wait::{WaitQueue, Woken, wait_for_signal, wait_on_word, wake_word};

/// The number of a process or thread.
pub type Pid = i32;
