//! The end of a request to a swap device.

use crate::error::PagerError;
use crate::machine::Machine;
use crate::page::{BUSY, DIRTY, WRITING};
use crate::pager::io::{Direction, Io};
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Tells how a request to a swap device ended. Who has the pages is not known, so no object is
    /// locked: whoever waits for such a page reads the word to wait on before the flags, see
    /// [`Ticket`](crate::Ticket).
    pub(crate) fn swap_done(&self, io: Io<M>, result: Result<(), PagerError>) {
        for &frame in io.frames() {
            let Some(page) = self.page(frame) else {
                continue;
            };
            match (io.direction, result) {
                (_, Ok(())) => {}
                (Direction::In, Err(error)) => page.fail(error),
                (Direction::Out, Err(_)) => {
                    page.set_flags(DIRTY);
                }
            }
            page.clear_flags(BUSY | WRITING);
            self.wake(&page);
            self.let_go(page);
        }
    }
}
