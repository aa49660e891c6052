//! A machine in an ordinary process: frames of one mapping, and threads as processors.

use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize, compiler_fence};

use scalvm::{CpuSet, Frame, MAX_CPUS, Machine, PAGE_SIZE, Scope};
use scalvm_pmap::{TableMachine, X86Pmap};

/// The number of the first frame: aligned as the memory is.
const FIRST: u64 = 1 << 20;

/// Memory that nobody has touched, aligned to 4 MiB; it is never given back.
pub fn map(bytes: usize) -> *mut u8 {
    const ALIGN: usize = 4 << 20;
    // SAFETY: a new mapping, wherever there is room.
    let memory = unsafe {
        libc::mmap(
            null_mut(),
            bytes + ALIGN,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED, "mapping {bytes} bytes");
    // Single pages are what is measured, and what a kernel has.
    // SAFETY: advice about the new mapping.
    unsafe { libc::madvise(memory, bytes + ALIGN, libc::MADV_NOHUGEPAGE) };
    memory
        .cast::<u8>()
        .map_addr(|at| at.next_multiple_of(ALIGN))
}

/// The machine.
pub struct Hosted {
    memory: *mut u8,
    frames: u64,
}

// SAFETY: the memory is the manager's, who shares it out.
unsafe impl Sync for Hosted {}
// SAFETY: as for Sync.
unsafe impl Send for Hosted {}

impl Hosted {
    /// A machine with so many bytes of memory.
    pub fn new(bytes: usize) -> Hosted {
        // From now on the heavy fence works.
        membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
        Hosted {
            memory: map(bytes),
            frames: (bytes / PAGE_SIZE) as u64,
        }
    }

    /// The first frame and the end.
    pub fn frames(&self) -> (Frame, Frame) {
        (Frame(FIRST), Frame(FIRST + self.frames))
    }
}

fn membarrier(command: libc::c_int) {
    // SAFETY: this system call only orders what the threads of the process do.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    assert_eq!(result, 0, "membarrier({command})");
}

thread_local! {
    /// The thread's number. That of the first one is 0; others have [`number_thread`] give them one.
    static NUMBER: Cell<usize> = const { Cell::new(0) };
}

/// Gives a new thread a number of its own. To be called before it allocates.
pub fn number_thread() {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Relaxed);
    assert!(number < MAX_CPUS, "more threads than processors");
    NUMBER.set(number);
}

// SAFETY:
// 1. Frames lie in the mapping one behind the other.
// 2. Numbers are checked.
// 3. Nothing translates addresses.
// 4. Each thread has a number of its own, for ever.
// 5. membarrier makes each thread of the process that runs pass a fence; one that does not run has
//    passed one.
unsafe impl Machine for Hosted {
    type Pmap = X86Pmap;

    #[inline(always)]
    fn frame_ptr(&self, frame: Frame) -> *mut u8 {
        self.memory
            .wrapping_add((frame.0 - FIRST) as usize * PAGE_SIZE)
    }

    #[inline(always)]
    fn cpu(&self) -> usize {
        NUMBER.get()
    }

    #[inline(always)]
    fn pin(&self) -> usize {
        self.cpu()
    }

    #[inline(always)]
    fn unpin(&self) {}

    #[inline(always)]
    fn light_fence(&self) {
        compiler_fence(SeqCst);
    }

    fn heavy_fence(&self) {
        membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    }

    fn flush(&self, _: CpuSet, _: Frame, _: Scope) {}

    fn relax(&self) {
        std::thread::yield_now();
    }

    fn wait(&self, _: &AtomicU32, _: u32) {
        std::thread::yield_now();
    }

    fn wake(&self, _: &AtomicU32) {}
}

// SAFETY: there is no kernel half, and no MMU.
unsafe impl TableMachine for Hosted {
    fn kernel_root(&self) -> Option<Frame> {
        None
    }

    fn set_root(&self, _: Frame) {}
}
