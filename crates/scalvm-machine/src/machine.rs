//! [`Emulated`]: the machine, as the manager sees it.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scalvm::{CpuSet, Frame, LockEvent, MAX_CPUS, Machine, Rank, Scope};
use scalvm_pmap::TableMachine;

use crate::arena::Arena;
use crate::cache::Core;
use crate::config::Config;
use crate::cpu::Cpu;
use crate::failure::Failures;
use crate::order::{self, Who};
use crate::pmap::{EmulatedPmap, Tables};
use crate::runtime::Runtime;

/// What [`Emulated`] handles share.
pub(crate) struct Hardware {
    /// Tells machines apart.
    id: u64,
    pub arena: Arena,
    segments: Vec<Range<Frame>>,
    devices: Vec<Range<Frame>>,
    pub kernel_root: Option<Frame>,
    pub tables: Tables,
    cores: Vec<Mutex<Core>>,
    /// Whether a thread is pinned on each processor.
    pinned: Vec<AtomicBool>,
    check_lock_order: bool,
    runtime: Box<dyn Runtime>,
    allocations: Mutex<Failures>,
    flushes: AtomicU64,
    clock: AtomicU64,
    idle: Mutex<Option<Arc<dyn Fn() -> bool + Send + Sync>>>,
}

impl Drop for Hardware {
    fn drop(&mut self) {
        order::forget(self.id);
    }
}

/// A machine in this process. Clones are handles of the same machine.
#[derive(Clone)]
pub struct Emulated {
    pub(crate) hardware: Arc<Hardware>,
}

impl fmt::Debug for Emulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Emulated({})", self.hardware.id)
    }
}

impl Emulated {
    /// A machine made to order. Panics where the order makes no sense.
    pub fn new(config: Config) -> Emulated {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        assert!(
            config.cpus > 0 && config.cpus <= MAX_CPUS,
            "{} processors",
            config.cpus
        );
        let runs = config.segments.iter().chain(&config.devices).cloned();
        let shape = config.tables.shape();
        let core = |n| {
            let seed = config.seed.wrapping_add(n);
            Mutex::new(Core::new(seed, config.evict_one_in, shape))
        };
        Emulated {
            hardware: Arc::new(Hardware {
                id: NEXT_ID.fetch_add(1, Relaxed),
                arena: Arena::new(runs),
                cores: (0..config.cpus as u64).map(core).collect(),
                pinned: (0..config.cpus).map(|_| AtomicBool::new(false)).collect(),
                segments: config.segments,
                devices: config.devices,
                kernel_root: config.kernel_root,
                tables: config.tables,
                check_lock_order: config.check_lock_order,
                runtime: config.runtime,
                allocations: Mutex::new(Failures::never()),
                flushes: AtomicU64::new(0),
                clock: AtomicU64::new(0),
                idle: Mutex::new(None),
            }),
        }
    }

    /// A machine with one segment of so many frames.
    pub fn with_frames(frames: u64) -> Emulated {
        Emulated::new(Config {
            segments: vec![Frame(0x1000)..Frame(0x1000 + frames)],
            ..Config::default()
        })
    }

    /// The frames of a segment. Panics if there is none of this number.
    pub fn segment(&self, number: usize) -> Range<Frame> {
        self.hardware.segments[number].clone()
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.hardware.segments.len()
    }

    /// The frames of a device. Panics if there is none of this number.
    pub fn device(&self, number: usize) -> Range<Frame> {
        self.hardware.devices[number].clone()
    }

    /// Writes into a frame through the direct map, with the processor's own stores: others may read or
    /// write the same bytes meanwhile, as with those of programs.
    pub fn write_frame(&self, frame: Frame, offset: usize, bytes: &[u8]) {
        self.hardware.arena.write(frame, offset, bytes);
    }

    /// How many processors there are.
    pub fn cpus(&self) -> usize {
        self.hardware.cores.len()
    }

    /// A processor. Panics if there is none of this number.
    pub fn processor(&self, number: usize) -> Cpu {
        assert!(number < self.cpus(), "there is no processor {number}");
        Cpu::new(self.clone(), number)
    }

    /// Makes the n-th allocation from now on fail, counted from zero, and no other.
    pub fn fail_allocation(&self, n: u64) {
        self.allocations_state().nth(n, false);
    }

    /// Makes the n-th allocation from now on fail, counted from zero, and all after it.
    pub fn fail_allocations_from(&self, n: u64) {
        self.allocations_state().nth(n, true);
    }

    /// Makes one allocation in so many fail, as a seed determines.
    pub fn fail_allocations_randomly(&self, seed: u64, one_in: u64) {
        self.allocations_state().random(seed, one_in);
    }

