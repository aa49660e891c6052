//! The least machine that page tables can be tried on: an arena of frames, and no MMU.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use scalvm::{CpuSet, Frame, Machine, PAGE_SIZE, Scope, TableFrames};
use scalvm_pmap::{TableMachine, X86Pmap};

/// Frames that exist, from [`FIRST`] on.
pub const FRAMES: usize = 256;
/// The number of the first frame.
pub const FIRST: u64 = 0x100;

fn layout() -> Layout {
    Layout::from_size_align(FRAMES * PAGE_SIZE, PAGE_SIZE).unwrap()
}

/// The machine. It is also where tables get their frames.
pub struct Bare {
    memory: *mut u8,
    kernel_root: Option<Frame>,
    words: Vec<AtomicU64>,
    free: Mutex<Vec<Frame>>,
    pub flushed: Mutex<Vec<(CpuSet, Frame, Scope)>>,
    pub root: AtomicU64,
}

// SAFETY: the memory belongs to the machine; who uses which frame is for others to settle.
unsafe impl Sync for Bare {}

impl Bare {
    pub fn new() -> Bare {
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc_zeroed(layout()) };
        assert!(!memory.is_null());
        Bare {
            memory,
            kernel_root: None,
            words: (0..FRAMES).map(|_| AtomicU64::new(0)).collect(),
            free: Mutex::new((0..FRAMES as u64).rev().map(|n| Frame(FIRST + n)).collect()),
            flushed: Mutex::new(Vec::new()),
            root: AtomicU64::new(0),
        }
    }

    /// A machine with a kernel half that has one entry.
    #[allow(dead_code)]
    pub fn with_kernel(entry: u64) -> Bare {
        let mut bare = Bare::new();
        let root = bare.alloc().unwrap();
        // SAFETY: the last entry of a frame that is ours.
        unsafe { bare.frame_ptr(root).cast::<u64>().add(511).write(entry) }
        bare.kernel_root = Some(root);
        bare
    }

    pub fn free_count(&self) -> usize {
        self.free.lock().unwrap().len()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.memory, layout()) }
    }
}

impl TableFrames for Bare {
    fn alloc(&self) -> Option<Frame> {
        let frame = self.free.lock().unwrap().pop()?;
        self.zero_frame(frame);
        Some(frame)
    }

    fn free(&self, frame: Frame) {
        assert_eq!(self.word(frame).load(Relaxed), 0);
        self.free.lock().unwrap().push(frame);
    }

    fn word(&self, frame: Frame) -> &AtomicU64 {
        &self.words[(frame.0 - FIRST) as usize]
    }
}

// SAFETY: frames lie in the arena, one after the other; there is one processor, and no MMU to
// flush.
unsafe impl Machine for Bare {
    type Pmap = X86Pmap;

    fn frame_ptr(&self, frame: Frame) -> *mut u8 {
        let index = (frame.0 - FIRST) as usize;
        assert!(index < FRAMES);
        // SAFETY: inside of the arena.
        unsafe { self.memory.add(index * PAGE_SIZE) }
    }

    fn cpu(&self) -> usize {
        3
    }

    fn pin(&self) -> usize {
        unreachable!("page tables get their frames from elsewhere")
    }

    fn unpin(&self) {}

    fn flush(&self, cpus: CpuSet, root: Frame, scope: Scope) {
        self.flushed.lock().unwrap().push((cpus, root, scope));
    }

    fn wait(&self, _: &AtomicU32, _: u32) {
        unreachable!("page tables do not wait")
    }

    fn wake(&self, _: &AtomicU32) {}
}

// SAFETY: the kernel root is complete from the start; nothing is cached.
unsafe impl TableMachine for Bare {
    fn kernel_root(&self) -> Option<Frame> {
        self.kernel_root
    }

    fn set_root(&self, root: Frame) {
        self.root.store(root.0, Relaxed);
    }
}
