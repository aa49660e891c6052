//! Large pages for programs' private memory: for which of it they are wanted, and the thread that joins pages
//! so that one maps them, as Linux's khugepaged does.

use scalvm::LargePages;

use super::VM;
use crate::arch::time::{SECOND, now_ns};
use crate::task::{State, WaitQueue};

/// How often the thread looks, and at how much: as khugepaged does unless told otherwise, every ten seconds at
/// 4096 pages.
const PERIOD: u64 = 10 * SECOND;
const RANGES: usize = 8;

/// The thread waits here until somebody wants large pages.
static UNWANTED: WaitQueue = WaitQueue::new();

/// Follows the boot option `transparent_hugepage`; unknown values change nothing.
pub fn configure(value: &[u8]) {
    match value {
        b"always" => VM.set_large_pages(LargePages::Always),
        b"madvise" => VM.set_large_pages(LargePages::Asked),
        b"never" => VM.set_large_pages(LargePages::Never),
        _ => {}
    }
}

/// Somebody has asked for large pages.
pub fn asked() {
    UNWANTED.wake_all();
}

/// The thread. A machine on which nobody asks need not wake up.
pub extern "C" fn join_pages() -> ! {
    if VM.large_pages() != LargePages::Always {
        UNWANTED.wait((), State::Uninterruptible, None);
    }
    let alarm = WaitQueue::new();
    loop {
        alarm.wait((), State::Uninterruptible, Some(now_ns() + PERIOD));
        VM.join_some(RANGES);
    }
}
