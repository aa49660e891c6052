//! How often programs have made each system call, how often it failed, and with which error last.
//!
//! There is one processor, and what interrupts a call makes none: a count is loaded and stored, with no
//! locked instruction. `/proc/syscalls` shows them.

mod names;

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::Errno;

/// What is known of a call.
struct Call {
    made: AtomicU64,
    failed: AtomicU64,
    /// The error of the one that failed last, 0 before any has.
    error: AtomicU32,
}

static CALLS: [Call; names::END] = [const {
    Call {
        made: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        error: AtomicU32::new(0),
    }
}; names::END];

#[inline(always)]
fn add_one(count: &AtomicU64) {
    count.store(count.load(Relaxed) + 1, Relaxed);
}

/// Counts a call that begins. One that a signal interrupts and that is made again counts each time.
#[inline(always)]
pub fn made(number: usize) {
    if let Some(call) = CALLS.get(number) {
        add_one(&call.made);
    }
}

/// Counts that it failed.
#[inline]
pub fn failed(number: usize, error: Errno) {
    if let Some(call) = CALLS.get(number) {
        add_one(&call.failed);
        call.error.store(error.0 as u32, Relaxed);
    }
}

/// Shows those that were made: name, how often, how often it failed, and the last error.
pub fn for_each(mut each: impl FnMut(&'static str, u64, u64, u32)) {
    for (number, name) in names::all() {
        let call = &CALLS[number];
        let made = call.made.load(Relaxed);
        if made > 0 {
            each(
                name,
                made,
                call.failed.load(Relaxed),
                call.error.load(Relaxed),
            );
        }
    }
}