    /// Makes no allocation fail any more.
    pub fn stop_failing(&self) {
        self.allocations_state().stop();
    }

    /// Allocations asked for so far.
    pub fn allocations(&self) -> u64 {
        self.allocations_state().count()
    }

    /// Flushes so far that reached a processor.
    pub fn flushes(&self) -> u64 {
        self.hardware.flushes.load(Relaxed)
    }

    /// Lets so many nanoseconds pass: the machine's clock stands still otherwise.
    pub fn pass_time(&self, nanoseconds: u64) {
        self.hardware.clock.fetch_add(nanoseconds, Relaxed);
    }

    /// Calls `idle` whenever a thread is about to wait: for tests of one thread, where it must do
    /// itself what it waits for. If it returns true it did something, and the thread does not
    /// sleep.
    pub fn set_idle(&self, idle: impl Fn() -> bool + Send + Sync + 'static) {
        *lock(&self.hardware.idle) = Some(Arc::new(idle));
    }

    /// The locks of the manager that this thread holds, in the order in which it took them.
    pub fn held_locks(&self) -> Vec<Rank> {
        order::held(self.who())
    }

    /// Which thread this is.
    pub(crate) fn who(&self) -> Who {
        Who {
            machine: self.hardware.id,
            thread: self.hardware.runtime.thread(),
        }
    }

    /// A processor's state.
    pub(crate) fn core(&self, number: usize) -> MutexGuard<'_, Core> {
        lock(&self.hardware.cores[number])
    }

    fn allocations_state(&self) -> MutexGuard<'_, Failures> {
        lock(&self.hardware.allocations)
    }
}

/// Locks, also after a test has panicked.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY: (1) the arena's frames; (2) `new` and `processor` check it; (3) a processor's caches are
// locked during an access, so that `flush` waits for one that is under way, and the next walks the
// tables anew; (4) a lock for each processor, whose number a thread changes itself, and not while it
// is pinned.
unsafe impl Machine for Emulated {
    type Pmap = EmulatedPmap;

    fn frame_ptr(&self, frame: Frame) -> *mut u8 {
        self.hardware.arena.frame(frame)
    }

    fn cpu(&self) -> usize {
        order::cpu(self.who())
    }

    fn pin(&self) -> usize {
        let cpu = self.cpu();
        while self.hardware.pinned[cpu].swap(true, Acquire) {
            self.relax();
        }
        cpu
    }

    fn unpin(&self) {
        let pinned = self.hardware.pinned[self.cpu()].swap(false, Release);
        debug_assert!(pinned, "unpinned, and was not pinned");
    }

    fn flush(&self, cpus: CpuSet, root: Frame, scope: Scope) {
        for number in (0..self.cpus()).filter(|n| cpus >> n & 1 != 0) {
            let mut core = self.core(number);
            if core.root == Some(root) || self.hardware.kernel_root == Some(root) {
                core.expect_one_size(&self.hardware.arena, root, scope);
                core.flush(scope);
            }
        }
        if cpus != 0 {
            self.hardware.flushes.fetch_add(1, Relaxed);
        }
    }

    fn relax(&self) {
        self.hardware.runtime.relax();
    }

    fn wait(&self, word: &AtomicU32, value: u32) {
        let held = self.held_locks();
        assert!(held.is_empty(), "lock order: waits while {held:?} are held");
        if word.load(SeqCst) != value {
            return;
        }
        let idle = lock(&self.hardware.idle).clone();
        if idle.is_some_and(|idle| idle()) {
            return;
        }
        self.hardware.runtime.wait(word, value);
    }

    fn wake(&self, word: &AtomicU32) {
        self.hardware.runtime.wake(word);
    }

    fn now(&self) -> u64 {
        self.hardware.clock.load(Relaxed)
    }

    fn lock_event(&self, event: LockEvent, rank: Rank) {
        if self.hardware.check_lock_order {
            order::note(self.who(), event, rank);
        }
        if event != LockEvent::TryAcquire {
            self.hardware.runtime.switch();
        }
    }

    fn may_allocate(&self) -> bool {
        !self.allocations_state().event()
    }

    fn zero_frame(&self, frame: Frame) {
        self.hardware.arena.zero(frame);
    }

    fn copy_frame(&self, from: Frame, to: Frame) {
        self.hardware.arena.copy(from, to);
    }
}

// SAFETY: (1) if there is a kernel half, the frame is the machine's and nobody writes there but
// page-table ports; (2) `flush` sees to it; (3) `Core::set_root` forgets all.
unsafe impl TableMachine for Emulated {
    fn kernel_root(&self) -> Option<Frame> {
        self.hardware.kernel_root
    }

    fn set_root(&self, root: Frame) {
        self.core(self.cpu()).set_root(Some(root));
    }
}
