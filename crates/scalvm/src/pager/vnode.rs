//! What a file system brings.

use crate::machine::Machine;
use crate::pager::Io;
use crate::pager::io::MOST;
use crate::vm::Vm;

/// Where the pages of objects come from and go to: a file system, a block device, or whoever else has
/// them. This is the manager's pager interface, UVM's get and put. One may serve many objects: the request's
/// cookie tells which. A pager whose pages are computed answers at once; one whose pages another thread has
/// keeps each request as a [`Request`], which is answered even if that thread ends.
///
/// The functions are called with no lock of the manager held, on the thread that faults or syncs.
/// They begin a request and see to it that it reaches [`Vm::io_done`] exactly once: before they
/// return, or later, on any thread. A kernel whose drivers wait for the device may simply do so.
pub trait Vnode<M: Machine>: Sync {
    /// Fills the pages of the request from the backing store (get_pages).
    fn read_pages(&self, vm: &Vm<M>, io: Io<M>);

    /// Writes the pages of the request to the backing store (put_pages): `len_bytes` of them.
    fn write_pages(&self, vm: &Vm<M>, io: Io<M>);

    /// The most pages that a request should have, from 1 to 16.
    fn cluster(&self) -> usize {
        MOST
    }

    /// The object with this cookie is gone. What was dirty and has not been synced is lost: sync
    /// before the last handle is dropped.
    fn released(&self, _cookie: usize) {}
}
