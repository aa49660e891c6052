//! [`TableArena`]: frames for page tables, where there is no manager to ask.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use scalvm::{Frame, LockEvent, Machine, Rank, TableFrames};

use crate::machine::{Emulated, lock};

/// Frames of an [`Emulated`] machine, for page tables and for what they map.
pub struct TableArena {
    machine: Emulated,
    frames: Range<Frame>,
    words: Vec<AtomicU64>,
    state: Mutex<State>,
}

struct State {
    free: Vec<Frame>,
    /// Frames that [`TableFrames::alloc`] has given.
    tables: HashSet<Frame>,
}

impl TableArena {
    /// All these frames are free.
    pub fn new(machine: &Emulated, frames: Range<Frame>) -> TableArena {
        let free: Vec<Frame> = (frames.start.0..frames.end.0).rev().map(Frame).collect();
        TableArena {
            machine: machine.clone(),
            words: free.iter().map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(State {
                free,
                tables: HashSet::new(),
            }),
            frames,
        }
    }

    /// Takes a frame that is not to be a table.
    pub fn take(&self) -> Option<Frame> {
        lock(&self.state).free.pop()
    }

    /// Gives back a frame that [`take`](TableArena::take) gave.
    pub fn give(&self, frame: Frame) {
        lock(&self.state).free.push(frame);
    }

    /// A manager would take its lock of free frames now: whoever calls must be allowed to.
    fn note_lock(&self) {
        self.machine.lock_event(LockEvent::Acquire, Rank::Frames);
        self.machine.lock_event(LockEvent::Release, Rank::Frames);
    }

    /// Frames that are tables now.
    pub fn tables(&self) -> usize {
        lock(&self.state).tables.len()
    }
}

impl TableFrames for TableArena {
    fn alloc(&self) -> Option<Frame> {
        self.note_lock();
        if !self.machine.may_allocate() {
            return None;
        }
        let mut state = lock(&self.state);
        let frame = state.free.pop()?;
        state.tables.insert(frame);
        drop(state);
        self.machine.zero_frame(frame);
        Some(frame)
    }

    fn free(&self, frame: Frame) {
        self.note_lock();
        assert_eq!(
            self.word(frame).load(Relaxed),
            0,
            "the word of a table that is freed"
        );
        let mut state = lock(&self.state);
        assert!(
            state.tables.remove(&frame),
            "{frame:?} is freed and is not a table"
        );
        state.free.push(frame);
    }

    fn word(&self, frame: Frame) -> &AtomicU64 {
        assert!(self.frames.contains(&frame), "{frame:?} is not from here");
        &self.words[(frame.0 - self.frames.start.0) as usize]
    }
}
