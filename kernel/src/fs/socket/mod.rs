//! Sockets of the local kind (AF_UNIX): streams, datagrams, and packets in sequence.
//!
//! - [`state`] what a socket is, [`address`] and [`names`] what it is called, [`options`] what can
//!   be asked of it and told to it;
//! - [`connect`] binding, listening, connecting and accepting, [`close`] shutting down and closing;
//! - [`message`] what lies in a receiver's queue, [`send`] and [`receive`] how it comes there and
//!   leaves, [`rights`] the files that come along, [`collect`] what becomes of those that only lie
//!   in queues of each other;
//! - [`io`] the same as a file: read, write, poll, stat.
//!
//! The system calls are in `linux/socket`.
//!
//! Locks: each socket has one for its state, which is held for moments, and never while that of
//! another socket is, nor while a message is let go: with it files may close. The kernel is not
//! preempted, so steps on two sockets with no wait in between are one step.
//!
//! Invariants:
//! 1. A socket has one open file at most; with that it is *closed*, and says so (`closed`).
//! 2. A connected socket's peer names it as its peer in turn, until one of them is closed. For
//!    datagrams that need not hold.
//! 3. `sent` of a socket is what the messages cost that it sent and that are there still.
//! 4. Who has set `reading` alone takes messages out of the queue and looks into its first ones.
//! 5. A socket is in the list of those in flight exactly if files of its own lie in messages.

pub mod address;
mod close;
mod collect;
mod connect;
mod io;
mod message;
mod names;
mod options;
mod receive;
mod rights;
mod send;
mod state;
mod wait;

pub use address::Address;
pub use collect::{collect, released};
pub use connect::{open, open_pair};
pub use message::Credentials;
pub use options::{Flag, Linger};
pub use receive::{Received, Receiving};
pub use rights::{MAX_RIGHTS, Rights};
pub use send::Sending;
pub use state::{Socket, Style};
