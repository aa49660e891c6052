//! What accesses find.

use scalvm::{Access, FaultError, PAGE_MASK, PAGE_SIZE, Prot, Share, page_floor};

use super::area::Area;
use super::space::{Space, pages};

impl Space {
    /// The area of an address that allows an access, and the page within it.
    fn allowed(&self, addr: usize, access: Access) -> Result<(&Area, u64), FaultError> {
        let (start, area) = self.area(addr).ok_or(FaultError::NoMapping)?;
        if !area.attributes.prot.contains(access.needs()) {
            return Err(FaultError::Protection);
        }
        if area.attributes.guarded {
            return Err(FaultError::NoMapping);
        }
        if area.attributes.poisoned {
            return Err(FaultError::Poisoned);
        }
        Ok((area, pages(page_floor(addr) - start)))
    }

    /// What a fault leads to in the end. A write gives a private mapping its own copy.
    pub fn fault(&self, addr: usize, access: Access) -> Result<(), FaultError> {
        let (area, page) = self.allowed(addr, access)?;
        match access {
            Access::Write => area.make_own(page),
            Access::Read | Access::Exec => area.page(page).map(|_| ()),
        }
        .ok_or(FaultError::BeyondEnd)
    }

    /// The bytes that a load of any kind within one page finds.
    pub fn load(&self, addr: usize, access: Access, len: usize) -> Result<Vec<u8>, FaultError> {
        let (area, page) = self.allowed(addr, access)?;
        let page = area.page(page).ok_or(FaultError::BeyondEnd)?;
        let at = addr & PAGE_MASK;
        Ok(page.as_slice()[at..at + len].to_vec())
    }

    /// Whether only one thing can be found in the page of an address.
    pub fn is_certain(&self, addr: usize) -> bool {
        self.area(addr)
            .is_none_or(|(start, area)| area.is_certain(pages(page_floor(addr) - start)))
    }

    /// These bytes were found by a load within one page.
    pub fn found(&self, addr: usize, bytes: &[u8]) {
        if let Some((start, area)) = self.area(addr) {
            area.found(pages(page_floor(addr) - start), addr & PAGE_MASK, bytes);
        }
    }

    /// Stores bytes within one page.
    pub fn store(&self, addr: usize, bytes: &[u8]) -> Result<(), FaultError> {
        let (area, page) = self.allowed(addr, Access::Write)?;
        area.page(page).ok_or(FaultError::BeyondEnd)?;
        area.write(page, addr & PAGE_MASK, bytes);
        Ok(())
    }

    /// What a debugger finds in eight bytes, and where it may write them: in spite of the rights, as far as the
    /// greatest rights go, but shared memory only where it may be written. A write gives a private mapping its
    /// own copy.
    pub fn forced(&self, addr: usize, access: Access) -> Result<(Area, u64, Vec<u8>), FaultError> {
        let (start, area) = self.area(addr).ok_or(FaultError::NoMapping)?;
        let attributes = area.attributes;
        let write = access == Access::Write;
        let forbidden =
            write && attributes.share == Share::Shared && !attributes.prot.contains(Prot::WRITE);
        let allowed = attributes.prot | attributes.max_prot;
        if !allowed.contains(access.needs()) || forbidden {
            return Err(FaultError::Protection);
        }
        if attributes.guarded {
            return Err(FaultError::NoMapping);
        }
        if attributes.poisoned {
            return Err(FaultError::Poisoned);
        }
        let page = pages(page_floor(addr) - start);
        if write {
            area.make_own(page).ok_or(FaultError::BeyondEnd)?;
        }
        let bytes = area.page(page).ok_or(FaultError::BeyondEnd)?;
        let at = addr & PAGE_MASK;
        Ok((area.clone(), page, bytes.as_slice()[at..at + 8].to_vec()))
    }

    /// Whether a store at this address would change what lies beyond the end of an object, in its last
    /// page. What becomes of such bytes nobody promises.
    pub fn is_tail(&self, addr: usize, len: usize) -> bool {
        let Some((start, area)) = self.area(addr) else {
            return false;
        };
        let (None, Some((object, first))) = (&area.layer, &area.source) else {
            return false;
        };
        let offset = first * PAGE_SIZE as u64 + (addr - start + len) as u64;
        offset > object.borrow().size()
    }
}
