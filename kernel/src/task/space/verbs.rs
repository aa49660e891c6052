//! What can be done with a program's memory, for callers that may wait: where the manager has no
//! memory for it, room is made, see [`with_memory`].

use alloc::sync::Arc;

use scalvm::{
    Access, Advice, FaultError, Inherit, Large, MapError, MapRequest, Place, Prot, Region, Remap,
    Source, Unfinished, WatchedFault,
};

use super::Space;
use crate::fs::userfault::{self, Origin};
use crate::linux::Errno;
use crate::mm::Hw;
use crate::task::with_memory;

/// A mapping to be made.
type Request<'a> = MapRequest<'a, 'static, Hw>;

/// The same request, for another try.
fn again<'a>(request: &Request<'a>) -> Request<'a> {
    MapRequest {
        source: match request.source {
            Source::Anonymous => Source::Anonymous,
            Source::Object(object, offset) => Source::Object(object, offset),
        },
        ..*request
    }
}

/// Tries an operation that touches memory until it has got the memory that it needs, and all pages that
/// programs serve; fails as it does if such a page is not to be waited for.
pub fn served<T>(mut operation: impl FnMut() -> Result<T, FaultError>) -> Result<T, FaultError> {
    loop {
        match with_memory(&mut operation) {
            Err(FaultError::Watched(fault)) if serve(fault).is_ok() => {}
            result => return result,
        }
    }
}

/// Waits until a page that a program serves is there, or fails as an access to it does that is not to wait.
fn serve(fault: WatchedFault) -> Result<(), FaultError> {
    userfault::tell(fault, fault.page, Origin::Kernel)
}

/// [`served`] for an operation on one page after the other, which goes on where it ended: where memory is short, what it
/// has brought in may have left.
fn each_served(
    start: usize,
    len: usize,
    mut operation: impl FnMut(usize, usize) -> Result<(), Unfinished>,
) -> Result<(), FaultError> {
    let (mut at, mut rest) = (start, len);
    served(|| {
        operation(at, rest).map_err(|stop| {
            rest -= stop.at - at;
            at = stop.at;
            stop.error
        })
    })
}

/// Whether `next` is a part of the same mapping as `region`, which ends where it begins: the manager has entries of
/// their own for guards and for pages that are write-protected or lost, Linux has not.
fn goes_on(region: &Region, next: &Region) -> bool {
    let grown = match region.object_id {
        Some(_) => (region.end - region.start) as u64,
        None => 0,
    };
    let same = Region {
        start: region.end,
        end: next.end,
        offset: region.offset.wrapping_add(grown),
        guarded: next.guarded,
        write_protected: next.write_protected,
        poisoned: next.poisoned,
        ..*region
    };
    same == *next
}

impl Space {
    /// The mapping that holds an address, or else the first one above it, with all its parts from the one that holds
    /// the address on.
    pub fn mapping(&self, at: usize) -> Option<Region> {
        self.mapping_to(at, usize::MAX)
    }

    /// The same with its parts up to the one that holds the byte before `end`, if it goes on so far.
    pub fn mapping_to(&self, at: usize, end: usize) -> Option<Region> {
        let mut mapping = self.map.query(at)?;
        while mapping.end < end
            && let Some(next) = self.map.query(mapping.end)
            && goes_on(&mapping, &next)
        {
            mapping.end = next.end;
        }
        Some(mapping)
    }
}

/// The manager's verbs. All of them block.
impl Space {
    /// A copy, for fork; who serves it is told.
    pub fn fork(&self) -> Result<Arc<Space>, Errno> {
        let heirs = userfault::forking(self)?;
        let watcher = |server| userfault::heir_of(&heirs, server);
        let map = with_memory(|| self.map.fork_watched(watcher))?;
        let child = self.with_map(map)?;
        userfault::forked(heirs, &child);
        Ok(child)
    }

    /// [`Map::map`](scalvm::Map::map).
    pub fn map(&self, request: Request<'_>) -> Result<usize, MapError> {
        with_memory(|| self.map.map(again(&request)))
    }

    /// [`Map::map_again`](scalvm::Map::map_again).
    pub fn map_again(&self, start: usize, len: usize, place: Place) -> Result<usize, MapError> {
        with_memory(|| self.map.map_again(start, len, place))
    }

