//! Reading and writing an object's bytes: the one file cache, seen from read(2) and write(2) inside
//! a kernel.

use crate::addr::{Access, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::object::Object;

impl<M: Machine> Object<'_, M> {
    /// Copies bytes out from an offset on, as many as there are up to the end; tells how many.
    /// Every mapping's writes are seen. Blocks for I/O.
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize, FaultError> {
        let room = self.size().saturating_sub(offset);
        let len = buf.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let within = at as usize & PAGE_MASK;
            let n = (len - done).min(PAGE_SIZE - within);
            match self.hold(at >> PAGE_SHIFT, Access::Read) {
                Ok(page) => page.read(within, &mut buf[done..done + n]),
                // The end came nearer since the size was read.
                Err(FaultError::BeyondEnd) => break,
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
            done += n;
        }
        Ok(done)
    }

    /// Copies bytes in at an offset. All must lie within the size: [`set_size`](Object::set_size)
    /// grows it first. Every mapping sees them. Blocks for I/O.
    pub fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), FaultError> {
        let end = offset
            .checked_add(buf.len() as u64)
            .ok_or(FaultError::BeyondEnd)?;
        if end > self.size() {
            return Err(FaultError::BeyondEnd);
        }
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let within = at as usize & PAGE_MASK;
            let n = (buf.len() - done).min(PAGE_SIZE - within);
            let page = self.hold(at >> PAGE_SHIFT, Access::Write)?;
            page.write(within, &buf[done..done + n]);
            done += n;
        }
        Ok(())
    }
}
