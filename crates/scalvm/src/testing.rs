//! A machine for unit tests, in an ordinary process: frames from an aligned arena, address spaces
//! that are maps in the host's memory. It checks the order of locks and can make allocations fail.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
use core::time::Duration;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::vec::Vec;

use crate::*;

/// The number of the arena's first frame.
const FIRST_FRAME: u64 = 0x1000;
/// Processors; threads are spread over them.
const CPUS: usize = 4;

/// A machine with an arena.
pub(crate) struct TestMachine {
    arena: *mut u8,
    frames: u64,
    /// How many more allocations succeed.
    allowed: AtomicI64,
    /// Calls of `flush`, and of `pause`.
    pub flushes: AtomicU64,
    pub pauses: AtomicU64,
    /// Whether all threads are to end.
    pub ending: AtomicBool,
    /// Whether somebody is pinned under each number.
    pinned: [AtomicBool; MAX_CPUS],
    /// How often each rank of locks has been asked for.
    asked: [AtomicUsize; Rank::Frames as usize + 1],
    sleepers: Mutex<()>,
    woken: Condvar,
}

// SAFETY: the arena is plain memory whose frames their owners share out.
unsafe impl Send for TestMachine {}
// SAFETY: as for Send.
unsafe impl Sync for TestMachine {}

std::thread_local! {
    static CPU: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % CPUS
    };
    static CPU_SET: Cell<Option<usize>> = const { Cell::new(None) };
    /// The locks that this thread holds, in the order in which it took them.
    static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
}

impl TestMachine {
    /// A machine whose arena has so many frames.
    pub fn new(frames: u64) -> TestMachine {
        // SAFETY: the layout is not empty.
        let arena = unsafe { alloc_zeroed(layout(frames)) };
        assert!(!arena.is_null());
        TestMachine {
            arena,
            frames,
            allowed: AtomicI64::new(i64::MAX),
            flushes: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            pinned: [const { AtomicBool::new(false) }; MAX_CPUS],
            asked: [const { AtomicUsize::new(0) }; Rank::Frames as usize + 1],
            sleepers: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    /// The n-th frame of the arena.
    pub fn frame(&self, n: u64) -> Frame {
        assert!(n <= self.frames);
        Frame(FIRST_FRAME + n)
    }

    /// Lets so many more allocations succeed.
    pub fn allow(&self, allocations: i64) {
        self.allowed.store(allocations, Relaxed);
    }

    /// Lets all allocations succeed again.
    pub fn allow_all(&self) {
        self.allow(i64::MAX);
    }

    /// How often locks of this rank have been asked for, those that were tried in vain not counted.
    pub fn asked(&self, rank: Rank) -> usize {
        self.asked[rank as usize].load(Relaxed)
    }

    /// Makes the calling thread run on this processor.
    pub fn set_cpu(&self, cpu: usize) {
        assert!(cpu < MAX_CPUS);
        CPU_SET.set(Some(cpu));
    }
}

/// Aligned to the largest block, so that blocks are aligned in memory as their frame numbers are.
fn layout(frames: u64) -> Layout {
    Layout::from_size_align(frames as usize * PAGE_SIZE, PAGE_SIZE << 10)
        .expect("size of the arena")
}

impl Drop for TestMachine {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.arena, layout(self.frames)) };
    }
}

// SAFETY: frames lie in the arena one behind the other; no processor caches translations.
unsafe impl Machine for TestMachine {
    type Pmap = TestPmap;

    fn pause(&self) {
        self.pauses.fetch_add(1, Relaxed);
    }

    fn frame_ptr(&self, frame: Frame) -> *mut u8 {
        let index = frame
            .0
            .checked_sub(FIRST_FRAME)
            .filter(|index| *index < self.frames);
        let index = index.expect("a frame outside of the arena");
        self.arena.wrapping_add(index as usize * PAGE_SIZE)
    }

