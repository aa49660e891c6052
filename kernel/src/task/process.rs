//! [`Process`]: a program that runs.
//!
//! Invariants:
//! 1. A process is in the table of all from its first thread's start until somebody has waited for
//!    it.
//! 2. It is a zombie exactly if it has no thread any more.
//! 3. It is among the children of the process that its parent's number names. Only where memory ran
//!    out when it was given away is it among nobody's, and goes without being waited for.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering::Relaxed};

use linux_raw_sys::general::CAP_IPC_LOCK;

use super::clock::{Interval, Limits};
use super::settings::Settings;
use super::signal::{Action, Actions, Pending, SigInfo};
use super::stack::Args;
use super::thread::{State, Thread};
use super::trace::Tracing;
use super::wait::WaitQueue;
use super::{Pid, Space, Times, post_to_process, sched, timers};
use crate::arch::time::now_ns;
use crate::fs::{FileTable, FsContext, memory};
use crate::linux::Errno;
use crate::sync::Mutex;

/// What a process is told: to end, ...
pub(super) const EXITING: u8 = 1;
/// ... to stop.
pub(super) const STOPPED: u8 = 2;

/// What the parent can wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// Nothing.
    None,
    /// Stopped by this signal.
    Stopped(u32),
    /// Goes on.
    Continued,
    /// Waits for its tracer, at this signal, or call.
    Trapped(u32),
}

/// A process: it has memory, files, signal actions, and threads that run. When the last thread has
/// ended it is a zombie, which has nothing but a status, until its parent asks for that.
pub struct Process {
    /// Its number.
    pub pid: Pid,
    pub(super) parent: AtomicI32,
    pub(super) group: AtomicI32,
    pub(super) session: AtomicI32,
    space: Mutex<Arc<Space>>,
    files: Mutex<Arc<Mutex<FileTable>>>,
    fs: Mutex<Arc<Mutex<FsContext>>>,
    actions: Mutex<Arc<Mutex<Actions>>>,
    /// Signals sent to the process, for whichever thread takes them.
    pub(super) pending: Pending,
    pub(super) threads: Mutex<Vec<Arc<Thread>>>,
    pub(super) children: Mutex<Vec<Arc<Process>>>,
    /// Woken when a child has news.
    pub(super) child_news: WaitQueue,
    /// Woken when a thread ends.
    pub(super) thread_gone: WaitQueue,
    /// Woken when the process goes on after a stop.
    pub(super) goes_on: WaitQueue,
    /// Woken when the process no longer uses the memory of the parent that waits for that.
    pub(super) memory_returned: WaitQueue,
    pub(super) borrows_memory: AtomicBool,
    told: AtomicU8,
    pub(super) news: Mutex<News>,
    pub(super) tracing: Mutex<Tracing>,
    /// The status that wait(2) reports: of the exit that is under way, or was.
    pub(super) status: AtomicI32,
    pub(super) zombie: AtomicBool,
    /// The signal for the parent when the process ends.
    pub(super) exit_signal: AtomicI32,
    pub(super) has_execed: AtomicBool,
    pub(super) name: Mutex<[u8; 16]>,
    pub(super) args: Mutex<Arc<Args>>,
    pub(super) exe: Mutex<Arc<String>>,
    start_ns: u64,
    /// Time of threads that have ended, in nanoseconds.
    pub(super) ended_ns: AtomicU64,
    /// Time of children that have been waited for, in nanoseconds.
    pub(super) children_ns: AtomicU64,
    /// Page faults of its threads, minor and major.
    faults: [AtomicU64; 2],
    /// Those of children that have been waited for.
    child_faults: [AtomicU64; 2],
    /// How much likelier, in thousandths of all memory, it is ended when memory runs out.
    oom_adjustment: AtomicI32,
    alarm_interval: AtomicU64,
    /// What it has said about itself.
    pub settings: Mutex<Settings>,
    /// Its limits.
    pub limits: Mutex<Limits>,
}

/// Page faults that ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faults {
    /// Those that needed no wait.
    pub minor: u64,
    /// Those that waited for a page to be brought.
    pub major: u64,
}

/// What a new process shares with the one that makes it, or has of its own.
pub(super) struct Parts {
    pub space: Arc<Space>,
    pub files: Arc<Mutex<FileTable>>,
    pub fs: Arc<Mutex<FsContext>>,
    pub actions: Arc<Mutex<Actions>>,
    pub args: Arc<Args>,
    pub exe: Arc<String>,
}

