//! [`Pager`]: who has the pages of objects.

use crate::machine::Machine;
use crate::pager::Io;
use crate::pager::io::MOST;
use crate::vm::Vm;

/// Where the pages of objects come from and go to: a file system, a block device, a thread, or a
/// computation. This is UVM's get and put. One pager may serve many objects: the request's cookie tells
/// which.
///
/// The functions are called with no lock of the manager held, on the thread that faults or syncs.
/// They begin a request and see to it that it reaches [`Vm::io_done`] exactly once: before they
/// return, or later, on any thread. A kernel whose drivers wait for the device may simply do so. Who keeps
/// requests, for another thread to answer, makes each a [`Request`](crate::Request), which is answered even
/// if that thread ends.
///
/// A pager of one's own, whose pages are computed:
///
/// ```
/// use scalvm::{Io, Machine, PAGE_SIZE, Pager, Request, Vm};
///
/// /// Each word of the object is the square of its number.
/// struct Squares;
///
/// impl<M: Machine> Pager<M> for Squares {
///     fn read_pages(&self, vm: &Vm<M>, io: Io<M>) {
///         let mut request = Request::new(vm, io);
///         let words = request.io().frames().len() * PAGE_SIZE / 8;
///         let first = request.io().index() * (PAGE_SIZE / 8) as u64;
///         for n in 0..words {
///             let square = (first + n as u64).pow(2);
///             request.fill(8 * n, &square.to_le_bytes());
///         }
///         request.done(Ok(()));
///     }
///
///     fn write_pages(&self, vm: &Vm<M>, io: Io<M>) {
///         // Nothing is kept: what was changed is computed anew when it is next needed.
///         Request::new(vm, io).done(Ok(()));
///     }
/// }
/// ```
///
/// [`Vm::new_vnode`] makes objects of it. `scalvm_testkit::pagers` has this one in use, and one that is a
/// thread.
pub trait Pager<M: Machine>: Sync {
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
