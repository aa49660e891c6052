//! The bytes of frames, through the direct map.
//!
//! A program that maps a frame may change its bytes at any time, so no reference to them is
//! made; a copy that is torn by such a change is what the program asked for. The exception is
//! [`Frames::with_bytes`], for frames that no program maps.

use core::ops::Range;
use core::ptr;

use super::Frames;
use crate::addr::{Frame, PAGE_SIZE};
use crate::machine::Machine;

impl Frames {
    /// Fills a part of a frame with zeros. The caller holds the frame.
    pub fn clear<M: Machine>(&self, machine: &M, frame: Frame, part: Range<usize>) {
        assert!(part.start <= part.end && part.end <= PAGE_SIZE);
        // SAFETY: Machine's duty 1: PAGE_SIZE bytes, and the part lies within (asserted).
        unsafe { ptr::write_bytes(machine.frame_ptr(frame).add(part.start), 0, part.len()) }
    }

    /// Copies bytes from a place in one frame to one in another, or the same. The caller holds both.
    pub fn copy<M: Machine>(
        &self,
        machine: &M,
        (from, at): (Frame, usize),
        (to, offset): (Frame, usize),
        len: usize,
    ) {
        assert!(at <= PAGE_SIZE && offset <= PAGE_SIZE && len <= PAGE_SIZE - at.max(offset));
        let (from, to) = (machine.frame_ptr(from), machine.frame_ptr(to));
        // SAFETY: Machine's duty 1, and the parts lie within (asserted); they may overlap.
        unsafe { ptr::copy(from.add(at), to.add(offset), len) }
    }

    /// Copies bytes out of a frame from an offset on. The caller holds the frame.
    pub fn read<M: Machine>(&self, machine: &M, frame: Frame, offset: usize, buf: &mut [u8]) {
        assert!(offset <= PAGE_SIZE && buf.len() <= PAGE_SIZE - offset);
        let from = machine.frame_ptr(frame);
        // SAFETY: Machine's duty 1, and the part lies within (asserted); `buf` is the caller's
        // alone.
        unsafe { ptr::copy_nonoverlapping(from.add(offset), buf.as_mut_ptr(), buf.len()) }
    }

    /// Copies bytes into a frame at an offset. The caller holds the frame.
    pub fn write<M: Machine>(&self, machine: &M, frame: Frame, offset: usize, buf: &[u8]) {
        assert!(offset <= PAGE_SIZE && buf.len() <= PAGE_SIZE - offset);
        let to = machine.frame_ptr(frame);
        // SAFETY: Machine's duty 1, and the part lies within (asserted); nothing of the caller's
        // lies in a frame of the manager's.
        unsafe { ptr::copy_nonoverlapping(buf.as_ptr(), to.add(offset), buf.len()) }
    }

    /// Runs `f` over the bytes of a frame that nobody else uses meanwhile: it is busy or new, no
    /// program maps it, and no request runs for it.
    pub fn with_bytes<M: Machine, R>(
        &self,
        machine: &M,
        frame: Frame,
        f: impl FnOnce(&mut [u8; PAGE_SIZE]) -> R,
    ) -> R {
        // SAFETY: Machine's duty 1: PAGE_SIZE bytes; the caller's alone, see above.
        f(unsafe { &mut *machine.frame_ptr(frame).cast::<[u8; PAGE_SIZE]>() })
    }
}