    /// [`Map::map_pages`](scalvm::Map::map_pages).
    pub fn map_pages(
        &self,
        start: usize,
        page: u32,
        len: usize,
        place: Place,
    ) -> Result<usize, MapError> {
        with_memory(|| self.map.map_pages(start, Some(page), len, place))
    }

    /// [`Map::unmap`](scalvm::Map::unmap).
    pub fn unmap(&self, start: usize, len: usize) -> Result<(), MapError> {
        with_memory(|| self.map.unmap(start, len))
    }

    /// [`Map::remap`](scalvm::Map::remap).
    pub fn remap(
        &self,
        old: usize,
        old_len: usize,
        new_len: usize,
        how: Remap,
    ) -> Result<usize, MapError> {
        with_memory(|| self.map.remap(old, old_len, new_len, how))
    }

    /// [`Map::protect`](scalvm::Map::protect).
    pub fn protect(&self, start: usize, len: usize, prot: Prot) -> Result<(), MapError> {
        with_memory(|| self.map.protect(start, len, prot))
    }

    /// [`Map::inherit`](scalvm::Map::inherit).
    pub fn inherit(&self, start: usize, len: usize, inherit: Inherit) -> Result<(), MapError> {
        with_memory(|| self.map.inherit(start, len, inherit))
    }

    /// [`Map::advise`](scalvm::Map::advise).
    pub fn advise(&self, start: usize, len: usize, advice: Advice) -> Result<(), MapError> {
        with_memory(|| self.map.advise(start, len, advice))
    }

    /// [`Map::advise_large`](scalvm::Map::advise_large).
    pub fn advise_large(&self, start: usize, len: usize, large: Large) -> Result<(), MapError> {
        with_memory(|| self.map.advise_large(start, len, large))
    }

    /// [`Map::discard`](scalvm::Map::discard).
    pub fn discard(&self, start: usize, len: usize) -> Result<(), MapError> {
        with_memory(|| self.map.discard(start, len))
    }

    /// [`Map::bring_wired`](scalvm::Map::bring_wired).
    pub fn bring_wired(&self, start: usize, len: usize) -> Result<(), FaultError> {
        with_memory(|| self.map.bring_wired(start, len))
    }

    /// [`Map::remap_keeping`](scalvm::Map::remap_keeping).
    pub fn remap_keeping(
        &self,
        old: usize,
        len: usize,
        to: Option<usize>,
    ) -> Result<usize, MapError> {
        with_memory(|| self.map.remap_keeping(old, len, to))
    }

    /// [`Map::seal`](scalvm::Map::seal).
    pub fn seal(&self, start: usize, len: usize) -> Result<(), MapError> {
        with_memory(|| self.map.seal(start, len))
    }

    /// [`Map::wire_on_fault`](scalvm::Map::wire_on_fault).
    pub fn wire_on_fault(&self, start: usize, len: usize) -> Result<(), MapError> {
        with_memory(|| self.map.wire_on_fault(start, len))
    }

    /// [`Map::populate`](scalvm::Map::populate).
    pub fn populate(&self, start: usize, len: usize) -> Result<(), FaultError> {
        each_served(start, len, |at, len| self.map.populate(at, len))
    }

    /// [`Map::populate_for`](scalvm::Map::populate_for).
    pub fn populate_for(&self, start: usize, len: usize, access: Access) -> Result<(), FaultError> {
        each_served(start, len, |at, len| self.map.populate_for(at, len, access))
    }

    /// [`Map::wire`](scalvm::Map::wire).
    pub fn wire(&self, start: usize, len: usize) -> Result<(), MapError> {
        with_memory(|| {
            self.map
                .wire_served(start, len, |fault| serve(fault).is_ok())
        })
    }

    /// [`Map::unwire`](scalvm::Map::unwire).
    pub fn unwire(&self, start: usize, len: usize) -> Result<(), MapError> {
        with_memory(|| self.map.unwire(start, len))
    }

    /// [`Map::write`](scalvm::Map::write).
    pub fn write(&self, address: usize, bytes: &[u8]) -> Result<(), FaultError> {
        served(|| self.map.write(address, bytes))
    }
}
