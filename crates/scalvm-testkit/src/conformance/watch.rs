//! [`Watch`]: the port's source of tables, watched.
//!
//! Safety rule 3: a table is freed through a debt or by `destroy`. A frame that was allocated
//! within the same call may be given back by it, since no link has led to it.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use scalvm::{Frame, TableFrames};

/// What has been seen of a source of tables.
#[derive(Default)]
struct Seen {
    /// Frames that were allocated and not freed, and whether that was within this call.
    live: HashSet<Frame>,
    /// Those of them that were allocated within this call.
    fresh: HashSet<Frame>,
    /// Whether tables may be freed now.
    may_free: bool,
    /// How many more allocations succeed, if there is a limit.
    left: Option<usize>,
    allocations: usize,
}

/// A source of tables, watched.
pub(super) struct Watch<'a, T> {
    tables: &'a T,
    seen: Mutex<Seen>,
}

impl<'a, T: TableFrames> Watch<'a, T> {
    pub fn new(tables: &'a T) -> Watch<'a, T> {
        Watch {
            tables,
            seen: Mutex::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins, in which tables may be freed, or not.
    pub fn begin(&self, may_free: bool) {
        let mut seen = self.seen();
        seen.may_free = may_free;
        seen.fresh.clear();
    }

    /// Lets so many more allocations succeed, or all.
    pub fn allow(&self, allocations: Option<usize>) {
        self.seen().left = allocations;
    }

    /// Allocations tried so far.
    pub fn allocations(&self) -> usize {
        self.seen().allocations
    }

    /// Frames that are tables now.
    pub fn live(&self) -> usize {
        self.seen().live.len()
    }
}

impl<T: TableFrames> TableFrames for Watch<'_, T> {
    fn alloc(&self) -> Option<Frame> {
        let mut seen = self.seen();
        seen.allocations += 1;
        if let Some(left) = seen.left {
            seen.left = Some(left.checked_sub(1)?);
        }
        drop(seen);
        let frame = self.tables.alloc()?;
        let mut seen = self.seen();
        seen.live.insert(frame);
        seen.fresh.insert(frame);
        Some(frame)
    }

    fn free(&self, frame: Frame) {
        let mut seen = self.seen();
        assert!(
            seen.live.remove(&frame),
            "{frame:?} is freed and is not a table"
        );
        let unused = seen.fresh.remove(&frame);
        assert!(
            unused || seen.may_free,
            "{frame:?} is freed, but not through a debt"
        );
        drop(seen);
        self.tables.free(frame);
    }

    fn word(&self, frame: Frame) -> &AtomicU64 {
        self.tables.word(frame)
    }
}
