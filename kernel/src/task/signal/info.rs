//! [`SigInfo`]: what a handler is told about a signal.

use linux_raw_sys::general::{SI_KERNEL, SI_TKILL, SI_USER};

use crate::task::Pid;

/// Bytes of Linux's siginfo.
pub const SIZE: usize = 128;

/// What a handler is told: the parts of Linux's siginfo that are ever set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigInfo {
    /// The signal.
    pub signal: u32,
    /// Why: one of the SI_, SEGV_, CLD_ … values.
    pub code: i32,
    /// The address of a fault; or process and user number, 32 bits each.
    pub first: u64,
    /// A child's status, or the value sent along.
    pub second: u64,
}

impl SigInfo {
    /// A fault of the program.
    pub fn fault(signal: u32, code: i32, address: usize) -> SigInfo {
        SigInfo {
            signal,
            code,
            first: address as u64,
            second: 0,
        }
    }

    /// Sent by the kernel.
    pub fn kernel(signal: u32) -> SigInfo {
        SigInfo {
            signal,
            code: SI_KERNEL as i32,
            first: 0,
            second: 0,
        }
    }

    /// Sent by kill(2).
    pub fn user(signal: u32, from: Pid) -> SigInfo {
        SigInfo {
            signal,
            code: SI_USER as i32,
            first: from as u64,
            second: 0,
        }
    }

    /// Sent by tkill(2).
    pub fn thread(signal: u32, from: Pid) -> SigInfo {
        SigInfo {
            signal,
            code: SI_TKILL,
            first: from as u64,
            second: 0,
        }
    }

    /// A child has news.
    pub fn child(signal: u32, code: u32, pid: Pid, status: i32) -> SigInfo {
        SigInfo {
            signal,
            code: code as i32,
            first: pid as u64,
            second: status as u32 as u64,
        }
    }

    /// As the program sees it.
    pub fn to_words(self) -> [u64; SIZE / 8] {
        let mut words = [0; SIZE / 8];
        words[0] = u64::from(self.signal);
        words[1] = u64::from(self.code as u32);
        words[2] = self.first;
        words[3] = self.second;
        words
    }

    /// What a program sends along with a signal.
    pub fn from_words(signal: u32, words: [u64; 4]) -> SigInfo {
        SigInfo {
            signal,
            code: words[1] as u32 as i32,
            first: words[2],
            second: words[3],
        }
    }
}
