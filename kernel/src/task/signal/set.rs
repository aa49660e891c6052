//! [`SigSet`]: a set of signals.

use core::ops::{BitOr, BitOrAssign};

use linux_raw_sys::general::{SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};

/// The highest signal.
pub const LAST: u32 = 64;

/// A set of signals, as Linux's programs write it: bit `n - 1` for signal `n`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SigSet(pub u64);

impl SigSet {
    /// None.
    pub const EMPTY: SigSet = SigSet(0);
    /// Those that cannot be held back.
    pub const UNMASKABLE: SigSet = SigSet::of(SIGKILL).with(SIGSTOP);
    /// Those that stop.
    pub const STOPS: SigSet = SigSet::of(SIGSTOP)
        .with(SIGTSTP)
        .with(SIGTTIN)
        .with(SIGTTOU);
    /// The one that lets go on.
    pub const GO_ON: SigSet = SigSet::of(SIGCONT);

    /// One.
    pub const fn of(signal: u32) -> SigSet {
        SigSet(1 << (signal - 1))
    }

    /// One more.
    pub const fn with(self, signal: u32) -> SigSet {
        SigSet(self.0 | SigSet::of(signal).0)
    }

    /// Those that are not in the other.
    pub const fn without(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }

    /// Those that are in both.
    pub const fn and(self, other: SigSet) -> SigSet {
        SigSet(self.0 & other.0)
    }

    /// Whether this one is in it.
    pub const fn contains(self, signal: u32) -> bool {
        self.0 & SigSet::of(signal).0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The one to be handled first: faults, then the lowest.
    pub fn first(self) -> Option<u32> {
        use linux_raw_sys::general::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
        const FAULTS: SigSet = SigSet::of(SIGSEGV)
            .with(SIGBUS)
            .with(SIGILL)
            .with(SIGTRAP)
            .with(SIGFPE)
            .with(SIGSYS);
        let faults = self.and(FAULTS);
        let from = if faults.is_empty() { self } else { faults };
        if from.is_empty() {
            None
        } else {
            Some(from.0.trailing_zeros() + 1)
        }
    }
}

impl BitOr for SigSet {
    type Output = SigSet;
    fn bitor(self, other: SigSet) -> SigSet {
        SigSet(self.0 | other.0)
    }
}

impl BitOrAssign for SigSet {
    fn bitor_assign(&mut self, other: SigSet) {
        self.0 |= other.0;
    }
}
