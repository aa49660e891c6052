//! Pageable kernel memory: mappings in the first part of a kernel map. What a mapping is, how a fault is
//! served and how pages leave, is all [`Map`](crate::Map)'s.

use super::KernelMap;
use crate::addr::Access;
use crate::error::{FaultError, MapError};
use crate::fault::Fault;
use crate::machine::Machine;
use crate::request::MapRequest;

impl<'v, M: Machine> KernelMap<'v, M> {
    /// Maps something in the pageable part, anonymous memory or an object: see
    /// [`Map::map`](crate::Map::map). Whoever touches it takes a fault, so nobody may who must not
    /// block.
    pub fn map(&self, request: MapRequest<'_, 'v, M>) -> Result<usize, MapError> {
        self.space.map(request)
    }

    /// Unmaps a range of the pageable part: see [`Map::unmap`](crate::Map::unmap).
    pub fn unmap(&self, start: usize, len: usize) -> Result<(), MapError> {
        self.space.unmap(start, len)
    }

    /// Handles a fault of the kernel's: see [`Map::fault`](crate::Map::fault). Outside of pageable
    /// mappings there is none to be handled: [`Fault::NoMapping`].
    pub fn fault(&self, addr: usize, access: Access) -> Fault<'v> {
        self.space.fault(addr, access)
    }

    /// The same, blocking as need be: see [`Map::fault_wait`](crate::Map::fault_wait).
    pub fn fault_wait(&self, addr: usize, access: Access) -> Result<(), FaultError> {
        self.space.fault_wait(addr, access)
    }

    /// Keeps a range of the pageable part in memory: see [`Map::wire`](crate::Map::wire). After that it
    /// may be touched by who must not block.
    pub fn wire(&self, start: usize, len: usize) -> Result<(), MapError> {
        self.space.wire(start, len)
    }

    /// Lets it leave again: see [`Map::unwire`](crate::Map::unwire).
    pub fn unwire(&self, start: usize, len: usize) -> Result<(), MapError> {
        self.space.unwire(start, len)
    }
}
