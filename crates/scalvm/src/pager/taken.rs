//! A request that its pager keeps, to be answered later.

use crate::addr::PAGE_SIZE;
use crate::error::PagerError;
use crate::machine::Machine;
use crate::pager::io::{Io, Target};
use crate::vm::Vm;

/// A request that cannot be lost: dropped without an answer, it fails with [`PagerError::Gone`], which
/// whoever waits for its pages gets. So a pager that is a thread or a program elsewhere puts these into
/// its queue; when it dies, what it had taken and what it had not yet seen end with the queue.
///
/// It is answered without a lock of the manager held, on any thread.
pub struct Request<'v, M: Machine> {
    vm: &'v Vm<M>,
    io: Io<M>,
    answer: Result<(), PagerError>,
}

impl<'v, M: Machine> Request<'v, M> {
    /// Takes a request from [`Pager::read_pages`](crate::Pager::read_pages) or
    /// [`write_pages`](crate::Pager::write_pages) of this manager.
    pub fn new(vm: &'v Vm<M>, io: Io<M>) -> Request<'v, M> {
        Request {
            vm,
            io,
            answer: Err(PagerError::Gone),
        }
    }

    /// What is asked for.
    pub fn io(&self) -> &Io<M> {
        &self.io
    }

    /// Whether anybody can still see the pages: the object has not ended meanwhile, nor lost all of them to
    /// truncation. Another request for the same object counts as somebody. One that is cancelled so must be
    /// answered like any other, however.
    pub fn is_wanted(&self) -> bool {
        match self.io.target {
            Target::Object(object) => {
                let _guard = object.lock(self.vm);
                object.refs() > 1 && self.io.index() < object.pages()
            }
            Target::Swap { .. } => true,
        }
    }

    /// Copies bytes into the pages, from an offset within the request on; those beyond its end are left out.
    pub fn fill(&mut self, offset: usize, bytes: &[u8]) {
        self.pieces(offset, bytes.len(), |vm, frame, within, from, to| {
            vm.frames
                .write(&vm.machine, frame, within, &bytes[from..to]);
        });
    }

    /// Copies bytes out of the pages likewise.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let len = bytes.len();
        self.pieces(offset, len, |vm, frame, within, from, to| {
            vm.frames
                .read(&vm.machine, frame, within, &mut bytes[from..to]);
        });
    }

    /// Calls `f` for the pieces of a span of bytes that lie in one page each.
    fn pieces(
        &self,
        offset: usize,
        len: usize,
        mut f: impl FnMut(&Vm<M>, crate::Frame, usize, usize, usize),
    ) {
        let mut from = 0;
        while from < len {
            let at = offset + from;
            let Some(&frame) = self.io.frames().get(at / PAGE_SIZE) else {
                return;
            };
            let within = at % PAGE_SIZE;
            let to = len.min(from + PAGE_SIZE - within);
            f(self.vm, frame, within, from, to);
            from = to;
        }
    }

    /// Answers it, as [`Vm::io_done`] does.
    pub fn done(mut self, result: Result<(), PagerError>) {
        self.answer = result;
    }
}

impl<M: Machine> Drop for Request<'_, M> {
    fn drop(&mut self) {
        self.vm.finish(&self.io, self.answer);
    }
}
