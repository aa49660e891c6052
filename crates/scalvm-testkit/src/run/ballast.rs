//! What keeps memory short: frames that nobody uses.
//!
//! What the manager needs for itself changes with every step; so many frames are held here that the rest, free
//! or used for pages, are as many as there is to be room for. When memory is really short for an operation,
//! some are given back, for that step.

use scalvm::{Frame, FrameLimits};

use crate::kit::{Kit, marks};

/// Frames that are held, in blocks.
pub struct Ballast {
    /// Pages that there is to be room for; none: memory is not to be short.
    room: Option<u64>,
    blocks: Vec<(Frame, u32)>,
}

impl Ballast {
    /// Nothing, and nothing is to be held.
    pub fn none() -> Ballast {
        Ballast {
            room: None,
            blocks: Vec::new(),
        }
    }

    /// All but what there is to be room for.
    pub fn new(kit: &Kit, room: u64) -> Ballast {
        let mut ballast = Ballast {
            room: Some(room),
            ..Ballast::none()
        };
        ballast.adjust(kit);
        ballast
    }

    /// How many pages there is to be room for.
    pub fn room(&self) -> u64 {
        self.room.unwrap_or(u64::MAX)
    }

    /// Changes that, and how much is kept free.
    pub fn set_room(&mut self, kit: &Kit, room: u64) {
        if self.room.is_some() {
            self.room = Some(room);
            kit.vm().set_marks(marks(room, 0));
        }
    }

    /// Takes frames or gives some back, so that there is room for as many pages as there is to be. (Not while an
    /// allocation is to fail: that is for others.)
    pub fn adjust(&mut self, kit: &Kit) {
        let Some(room) = self.room else { return };
        let stats = kit.vm().stats();
        let have = stats.frames_free + stats.frames_anon + stats.frames_file;
        if have < room {
            self.give(kit, room - have);
        } else if !kit.is_failing() {
            let spare = stats.frames_free.saturating_sub(marks(room, 0).high);
            self.take(kit, (have - room).min(spare));
        }
    }

    fn take(&mut self, kit: &Kit, mut frames: u64) {
        let mut order = 6;
        while frames > 0 {
            if 1 << order <= frames
                && let Ok(frame) = kit.vm().alloc_frames(1 << order, &FrameLimits::NONE)
            {
                self.blocks.push((frame, order));
                frames -= 1 << order;
            } else if order == 0 {
                return;
            } else {
                order -= 1;
            }
        }
    }

    /// Gives frames back, at least so many if there are. False if there is none.
    pub fn give(&mut self, kit: &Kit, frames: u64) -> bool {
        let mut given = 0;
        while given < frames {
            // The smallest blocks were taken last.
            let Some((frame, order)) = self.blocks.pop() else {
                break;
            };
            // SAFETY: allocated in `take`, and given back once.
            unsafe { kit.vm().free_frames(frame, 1 << order) };
            given += 1 << order;
        }
        given > 0
    }

    /// Gives all back.
    pub fn end(&mut self, kit: &Kit) {
        self.room = None;
        self.give(kit, u64::MAX);
    }
}
