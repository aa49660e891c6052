//! The end of a request.

use crate::error::PagerError;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::object::ObjectBody;
use crate::page::{BUSY, DIRTY, LONE, WRITING};
use crate::pager::io::{Direction, Io, MOST, Target};
use crate::pager::tracks::Span;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Tells how a request ended. May be called from within the pager's function or at any later
    /// time, on any thread that holds no lock of the manager.
    ///
    /// Pages that could not be read are dropped again, and each is tried alone when it is needed
    /// next; where it was alone already, whoever waits for it gets the error. Pages that could not
    /// be written stay dirty, and are tried alone by the next sync or pass of write-back; the error
    /// is told to the next sync.
    pub fn io_done(&self, io: Io<M>, result: Result<(), PagerError>) {
        self.finish(&io, result);
    }

    /// The same, once, of a request that nobody looks at again.
    pub(super) fn finish(&self, io: &Io<M>, result: Result<(), PagerError>) {
        let object = match io.target {
            Target::Object(object) => object,
            Target::Swap { .. } => return self.swap_done(io, result),
        };
        if io.direction == Direction::In && result.is_ok() {
            self.clear_tails(object, io);
        }
        let guard = object.lock(self);
        // Which page is bad is not known where there are several: each is tried alone when it is
        // needed, if that can be remembered.
        let mut told = io.wanted;
        if io.direction == Direction::In
            && io.count > 1
            && let Some(tracks) = object.tracks.get()
        {
            let span = Span {
                first: io.first,
                count: io.count as u32,
            };
            match result {
                Ok(()) => tracks.succeeded(),
                Err(_) => {
                    tracks.failed(span);
                    told = MOST;
                }
            }
        }
        for (i, &frame) in io.frames().iter().enumerate() {
            let Some(page) = self.page(frame) else {
                continue;
            };
            match (io.direction, result) {
                (Direction::In, Ok(())) => {
                    page.clear_flags(BUSY);
                    self.note(page);
                }
                (Direction::In, Err(error)) => {
                    if i == told {
                        page.fail(error);
                    }
                    page.clear_flags(BUSY);
                    // A page that was truncated meanwhile has no owner any more.
                    if i != told && page.is_owned() {
                        self.drop_page(object, io.first + i as u32);
                    }
                }
                (Direction::Out, Ok(())) => {
                    page.clear_flags(WRITING | LONE);
                }
                (Direction::Out, Err(error)) => {
                    let alone = if io.count > 1 { LONE } else { 0 };
                    page.set_flags(DIRTY | alone);
                    object.write_errors.add(error);
                    page.clear_flags(WRITING);
                }
            }
        }
        drop(guard);
        for &frame in io.frames() {
            if let Some(page) = self.page(frame) {
                self.wake(&page);
                self.let_go(page);
            }
        }
        if io.background {
            self.dirty.one_less(&self.machine);
        }
        if result.is_ok() {
            self.more_may_leave();
        }
        self.release_object(object);
    }

    /// Fills with zeros what lies beyond the end of the object: the pages are busy, nobody sees
    /// them.
    fn clear_tails(&self, object: Ptr<ObjectBody<M>>, io: &Io<M>) {
        let size = object.size.get();
        let begin = u64::from(io.first) * crate::PAGE_SIZE as u64;
        let bytes = io.bytes.min(size.saturating_sub(begin) as usize);
        for (i, &frame) in io.frames().iter().enumerate() {
            let valid = io.valid(bytes, i);
            if valid < crate::PAGE_SIZE {
                self.frames
                    .clear(&self.machine, frame, valid..crate::PAGE_SIZE);
            }
        }
    }
}
