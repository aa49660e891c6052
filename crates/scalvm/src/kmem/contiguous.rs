//! Frames in a row for the kernel and its devices: [`Vm::alloc_frames`].
//!
//! A row is cut out of a block of the free lists, which is aligned to its size; what is too much of it
//! goes back at once (`page/run.rs`). So a row of n frames is aligned to the next power of two, and
//! for the same reason lies across no multiple of a power of two that is not smaller than n.

use crate::addr::Frame;
use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::State;
use crate::vm::Vm;

/// Where frames must lie that a device is to reach. Numbers are of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLimits {
    /// All of them are below this one.
    pub below: Option<Frame>,
    /// The first is a multiple of this, a power of two.
    pub align: u64,
    /// They lie across no multiple of this, a power of two; zero: across any.
    pub boundary: u64,
}

impl FrameLimits {
    /// Anywhere.
    pub const NONE: FrameLimits = FrameLimits {
        below: None,
        align: 1,
        boundary: 0,
    };

    /// Below a frame.
    pub const fn below(frame: Frame) -> FrameLimits {
        FrameLimits {
            below: Some(frame),
            ..FrameLimits::NONE
        }
    }
}

impl<M: Machine> Vm<M> {
    /// So many frames that follow each other, of undefined contents, until
    /// [`free_frames`](Vm::free_frames); aligned to the next power of two at least. Does not block.
    ///
    /// [`OutOfMemory`] also for what no memory could satisfy: no frames, or more than 1024; an
    /// alignment beyond that; a boundary within the row; alignment or boundary not a power of two.
    pub fn alloc_frames(&self, count: usize, limits: &FrameLimits) -> Result<Frame, OutOfMemory> {
        let FrameLimits {
            below,
            align,
            boundary,
        } = *limits;
        let frames = u32::try_from(count).ok().filter(|&count| count != 0);
        let frames = frames.ok_or(OutOfMemory)?;
        let crossed = boundary != 0 && (!boundary.is_power_of_two() || boundary < count as u64);
        if !align.is_power_of_two() || crossed || !self.machine.may_allocate() {
            return Err(OutOfMemory);
        }
        let (machine, state) = (&self.machine, State::Kernel);
        let first = match (below, align) {
            (None, 1) => self.frames.take_run(machine, frames, state),
            _ => self
                .frames
                .take_run_within(machine, frames, align, below, state),
        };
        Ok(first.ok_or(OutOfMemory)?.frame())
    }

    /// Takes frames back.
    ///
    /// # Safety
    ///
    /// They came from [`alloc_frames`](Vm::alloc_frames), as many as were asked for, and nobody uses
    /// them any more.
    pub unsafe fn free_frames(&self, first: Frame, count: usize) {
        debug_assert_ne!(count, 0, "no frames are freed");
        if let Some(page) = self.frames.page(first) {
            self.frames.free_run(&self.machine, page, count as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::Random;
    use crate::tests::manager;

    #[test]
    fn rows_lie_where_they_must_and_go_back_whole() {
        let vm = manager(3000);
        let start = vm.machine().frame(0).0;
        let free = vm.stats().frames_free;
        let mut random = Random(3);
        let mut held: Vec<(Frame, usize)> = Vec::new();
        let mut used = 0;
        for step in 0..3000 {
            if random.below(100) < if step / 300 % 2 == 0 { 40 } else { 60 } && !held.is_empty() {
                let (first, count) = held.swap_remove(random.below(held.len()));
                // SAFETY: it is nobody's any more.
                unsafe { vm.free_frames(first, count) };
                used -= count as u64;
            } else {
                let count = 1 + random.below(20);
                let mut limits = FrameLimits::NONE;
                limits.align = 1 << random.below(7);
                if random.below(2) == 0 {
                    limits.below = Some(Frame(start + random.below(3000) as u64));
                }
                if random.below(2) == 0 {
                    limits.boundary = (count.next_power_of_two() as u64) << random.below(3);
                }
                if let Ok(first) = vm.alloc_frames(count, &limits) {
                    let end = first.0 + count as u64;
                    assert_eq!(first.0 % limits.align, 0);
                    assert!(limits.below.is_none_or(|below| end <= below.0));
                    let boundary = limits.boundary.max(1);
                    let crosses = first.0 / boundary != (end - 1) / boundary;
                    assert!(limits.boundary == 0 || !crosses, "{first:?} {limits:?}");
                    let apart = |&(other, len): &(Frame, usize)| {
                        other.0 + len as u64 <= first.0 || end <= other.0
                    };
                    assert!(held.iter().all(apart));
                    held.push((first, count));
                    used += count as u64;
                }
            }
            assert_eq!(
                vm.stats().frames_free,
                free - used,
                "the tail is given back"
            );
            if step % 64 == 0 {
                vm.check_invariants();
            }
        }
        for (first, count) in held {
            // SAFETY: it is nobody's any more.
            unsafe { vm.free_frames(first, count) };
        }
        assert_eq!(vm.stats().frames_free, free);
        vm.check_invariants();
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let vm = manager(3000);
        let free = vm.stats().frames_free;
        let limits = |align, boundary| FrameLimits {
            below: None,
            align,
            boundary,
        };
        for (count, limits) in [
            (0, FrameLimits::NONE),
            (1025, FrameLimits::NONE),
            (usize::MAX, FrameLimits::NONE),
            (1, FrameLimits::below(vm.machine().frame(0))),
            (1, limits(0, 0)),
            (1, limits(3, 0)),
            (1, limits(2048, 0)),
            (1, limits(1 << 63, 0)),
            (9, limits(1, 8)),
            (1, limits(1, 3)),
        ] {
            assert_eq!(
                vm.alloc_frames(count, &limits),
                Err(OutOfMemory),
                "{limits:?}"
            );
        }
        vm.machine().allow(0);
        assert!(vm.alloc_frames(1, &FrameLimits::NONE).is_err());
        assert!(vm.alloc_frames(5, &limits(16, 16)).is_err());
        vm.machine().allow_all();
        assert_eq!(vm.stats().frames_free, free);
        // The limit is that of the row, not of the block it is cut from.
        let below = vm.machine().frame(0).0.next_multiple_of(64) + 64 + 3;
        let limits = FrameLimits {
            below: Some(Frame(below)),
            ..limits(64, 0)
        };
        assert_eq!(vm.alloc_frames(3, &limits), Ok(Frame(below - 3)));
        vm.check_invariants();
    }
}