impl Process {
    /// A process without threads.
    pub(super) fn new(pid: Pid, parts: Parts) -> Process {
        Process {
            pid,
            parent: AtomicI32::new(0),
            group: AtomicI32::new(pid),
            session: AtomicI32::new(pid),
            space: Mutex::new(parts.space),
            files: Mutex::new(parts.files),
            fs: Mutex::new(parts.fs),
            actions: Mutex::new(parts.actions),
            pending: Pending::new(),
            threads: Mutex::new(Vec::new()),
            children: Mutex::new(Vec::new()),
            child_news: WaitQueue::new(),
            thread_gone: WaitQueue::new(),
            goes_on: WaitQueue::new(),
            memory_returned: WaitQueue::new(),
            borrows_memory: AtomicBool::new(false),
            told: AtomicU8::new(0),
            news: Mutex::new(News::None),
            tracing: Mutex::new(Tracing::default()),
            status: AtomicI32::new(0),
            zombie: AtomicBool::new(false),
            exit_signal: AtomicI32::new(0),
            has_execed: AtomicBool::new(false),
            name: Mutex::new([0; 16]),
            args: Mutex::new(parts.args),
            exe: Mutex::new(parts.exe),
            start_ns: now_ns(),
            ended_ns: AtomicU64::new(0),
            children_ns: AtomicU64::new(0),
            faults: [const { AtomicU64::new(0) }; 2],
            child_faults: [const { AtomicU64::new(0) }; 2],
            oom_adjustment: AtomicI32::new(0),
            alarm_interval: AtomicU64::new(0),
            settings: Mutex::new(Settings::FIRST),
            limits: Mutex::new(super::clock::default_limits()),
        }
    }

    /// Whether it is not a program's, but has the kernel's own threads.
    #[inline(always)]
    pub(super) fn is_kernel(&self) -> bool {
        self.pid == 0
    }

    /// The parent's number; 0 for the first process.
    #[inline(always)]
    pub fn ppid(&self) -> Pid {
        self.parent.load(Relaxed)
    }

    /// The process group's number.
    pub fn pgid(&self) -> Pid {
        self.group.load(Relaxed)
    }

    /// The session's number.
    pub fn sid(&self) -> Pid {
        self.session.load(Relaxed)
    }

    /// Its memory; empty for a zombie.
    #[inline]
    pub fn map(&self) -> Arc<Space> {
        self.space.lock().clone()
    }

    /// Whether it has memory still: whoever has ended has not.
    pub(super) fn has_memory(&self) -> bool {
        self.map().query(0).is_some()
    }

    /// Changes the memory; returns what it was.
    pub(super) fn replace_space(&self, space: Arc<Space>) -> Arc<Space> {
        core::mem::replace(&mut *self.space.lock(), space)
    }

    /// Its files; none for a zombie.
    #[inline]
    pub fn files(&self) -> Arc<Mutex<FileTable>> {
        self.files.lock().clone()
    }

    /// Changes the table of files; returns what it was.
    pub(super) fn replace_files(&self, files: Arc<Mutex<FileTable>>) -> Arc<Mutex<FileTable>> {
        core::mem::replace(&mut *self.files.lock(), files)
    }

    /// A table of its own with the same files: the one it has, unless that is shared.
    pub(super) fn own_files(&self) -> Result<Arc<Mutex<FileTable>>, Errno> {
        let files = self.files.lock();
        if Arc::strong_count(&files) == 1 {
            return Ok(files.clone());
        }
        memory::arc(Mutex::new(files.lock().duplicate()?))
    }

    /// Gives it a table of its own with the same files, if it shares one with another process.
    pub fn unshare_files(&self) -> Result<(), Errno> {
        let own = self.own_files()?;
        drop(self.replace_files(own));
        Ok(())
    }

    /// Where it stands in the file system.
    #[inline]
    pub fn fs(&self) -> Arc<Mutex<FsContext>> {
        self.fs.lock().clone()
    }

    /// What it does with signals.
    pub(super) fn actions(&self) -> Arc<Mutex<Actions>> {
        self.actions.lock().clone()
    }

    pub(super) fn replace_actions(&self, actions: Arc<Mutex<Actions>>) {
        let old = core::mem::replace(&mut *self.actions.lock(), actions);
        drop(old);
    }

    /// What it does with one signal.
    #[inline]
    pub fn action(&self, signal: u32) -> Action {
        self.actions.lock().lock().get(signal)
    }

    /// Changes what it does with one signal.
    pub fn set_action(&self, signal: u32, action: Action) {
        self.actions.lock().lock().set(signal, action);
        if action.ignores(signal) {
            self.forget_signal(signal);
        }
    }

