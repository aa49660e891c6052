//! What a machine port brings: the [`Machine`] trait.
//!
//! The manager calls these functions and nothing else of the system around it. Each implementation
//! may keep what state it likes behind `&self`; several machines may live in one process.

use core::sync::atomic::Ordering::SeqCst;
use core::sync::atomic::{AtomicU32, fence};

use crate::addr::{Frame, PAGE_SIZE};
use crate::pmap::{Pmap, Scope};

/// The most processors a machine may have: the width of a [`CpuSet`].
pub const MAX_CPUS: usize = 64;

/// A set of processors, one bit each.
pub type CpuSet = u64;

/// What a lock does, told to [`Machine::lock_event`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockEvent {
    /// About to take the lock (it may have to spin).
    Acquire,
    /// Took it at once or not at all: the order of ranks does not bind a try.
    TryAcquire,
    /// Let go.
    Release,
}

/// The place of a lock in the order that stands at the head of the crate; smaller is further out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Rank {
    /// The list of all address spaces.
    Maps,
    /// An address space's entries.
    Map,
    /// The hand that trims one.
    Hand,
    /// An object whose pages a file system or driver provides, or that stands on another one.
    Object,
    /// An object that lies underneath another.
    Underneath,
    /// The list of objects that descend from one by fork.
    Family,
    /// The list of objects that may be dirty.
    Dirty,
    /// A page table.
    Pmap,
    /// The policies of replacement.
    Policy,
    /// What a page is: the link between it and its anon.
    Page,
    /// Memory to compress in.
    Codec,
    /// Pages that are compressed.
    Compressor,
    /// The slots of swap devices.
    Swap,
    /// The table of malloc types.
    Types,
    /// The list of all arenas.
    Arenas,
    /// An arena, or one processor's cache of one.
    Arena,
    /// The list of object caches.
    Caches,
    /// A pool: one processor's magazines.
    Pool,
    /// The slabs of a pool, from which the per-processor magazines are filled.
    PoolSlabs,
    /// The per-processor caches of free frames.
    FrameCache,
    /// The free lists of page frames.
    Frames,
}

