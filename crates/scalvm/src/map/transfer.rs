//! Reading and writing the memory of an address space from outside, through the direct map.

use crate::addr::{Access, PAGE_MASK, PAGE_SIZE, page_floor};
use crate::error::FaultError;
use crate::machine::Machine;
use crate::map::Map;
use crate::object::HeldPage;
use crate::page::DIRTY;
use crate::pmap::Pmap;

impl<'v, M: Machine> Map<'v, M> {
    /// Copies bytes out, as far as the address space may read them itself; on an error, the part
    /// before the page that failed has been copied. Blocks for I/O.
    pub fn read(&self, addr: usize, buf: &mut [u8]) -> Result<(), FaultError> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let page = self.hold(at, Access::Read)?;
            let n = rest.len().min(PAGE_SIZE - (at & PAGE_MASK));
            let (now, later) = rest.split_at_mut(n);
            page.read(at & PAGE_MASK, now);
            rest = later;
            at = at.checked_add(n).ok_or(FaultError::NoMapping)?;
        }
        Ok(())
    }

    /// Copies bytes in, as far as the address space may write them itself; on an error, the part
    /// before the page that failed has been copied. Blocks for I/O.
    pub fn write(&self, addr: usize, buf: &[u8]) -> Result<(), FaultError> {
        let mut at = addr;
        let mut rest = buf;
        while !rest.is_empty() {
            let page = self.hold(at, Access::Write)?;
            let n = rest.len().min(PAGE_SIZE - (at & PAGE_MASK));
            page.write(at & PAGE_MASK, &rest[..n]);
            rest = &rest[n..];
            at = at.checked_add(n).ok_or(FaultError::NoMapping)?;
        }
        Ok(())
    }

    /// Copies bytes to another address space, or within this one, as far as each may read or write them itself.
    /// Tells how many were copied, and why no more. One page of each is held at a time, and no lock, so each
    /// may change meanwhile. Blocks for I/O.
    pub fn copy_to(
        &self,
        from: usize,
        target: &Map<'_, M>,
        to: usize,
        len: usize,
    ) -> (usize, Result<(), FaultError>) {
        let mut done = 0;
        while done < len {
            let step = || {
                let from = from.checked_add(done).ok_or(FaultError::NoMapping)?;
                let to = to.checked_add(done).ok_or(FaultError::NoMapping)?;
                let n = (len - done)
                    .min(PAGE_SIZE - (from & PAGE_MASK))
                    .min(PAGE_SIZE - (to & PAGE_MASK));
                let source = self.hold(from, Access::Read)?;
                target.hold(to, Access::Write)?.copy_from(
                    to & PAGE_MASK,
                    &source,
                    from & PAGE_MASK,
                    n,
                );
                Ok(n)
            };
            match step() {
                Ok(n) => done += n,
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    /// The page at an address, kept in place while it is held, brought in first and made writable
    /// if need be. Blocks for I/O.
    pub fn hold(&self, addr: usize, access: Access) -> Result<HeldPage<'v, M>, FaultError> {
        let va = page_floor(addr);
        loop {
            if let Some(page) = self.try_hold(va, access)? {
                return Ok(page);
            }
            self.fault_wait(addr, access)?;
        }
    }

    /// Holds the page if the page tables allow the access right now.
    fn try_hold(&self, va: usize, access: Access) -> Result<Option<HeldPage<'v, M>>, FaultError> {
        let map = self.body.read(self.vm);
        let Some(entry) = map.map.tree.find(va) else {
            return Ok(None);
        };
        // With the object locked, what is mapped stays (O5).
        let object = entry.object.get();
        let _object = object.map(|object| object.lock(self.vm));
        let here = map.map.pmap.query(&self.vm.machine, va);
        let Some(here) = here.filter(|here| here.prot.contains(access.needs())) else {
            return Ok(None);
        };
        let Some(page) = self.vm.page(here.frame).filter(|_| here.managed) else {
            return Err(FaultError::Protection);
        };
        if access == Access::Write {
            page.set_flags(DIRTY);
        }
        page.touch();
        Ok(Some(HeldPage::new(self.vm, page, access, object)))
    }
}