    /// Whether it is told to end or to stop.
    #[inline(always)]
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Relaxed) != 0
    }

    /// Whether it ends.
    #[inline(always)]
    pub(super) fn is_exiting(&self) -> bool {
        self.told.load(Relaxed) & EXITING != 0
    }

    /// Whether it is stopped.
    #[inline(always)]
    pub(super) fn is_stopped(&self) -> bool {
        self.told.load(Relaxed) & STOPPED != 0
    }

    /// Tells it to end or to stop. Its threads look when they return to the program.
    pub(super) fn tell(&self, what: u8) {
        self.told.store(self.told.load(Relaxed) | what, Relaxed);
        sched::look_before_return();
    }

    pub(super) fn tell_to_go_on(&self) {
        self.told.store(self.told.load(Relaxed) & !STOPPED, Relaxed);
        self.goes_on.wake_all();
    }

    /// Whether it has ended, and waits to be asked how.
    pub fn is_zombie(&self) -> bool {
        self.zombie.load(Relaxed)
    }

    /// Has its threads look at what is new, those that can be disturbed.
    pub(super) fn disturb(&self) {
        for thread in self.threads.lock().iter() {
            sched::disturb(thread);
        }
    }

    /// Its name: that of its program, cut to 15 bytes.
    pub fn comm(&self) -> [u8; 16] {
        *self.name.lock()
    }

    /// Changes its name; what is longer than 15 bytes is cut.
    pub fn set_comm(&self, name: &[u8]) {
        let mut field = [0; 16];
        let len = name.len().min(15);
        field[..len].copy_from_slice(&name[..len]);
        *self.name.lock() = field;
    }

    /// Whether it has this capability.
    pub fn may(&self, capability: u32) -> bool {
        self.settings.lock().capabilities.effective >> capability & 1 == 1
    }

    /// Keeps its memory to its limits.
    pub fn apply_limits(&self) {
        let locks_anything = self.may(CAP_IPC_LOCK);
        self.map().apply_limits(&self.limits.lock(), locks_anything);
    }

    /// Its arguments, each ended by a zero byte.
    pub fn args(&self) -> Arc<Args> {
        self.args.lock().clone()
    }

    /// The path of its program.
    pub fn exe(&self) -> Arc<String> {
        self.exe.lock().clone()
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        self.threads.lock().len()
    }

    /// When it began, in nanoseconds since boot.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// The time it has taken.
    pub fn times(&self) -> Times {
        let threads = self.threads.lock();
        let running: u64 = threads.iter().map(|thread| sched::run_ns(thread)).sum();
        Times {
            own_ns: self.ended_ns.load(Relaxed) + running,
            children_ns: self.children_ns.load(Relaxed),
        }
    }

    /// A page fault of its own has been handled.
    #[inline(always)]
    pub(super) fn count_fault(&self, is_major: bool) {
        let count = &self.faults[usize::from(is_major)];
        count.store(count.load(Relaxed) + 1, Relaxed);
    }

    /// A child has been waited for: its faults and those of its own children are counted here.
    pub(super) fn adopt_faults(&self, child: &Process) {
        let [own, children] = child.faults();
        self.child_faults[0].fetch_add(own.minor + children.minor, Relaxed);
        self.child_faults[1].fetch_add(own.major + children.major, Relaxed);
    }

    /// Its own page faults, and those of its children that have been waited for.
    pub fn faults(&self) -> [Faults; 2] {
        [&self.faults, &self.child_faults].map(|count| Faults {
            minor: count[0].load(Relaxed),
            major: count[1].load(Relaxed),
        })
    }

    /// How much likelier it is ended when memory runs out: thousandths of all memory that are added
    /// to what it uses; never at -1000.
    pub fn oom_adjustment(&self) -> i32 {
        self.oom_adjustment.load(Relaxed)
    }

    /// Changes that.
    pub fn set_oom_adjustment(&self, thousandths: i32) {
        self.oom_adjustment.store(thousandths, Relaxed);
    }

    /// What ps(1) shows as its state.
    pub fn state_char(&self) -> char {
        if self.is_zombie() {
            return 'Z';
        }
        if self.is_stopped() {
            return 'T';
        }
        if self.waits_for_tracer() {
            return 't';
        }
        let threads = self.threads.lock();
        let mut shown = 'S';
        for thread in threads.iter() {
            match thread.state() {
                State::Ready => return 'R',
                State::Uninterruptible => shown = 'D',
                _ => {}
            }
        }
        shown
    }

    /// Sets the alarm to ring at a time (nanoseconds since boot) and each `interval` after that;
    /// none switches it off. Returns what it was set to.
    pub fn set_alarm(self: &Arc<Self>, at: Option<u64>, interval: u64) -> Interval {
        let old = self.alarm();
        timers::remove_alarm(self);
        self.alarm_interval.store(interval, Relaxed);
        if let Some(time) = at {
            timers::add(time, timers::Timer::Alarm(self.clone()));
        }
        old
    }

    /// When the alarm rings.
    pub fn alarm(&self) -> Interval {
        let at = timers::alarm(self);
        Interval {
            left: at.map_or(0, |at| at.saturating_sub(now_ns()).max(1)),
            interval: self.alarm_interval.load(Relaxed),
        }
    }

    pub(super) fn alarm_rings(self: &Arc<Self>, now: u64) {
        let interval = self.alarm_interval.load(Relaxed);
        if interval != 0 {
            timers::add(now + interval, timers::Timer::Alarm(self.clone()));
        }
        post_to_process(self, SigInfo::kernel(linux_raw_sys::general::SIGALRM));
    }

    /// The status of the exit that is under way.
    pub(super) fn set_status(&self, status: i32) {
        self.status.store(status, Relaxed);
    }
}
