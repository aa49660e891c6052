//! How much memory may be promised to programs, in the terms of /proc/sys/vm.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use scalvm::Commit;

use super::VM;
use crate::fs::swap;
use crate::linux::Errno;

/// What is refused is what cannot be, by itself.
const HEURISTIC: u32 = 0;
/// Nothing is refused.
const ALWAYS: u32 = 1;
/// All promises together have a limit.
const STRICT: u32 = 2;

static MODE: AtomicU32 = AtomicU32::new(HEURISTIC);
/// The part of memory that counts for the limit, in percent; all of swap does.
static RATIO: AtomicU32 = AtomicU32::new(50);

/// The mode, by Linux's numbers.
pub fn mode() -> u32 {
    MODE.load(Relaxed)
}

/// The part of memory that counts for the limit, in percent.
pub fn ratio() -> u32 {
    RATIO.load(Relaxed)
}

/// Changes the mode. EINVAL if there is none of this number.
pub fn set_mode(mode: u32) -> Result<(), Errno> {
    if mode > STRICT {
        return Err(Errno::EINVAL);
    }
    MODE.store(mode, Relaxed);
    apply();
    Ok(())
}

/// Changes the part of memory that counts.
pub fn set_ratio(percent: u32) {
    RATIO.store(percent, Relaxed);
    apply();
}

/// The limit of the strict mode, in pages.
pub fn limit() -> u64 {
    let (swap_pages, _) = swap::totals();
    swap_pages + VM.stats().frames_total * u64::from(ratio()) / 100
}

/// Tells the manager. To be called whenever memory or swap has become more or less.
pub fn apply() {
    VM.set_commit(match mode() {
        ALWAYS => Commit::Always,
        STRICT => Commit::Strict {
            limit_pages: limit(),
        },
        _ => Commit::Heuristic,
    });
}
