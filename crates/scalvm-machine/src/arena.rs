//! Physical memory: runs of frames, each an aligned block of the host's memory.
//!
//! The bytes are shared by the manager, the MMU and the programs on all processors. What belongs to
//! this crate touches them by relaxed atomic accesses only.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};

use scalvm::{Frame, PAGE_SIZE};

/// One run of frames.
struct Block {
    frames: Range<Frame>,
    memory: *mut u8,
}

/// All physical memory.
pub(crate) struct Arena {
    blocks: Vec<Block>,
}

// SAFETY: the blocks are plain memory that lives as long as the arena; who uses which frame is
// settled by the manager under test.
unsafe impl Send for Arena {}
// SAFETY: as for Send.
unsafe impl Sync for Arena {}

impl Arena {
    pub fn new(runs: impl Iterator<Item = Range<Frame>>) -> Arena {
        let mut arena = Arena { blocks: Vec::new() };
        for frames in runs {
            assert!(!frames.is_empty(), "a run of no frames");
            let overlaps = |b: &Block| b.frames.start < frames.end && frames.start < b.frames.end;
            assert!(
                !arena.blocks.iter().any(overlaps),
                "runs of frames overlap: {frames:?}"
            );
            let layout = layout(&frames);
            // SAFETY: the layout is not empty.
            let memory = unsafe { alloc_zeroed(layout) };
            if memory.is_null() {
                handle_alloc_error(layout);
            }
            arena.blocks.push(Block { frames, memory });
        }
        arena
    }

    /// Where a frame's bytes are.
    pub fn frame(&self, frame: Frame) -> *mut u8 {
        for block in &self.blocks {
            if block.frames.contains(&frame) {
                let offset = (frame.0 - block.frames.start.0) as usize * PAGE_SIZE;
                // SAFETY: inside of the block.
                return unsafe { block.memory.add(offset) };
            }
        }
        panic!("machine check: there is no memory at frame {:#x}", frame.0);
    }

    /// A frame as 8-byte words.
    pub fn words(&self, frame: Frame) -> &[AtomicU64] {
        let words = self.frame(frame).cast::<AtomicU64>();
        // SAFETY: aligned, PAGE_SIZE bytes, and lives as long as the arena. All who share the
        // frame's bytes access them atomically, or own the frame.
        unsafe { std::slice::from_raw_parts(words, PAGE_SIZE / 8) }
    }

    /// The `index`-th word of a frame.
    pub fn word(&self, frame: Frame, index: usize) -> &AtomicU64 {
        &self.words(frame)[index]
    }

    fn byte(&self, frame: Frame, offset: usize) -> &AtomicU8 {
        assert!(offset < PAGE_SIZE);
        // SAFETY: as in `words`.
        unsafe { &*self.frame(frame).cast::<AtomicU8>().add(offset) }
    }

    /// Copies bytes out of a frame.
    pub fn read(&self, frame: Frame, offset: usize, buf: &mut [u8]) {
        if offset.is_multiple_of(8) && buf.len().is_multiple_of(8) {
            let words = &self.words(frame)[offset / 8..];
            for (chunk, word) in buf.chunks_exact_mut(8).zip(words) {
                chunk.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
            }
        } else {
            for (i, byte) in buf.iter_mut().enumerate() {
                *byte = self.byte(frame, offset + i).load(Relaxed);
            }
        }
    }

    /// Copies bytes into a frame.
    pub fn write(&self, frame: Frame, offset: usize, buf: &[u8]) {
        let (words, rest) = buf.as_chunks::<8>();
        if offset.is_multiple_of(8) && rest.is_empty() {
            for (chunk, word) in words.iter().zip(&self.words(frame)[offset / 8..]) {
                word.store(u64::from_ne_bytes(*chunk), Relaxed);
            }
        } else {
            for (i, byte) in buf.iter().enumerate() {
                self.byte(frame, offset + i).store(*byte, Relaxed);
            }
        }
    }

    /// Fills a frame with zeros.
    pub fn zero(&self, frame: Frame) {
        for word in self.words(frame) {
            word.store(0, Relaxed);
        }
    }

    /// Copies a frame to another.
    pub fn copy(&self, from: Frame, to: Frame) {
        for (from, to) in self.words(from).iter().zip(self.words(to)) {
            to.store(from.load(Relaxed), Relaxed);
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for block in &self.blocks {
            // SAFETY: allocated with this layout in `new`.
            unsafe { dealloc(block.memory, layout(&block.frames)) }
        }
    }
}

fn layout(frames: &Range<Frame>) -> Layout {
    let bytes = (frames.end.0 - frames.start.0) as usize * PAGE_SIZE;
    Layout::from_size_align(bytes, PAGE_SIZE).expect("a run of frames too long for this host")
}
