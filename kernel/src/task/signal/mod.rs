//! Signals: what is sent, what a process does with it, and how a handler is called.
//!
//! Files: `set`, `info`, `action`, `pending` (what they are), `send`, `act` (what happens before
//! the return to a program), `frame` (what a handler finds on its stack).

mod act;
mod action;
mod frame;
mod info;
mod pending;
mod send;
mod set;

pub(super) use act::act;
pub use action::Action;
pub(super) use action::Actions;
pub use frame::{AltStack, FaultContext, sigreturn};
pub use info::SigInfo;
pub(super) use pending::Pending;
pub use send::{
    fault_signal, post_to_group, post_to_process, post_to_thread, signal_current, signal_group,
};
pub(super) use send::{stop, tell_parent};
pub use set::SigSet;
