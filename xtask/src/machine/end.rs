//! How a guest ended.

use std::time::Duration;

use signal_hook::consts::SIGPIPE;

use crate::{FAILED, say};

/// The status when the time was up, as of timeout(1).
const TIMED_OUT: u8 = 124;

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The first process ended with this status (128 and the signal's number, if by a signal).
    Exited(u8),
    /// The kernel failed: why, and where, line by line.
    Crashed {
        /// What happened, in one line.
        what: String,
        /// A backtrace.
        trace: Vec<String>,
    },
    /// It ran longer than it might.
    TimedOut {
        /// The time that it had.
        after: Duration,
        /// Where it was.
        trace: Vec<String>,
    },
    /// The user left it by Ctrl-A x.
    Left,
    /// This tool was told to end by a signal, or nobody takes the output any more (SIGPIPE).
    Signalled(i32),
}

impl End {
    /// The status that tells of it.
    pub fn status(&self) -> u8 {
        match self {
            Self::Exited(status) => *status,
            Self::Crashed { .. } => FAILED,
            Self::TimedOut { .. } => TIMED_OUT,
            Self::Left => 0,
            Self::Signalled(signal) => 128 + (*signal as u8 & 0x7f),
        }
    }

    /// Tells of it on standard error, unless there is nothing to tell.
    pub fn tell(&self) {
        let (what, trace) = match self {
            Self::Exited(_) | Self::Left | Self::Signalled(SIGPIPE) => return,
            Self::Signalled(signal) => (format!("ended by signal {signal}"), &[][..]),
            Self::Crashed { what, trace } => (what.clone(), &trace[..]),
            Self::TimedOut { after, trace } => (
                format!("the guest was ended after {} seconds", after.as_secs()),
                &trace[..],
            ),
        };
        say::note(what);
        for line in trace {
            say::line(line);
        }
    }
}