    fn cpu(&self) -> usize {
        CPU_SET.get().unwrap_or_else(|| CPU.with(|cpu| *cpu))
    }

    fn pin(&self) -> usize {
        let cpu = self.cpu();
        while self.pinned[cpu].swap(true, Acquire) {
            self.relax();
        }
        cpu
    }

    fn unpin(&self) {
        assert!(self.pinned[self.cpu()].swap(false, Release));
    }

    fn flush(&self, _cpus: CpuSet, _root: Frame, _scope: Scope) {
        self.flushes.fetch_add(1, Relaxed);
    }

    fn relax(&self) {
        thread::yield_now();
    }

    fn wait(&self, word: &AtomicU32, value: u32) {
        HELD.with_borrow(|held| assert!(held.is_empty(), "waits with {held:?} held"));
        let guard = self.sleepers.lock().unwrap();
        if word.load(SeqCst) == value {
            // Waking early is allowed.
            drop(
                self.woken
                    .wait_timeout(guard, Duration::from_millis(100))
                    .unwrap(),
            );
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    fn wake(&self, _word: &AtomicU32) {
        drop(self.sleepers.lock().unwrap());
        self.woken.notify_all();
    }

    fn lock_event(&self, event: LockEvent, rank: Rank) {
        if event != LockEvent::Release {
            self.asked[rank as usize].fetch_add(1, Relaxed);
        }
        HELD.with_borrow_mut(|held| match event {
            LockEvent::Acquire => {
                assert!(
                    held.iter().all(|outer| *outer < rank),
                    "takes {rank:?} with {held:?} held"
                );
                held.push(rank);
            }
            LockEvent::TryAcquire => held.push(rank),
            LockEvent::Release => {
                let last = held.iter().rposition(|held| *held == rank);
                held.remove(last.expect("lets go of a lock that it does not hold"));
            }
        });
    }

    fn may_allocate(&self) -> bool {
        self.allowed
            .fetch_update(Relaxed, Relaxed, |n| (n > 0).then(|| n.saturating_sub(1)))
            .is_ok()
    }
}

/// A small generator of numbers, so that tests repeat.
pub(crate) struct Random(pub u64);

impl Random {
    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % limit
    }
}

/// An address space as a map in the host's memory.
pub(crate) struct TestPmap {
    root: Frame,
    cpus: AtomicU64,
    mappings: Mutex<BTreeMap<usize, Mapping>>,
}

impl TestPmap {
    /// Changes every mapping of a range; what changed is owed.
    fn change(&self, range: Range<usize>, mut change: impl FnMut(&mut Mapping)) -> Debt {
        let mut debt = Debt::none();
        for (&va, mapping) in self.mappings.lock().unwrap().range_mut(range) {
            let before = *mapping;
            change(mapping);
            if before != *mapping {
                debt.add(Scope::Range {
                    start: va,
                    end: va + PAGE_SIZE,
                });
            }
        }
        debt
    }
}

// SAFETY: there is no MMU; the map is changed as asked, and each change owed.
unsafe impl Pmap<TestMachine> for TestPmap {
    fn new(_machine: &TestMachine, tables: &impl TableFrames) -> Result<Self, OutOfMemory> {
        let root = tables.alloc().ok_or(OutOfMemory)?;
        Ok(TestPmap {
            root,
            cpus: AtomicU64::new(0),
            mappings: Mutex::default(),
        })
    }

    fn new_kernel(
        machine: &TestMachine,
        tables: &impl TableFrames,
        _range: Range<usize>,
    ) -> Result<Self, OutOfMemory> {
        let pmap = TestPmap::new(machine, tables)?;
        pmap.cpus.store(CpuSet::MAX, Relaxed);
        Ok(pmap)
    }

    fn destroy(&mut self, _machine: &TestMachine, tables: &impl TableFrames) {
        self.mappings.lock().unwrap().clear();
        tables.free(self.root);
    }

