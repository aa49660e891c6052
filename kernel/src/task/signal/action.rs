//! [`Action`]: what a process does with a signal.

use linux_raw_sys::general::{
    SA_NOCLDWAIT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};

use super::set::{LAST, SigSet};

/// The default of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Default {
    /// The process ends.
    End,
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// The process goes on.
    GoOn,
}

/// What a signal does if the process has not said anything else.
pub fn default(signal: u32) -> Default {
    match signal {
        SIGCHLD | SIGURG | SIGWINCH => Default::Ignore,
        SIGCONT => Default::GoOn,
        SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => Default::Stop,
        _ => Default::End,
    }
}

/// What a process does with a signal, as Linux's sigaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Action {
    /// The handler's address, or one of the two below.
    pub handler: usize,
    /// SA_ flags.
    pub flags: usize,
    /// Where a handler returns to.
    pub restorer: usize,
    /// Signals that are held back while the handler runs.
    pub mask: SigSet,
}

impl Action {
    /// What the signal does by default.
    pub const DEFAULT: usize = 0;
    /// Nothing.
    pub const IGNORE: usize = 1;
    const INITIAL: Action = Action {
        handler: Action::DEFAULT,
        flags: 0,
        restorer: 0,
        mask: SigSet::EMPTY,
    };

    /// Whether the signal does nothing.
    pub fn ignores(&self, signal: u32) -> bool {
        match self.handler {
            Action::IGNORE => true,
            Action::DEFAULT => default(signal) == Default::Ignore,
            _ => false,
        }
    }

    /// Whether a handler is called.
    pub fn calls(&self) -> bool {
        self.handler > Action::IGNORE
    }

    /// Whether children that end leave no status, where this is what is done with SIGCHLD.
    pub fn reaps_children(&self) -> bool {
        self.handler == Action::IGNORE || self.flags & SA_NOCLDWAIT as usize != 0
    }
}

/// What a process does with all signals.
#[derive(Clone)]
pub struct Actions([Action; LAST as usize]);

impl Actions {
    /// The defaults.
    pub const fn new() -> Actions {
        Actions([Action::INITIAL; LAST as usize])
    }

    /// What it does with this one.
    #[inline(always)]
    pub fn get(&self, signal: u32) -> Action {
        self.0[signal as usize - 1]
    }

    /// Changes what it does with this one.
    pub fn set(&mut self, signal: u32, action: Action) {
        self.0[signal as usize - 1] = action;
    }

    /// What a new program starts with: no handlers, but what was ignored still is.
    pub fn for_exec(&self) -> Actions {
        let mut actions = Actions::new();
        for (new, old) in actions.0.iter_mut().zip(&self.0) {
            if old.handler == Action::IGNORE {
                new.handler = Action::IGNORE;
            }
        }
        actions
    }
}
