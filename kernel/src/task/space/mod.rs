//! [`Space`]: a program's memory. What is done with it is in [`verbs`].

mod verbs;

use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use scalvm::{Access, Fault, FaultError, MapRequest, Place, Prot, page_ceil};

use crate::arch::layout::{USER_HIGH, USER_LOW};
use crate::fs::memory;
use crate::linux::Errno;
use crate::mm::{Map, VM};
use crate::sync::Mutex;
use crate::task::with_memory;

/// An address space, and the heap's end in it.
pub struct Space {
    map: Map,
    brk: Mutex<Brk>,
    /// Whether what is mapped from now on is wired.
    lock_future: AtomicBool,
}

/// The heap that brk(2) moves the end of. The pages from `page_ceil(start)` to `page_ceil(end)` are
/// mapped.
#[derive(Clone, Copy)]
struct Brk {
    start: usize,
    end: usize,
}

impl Space {
    /// An empty space.
    pub fn new() -> Result<Arc<Space>, Errno> {
        let map = with_memory(|| VM.new_map(USER_LOW, USER_HIGH))?;
        memory::arc(Space {
            map,
            brk: Mutex::new(Brk { start: 0, end: 0 }),
            lock_future: AtomicBool::new(false),
        })
    }

    /// A space with another map, else like this one.
    fn with_map(&self, map: Map) -> Result<Arc<Space>, Errno> {
        memory::arc(Space {
            map,
            brk: Mutex::new(*self.brk.lock()),
            lock_future: AtomicBool::new(false),
        })
    }

    /// Handles a fault of the program, or of the kernel at its memory. True if it had to wait for a
    /// page. Blocks. What lies below the stack only keeps other mappings away: to the program nothing
    /// is there.
    #[inline]
    pub fn handle_fault(&self, address: usize, access: Access) -> Result<bool, FaultError> {
        let error = match self.map.fault(address, access) {
            Fault::Resolved => return Ok(false),
            Fault::Wait(ticket) => {
                ticket.wait(&VM);
                match self.fault_wait(address, access) {
                    Ok(()) => return Ok(true),
                    Err(error) => error,
                }
            }
            Fault::NoMapping => FaultError::NoMapping,
            Fault::Protection => FaultError::Protection,
            Fault::BeyondEnd => FaultError::BeyondEnd,
            Fault::OutOfMemory => match self.fault_wait(address, access) {
                Ok(()) => return Ok(false),
                Err(error) => error,
            },
            Fault::Pager(error) => FaultError::Pager(error),
        };
        if error == FaultError::Protection && self.is_guard(address) {
            return Err(FaultError::NoMapping);
        }
        Err(error)
    }

    fn is_guard(&self, address: usize) -> bool {
        self.map
            .query(address)
            .is_some_and(|region| region.start <= address && region.max_prot.is_empty())
    }

    /// Says where the heap starts.
    pub fn set_heap(&self, start: usize) {
        *self.brk.lock() = Brk { start, end: start };
    }

    /// brk(2): moves the heap's end if that can be, and returns it.
    pub fn move_break(&self, to: usize) -> usize {
        let Brk { start, end } = *self.brk.lock();
        let (Some(old), Some(new)) = (page_ceil(end), page_ceil(to)) else {
            return end;
        };
        if to < start {
            return end;
        }
        let done = match () {
            _ if new > old => {
                let request = MapRequest::anonymous(new - old, Prot::RW).at(Place::Free(old));
                self.map(request).is_ok()
            }
            _ if new < old => self.unmap(new, old - new).is_ok(),
            _ => true,
        };
        if done {
            self.brk.lock().end = to;
        }
        self.brk.lock().end
    }

    /// Whether what is mapped from now on is wired.
    pub fn lock_future(&self) -> bool {
        self.lock_future.load(Relaxed)
    }

    /// Says whether what is mapped from now on is wired.
    pub fn set_lock_future(&self, yes: bool) {
        self.lock_future.store(yes, Relaxed);
    }

    /// The heap's first address and its end.
    pub fn heap(&self) -> (usize, usize) {
        let brk = self.brk.lock();
        (brk.start, brk.end)
    }
}

impl Deref for Space {
    type Target = Map;
    #[inline(always)]
    fn deref(&self) -> &Map {
        &self.map
    }
}
