//! Pagers bring pages in and put them back.
//!
//! Pages are brought and put in clusters of neighbours, each cluster as one [`Io`]. The pages of a
//! request are *busy* for as long as it runs, and no lock is held: whoever needs such a page waits,
//! see [`Ticket`](crate::Ticket). The request holds the object and its pages, so both may be
//! truncated, unmapped or given up meanwhile.
//!
//! The vnode pager stands between the objects and the file systems: `bring` is its get_pages, `put`
//! its put_pages (NetBSD's names), and a [`Pager`] is what a file system adds. `tracks` and `stream`
//! find out what will be needed next, and `ahead` reads it; `dirty` knows which objects may have
//! something to put, and `writeback` puts it without being asked for by name.

mod ahead;
mod back;
mod backing;
mod bring;
mod compress;
mod dirty;
mod done;
mod errors;
mod interface;
mod io;
mod put;
mod stream;
mod swap;
mod swapped;
mod taken;
mod tracks;
mod writeback;

pub use compress::{Codec, CompressorStats};
pub use interface::Pager;
pub use io::Io;
pub use stream::Stream;
pub use swap::{Cipher, SwapError, SwapId, SwapInfo, SwapOptions};
pub use taken::Request;

pub(crate) use ahead::Ahead;
pub(crate) use back::{FIRST_WINDOW, Return, SwapRead};
pub(crate) use backing::{Backing, Handle};
pub(crate) use bring::Bring;
#[cfg(test)]
pub(crate) use compress::tests::Runs;
pub(crate) use compress::{Compressor, Put, Spill};
pub(crate) use dirty::{DirtyMark, DirtyObjects};
pub(crate) use errors::WriteErrors;
pub(crate) use io::{Direction, MOST};
pub(crate) use swap::{Slot, Swap};
pub(crate) use tracks::Tracks;