/// The machine under the manager.
///
/// # Safety
///
/// The manager's soundness rests on these duties:
///
/// 1. [`frame_ptr`](Machine::frame_ptr) gives, for each frame of a segment handed to
///    [`Vm::add_segment`](crate::Vm::add_segment), a pointer to `PAGE_SIZE` bytes that are readable
///    and writable for as long as the manager lives, always the same for the same frame, aligned to
///    `PAGE_SIZE`, and not overlapping those of another frame. Within a segment the bytes of the
///    next frame follow those of the one before.
/// 2. [`cpu`](Machine::cpu) and [`pin`](Machine::pin) are below `MAX_CPUS`.
/// 3. [`flush`](Machine::flush) returns only when no processor of the set can use a translation of
///    that space in that scope which it had cached before the call, page-table pages included.
/// 4. From [`pin`](Machine::pin) to [`unpin`](Machine::unpin) nobody else is pinned under the same
///    number, and what was written by who was pinned under it before is seen.
/// 5. [`light_fence`](Machine::light_fence) and [`heavy_fence`](Machine::heavy_fence) order as they
///    say, if either is overridden.
pub unsafe trait Machine: Sync + Sized + 'static {
    /// The page tables of this machine.
    type Pmap: Pmap<Self>;

    /// The bytes of a frame, through the direct map (duty 1).
    fn frame_ptr(&self, frame: Frame) -> *mut u8;

    /// The number of the processor this runs on (duty 2). It may change at any time where the
    /// caller can be moved; the manager uses it to spread load, never for exclusion.
    fn cpu(&self) -> usize;

    /// Keeps the caller where it runs until [`unpin`](Machine::unpin), and tells that processor's
    /// number, below [`MAX_CPUS`] (duty 4). A kernel switches preemption off, and interrupts too if
    /// their handlers use the manager; threads of a host that may share a number take a lock, and
    /// call [`relax`](Machine::relax) while they spin for it. Called with any locks of the manager
    /// held but those of pools and frames, never by who is pinned. Spin locks are taken meanwhile: a
    /// kernel that preempts its threads must not do so while they have one, either
    /// ([`lock_event`](Machine::lock_event)). Nothing blocks.
    fn pin(&self) -> usize;

    /// Ends what [`pin`](Machine::pin) began.
    fn unpin(&self);

    /// Makes the processors in `cpus` forget translations of the space that `root` names (what its
    /// page tables call themselves, see [`Pmap::root`]), waits until all have (duty 3). If that is the
    /// root of the kernel's own space, they forget them whatever space they use; the set may name
    /// processors that do not exist. Called with
    /// map, object and page-table locks held: so a processor that spins for one of those, with interrupts off,
    /// must answer such requests in [`relax`](Machine::relax).
    fn flush(&self, cpus: CpuSet, root: Frame, scope: Scope);

    /// What keeps this processor's stores before its later loads, as seen by one that passes a
    /// [`heavy_fence`](Machine::heavy_fence) meanwhile: of two processors, each of which stores,
    /// passes its fence, and loads what the other stores, one at least sees the other's store
    /// (duty 5). A port makes this one cheap, [`core::sync::atomic::compiler_fence`], if the heavy
    /// one can make up for it.
    #[inline(always)]
    fn light_fence(&self) {
        fence(SeqCst);
    }

    /// The other side of [`light_fence`](Machine::light_fence): a port with a cheap light one
    /// interrupts all other processors here, and waits until each has passed a fence of its own.
    /// Called with locks of pools held at most, and hardly ever: when memory has run out.
    #[inline(always)]
    fn heavy_fence(&self) {
        fence(SeqCst);
    }

    /// Called again and again while spinning for a lock that another processor holds.
    fn relax(&self) {
        core::hint::spin_loop();
    }

    /// Called again and again by long work that nobody is kept waiting by: a port whose kernel is not
    /// preempted may let other threads run. No lock of the manager is held.
    #[inline(always)]
    fn pause(&self) {}

    /// Sleeps while `word` holds `value`; may return early. No lock of the manager is held.
    fn wait(&self, word: &AtomicU32, value: u32);

    /// Wakes all that [`wait`](Machine::wait) on `word`, which has changed. Locks may be held.
    fn wake(&self, word: &AtomicU32);

    /// Whether the calling thread is to end, so that its faults need no room made for them: where memory has run out,
    /// what it has is what others wait for.
    #[inline(always)]
    fn is_ending(&self) -> bool {
        false
    }

    /// Nanoseconds since some time in the past, never fewer than before. For ages of what waits to be
    /// written back; without it everything is as old as can be.
    #[inline(always)]
    fn now(&self) -> u64 {
        0
    }

    /// Told of each use of a lock, so that a test machine can check their order or switch threads
    /// where it matters. Real machines leave it empty, but for kernels that preempt their threads:
    /// those must not from [`LockEvent::Acquire`] or [`LockEvent::TryAcquire`] to
    /// [`LockEvent::Release`], or who spins might keep who has the lock from letting go.
    #[inline(always)]
    fn lock_event(&self, _event: LockEvent, _rank: Rank) {}

    /// Asked before each allocation of a frame or structure; false makes it fail, as if memory had
    /// run out. For tests.
    #[inline(always)]
    fn may_allocate(&self) -> bool {
        true
    }

    /// Fills a frame with zeros.
    #[inline]
    fn zero_frame(&self, frame: Frame) {
        // SAFETY: duty 1: PAGE_SIZE writable bytes. The caller owns the frame.
        unsafe { core::ptr::write_bytes(self.frame_ptr(frame), 0, PAGE_SIZE) }
    }

    /// Copies a frame's bytes to another.
    #[inline]
    fn copy_frame(&self, from: Frame, to: Frame) {
        // SAFETY: duty 1: PAGE_SIZE bytes each, which do not overlap. The caller owns `to`; a
        // program may be writing `from` only where it can tell no difference.
        unsafe {
            core::ptr::copy_nonoverlapping(self.frame_ptr(from), self.frame_ptr(to), PAGE_SIZE);
        }
    }
}