    fn root(&self) -> Frame {
        self.root
    }

    fn cpus(&self) -> CpuSet {
        self.cpus.load(Relaxed)
    }

    fn activate(&self, machine: &TestMachine) {
        self.cpus.fetch_or(1 << machine.cpu(), Relaxed);
    }

    fn deactivate(&self, machine: &TestMachine) {
        self.cpus.fetch_and(!(1 << machine.cpu()), Relaxed);
    }

    fn enter(
        &self,
        _machine: &TestMachine,
        _tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<(Option<Mapping>, Debt), OutOfMemory> {
        let new = Mapping {
            va,
            frame: how.frame,
            prot: how.prot,
            accessed: true,
            dirty: how.access == Access::Write,
            managed: how.managed,
            large: false,
        };
        let old = self.mappings.lock().unwrap().insert(va, new);
        Ok((
            old,
            if old.is_some() {
                Debt::page(va)
            } else {
                Debt::none()
            },
        ))
    }

    fn fill(
        &self,
        _machine: &TestMachine,
        _tables: &impl TableFrames,
        va: usize,
        frames: &[Frame],
        prot: Prot,
    ) -> u64 {
        let mut mappings = self.mappings.lock().unwrap();
        let mut entered = 0;
        for (index, &frame) in frames
            .iter()
            .enumerate()
            .filter(|(_, frame)| frame.is_some())
        {
            let va = va + index * PAGE_SIZE;
            mappings.entry(va).or_insert_with(|| {
                entered |= 1 << index;
                Mapping {
                    va,
                    frame,
                    prot,
                    accessed: false,
                    dirty: false,
                    managed: true,
                    large: false,
                }
            });
        }
        entered
    }

    fn remove(
        &self,
        _machine: &TestMachine,
        _tables: &impl TableFrames,
        range: Range<usize>,
        mut gone: impl FnMut(Mapping),
    ) -> Debt {
        let mut mappings = self.mappings.lock().unwrap();
        let mut debt = Debt::none();
        while let Some((&va, _)) = mappings.range(range.clone()).next() {
            debt.add(Scope::Range {
                start: va,
                end: va + PAGE_SIZE,
            });
            gone(mappings.remove(&va).expect("just found"));
        }
        debt
    }

    fn protect(
        &self,
        _machine: &TestMachine,
        _tables: &impl TableFrames,
        range: Range<usize>,
        prot: Prot,
    ) -> Debt {
        self.change(range, |mapping| mapping.prot &= prot)
    }

    fn write_protect_all(&self, _machine: &TestMachine, _tables: &impl TableFrames) -> Debt {
        self.change(0..usize::MAX, |mapping| mapping.prot &= !Prot::WRITE)
    }

    fn query(&self, _machine: &TestMachine, va: usize) -> Option<Mapping> {
        self.mappings.lock().unwrap().get(&va).copied()
    }

    fn harvest(
        &self,
        _machine: &TestMachine,
        _tables: &impl TableFrames,
        range: Range<usize>,
        clear: Clear,
        mut seen: impl FnMut(Mapping),
    ) -> Debt {
        self.change(range, |mapping| {
            seen(*mapping);
            mapping.accessed &= !clear.accessed;
            mapping.dirty &= !clear.dirty;
        })
    }

    fn counts(&self) -> PmapCounts {
        PmapCounts {
            mapped: self.mappings.lock().unwrap().len(),
            large: 0,
            tables: 1,
        }
    }

    fn check_invariants(&self, machine: &TestMachine, _tables: &impl TableFrames) {
        for (va, mapping) in &*self.mappings.lock().unwrap() {
            assert_eq!(va & PAGE_MASK, 0);
            assert_eq!(*va, mapping.va);
            assert!(!mapping.prot.is_empty());
            if mapping.managed {
                machine.frame_ptr(mapping.frame);
            }
        }
    }
}
