//! [`Space`]: a program's memory. What is done with it is in [`verbs`].

mod layout;
mod verbs;

use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use linux_raw_sys::general::{RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK};
use linux_raw_sys::prctl::{PR_MDWE_NO_INHERIT, PR_MDWE_REFUSE_EXEC_GAIN};
use scalvm::{Access, Fault, FaultError, MapLimits, MapRequest, PAGE_SIZE, Place, Prot, page_ceil};

use super::clock::Limits;
use crate::arch::layout::USER_HIGH;
use crate::fs::memory;
use crate::fs::userfault::{self, Origin};
use crate::linux::Errno;
use crate::mm::{Map, VM};
use crate::sync::Mutex;
use crate::task::with_memory;

pub use layout::{
    Layout, min_address, randomize as randomize_va_space, set_min_address,
    set_randomize as set_randomize_va_space,
};
pub use verbs::served;

/// An address space, and the heap's end in it.
pub struct Space {
    map: Map,
    brk: Mutex<Brk>,
    /// The stack's end.
    stack_end: usize,
    /// What PR_SET_MDWE set.
    mdwe: AtomicU32,
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
    pub fn new(layout: &Layout) -> Result<Arc<Space>, Errno> {
        let map = with_memory(|| VM.new_map(0, USER_HIGH))?;
        map.set_room(min_address(), layout.anywhere);
        memory::arc(Space {
            map,
            brk: Mutex::new(Brk { start: 0, end: 0 }),
            stack_end: layout.stack_end,
            mdwe: AtomicU32::new(0),
        })
    }

    /// A child's space with this map, else like this one.
    fn with_map(&self, map: Map) -> Result<Arc<Space>, Errno> {
        let child = memory::arc(Space {
            map,
            brk: Mutex::new(*self.brk.lock()),
            stack_end: self.stack_end,
            mdwe: AtomicU32::new(0),
        })?;
        child.inherit_mdwe(self);
        Ok(child)
    }

    /// The stack's end.
    pub fn stack_end(&self) -> usize {
        self.stack_end
    }

    /// Keeps it to a process's limits, of which that of locked memory does not bind all.
    pub fn apply_limits(&self, limits: &Limits, locks_anything: bool) {
        let limit = |which: u32| Some(limits[which as usize][0]).filter(|&bytes| bytes != u64::MAX);
        // As on Linux: who may have no data at all may have as much as the hard limit says.
        let data = match limits[RLIMIT_DATA as usize] {
            [0, hard] => hard,
            [soft, _] => soft,
        };
        self.map.set_limits(MapLimits {
            mapped: limit(RLIMIT_AS),
            data: Some(data).filter(|&bytes| bytes != u64::MAX),
            wired: limit(RLIMIT_MEMLOCK).filter(|_| !locks_anything),
            stack: limit(RLIMIT_STACK),
        });
    }

    /// What PR_SET_MDWE set.
    pub fn mdwe(&self) -> u32 {
        self.mdwe.load(Relaxed)
    }

    /// Refuses memory that is written and executed, as PR_SET_MDWE says.
    pub fn set_mdwe(&self, bits: u32) {
        self.mdwe.store(bits, Relaxed);
        self.map
            .set_refuse_exec_gain(bits & PR_MDWE_REFUSE_EXEC_GAIN != 0);
    }

    /// Has from a parent, or from the program before, what that one passes on.
    pub fn inherit_mdwe(&self, from: &Space) {
        let bits = from.mdwe();
        self.set_mdwe(if bits & PR_MDWE_NO_INHERIT == 0 {
            bits
        } else {
            0
        });
    }

    /// Handles a fault of the program, or of the kernel at its memory. True if it had to wait for a
    /// page. Where a program serves the fault, waits until it has, or a signal comes: the access is then to
    /// be made again. Blocks.
    #[inline]
    pub fn handle_fault(
        &self,
        address: usize,
        access: Access,
        origin: Origin,
    ) -> Result<bool, FaultError> {
        let error = match self.map.fault(address, access) {
            Fault::Resolved => return Ok(false),
            Fault::Wait(ticket) => {
                ticket.wait(&VM);
                match with_memory(|| self.map.fault_wait(address, access)) {
                    Ok(()) => return Ok(true),
                    Err(error) => error,
                }
            }
            Fault::NoMapping => FaultError::NoMapping,
            Fault::Protection => FaultError::Protection,
            Fault::BeyondEnd => FaultError::BeyondEnd,
            Fault::OutOfMemory => match with_memory(|| self.map.fault_wait(address, access)) {
                Ok(()) => return Ok(false),
                Err(error) => error,
            },
            Fault::Pager(error) => FaultError::Pager(error),
            Fault::Watched(watched) => FaultError::Watched(watched),
            Fault::Poisoned => FaultError::Poisoned,
        };
        match error {
            FaultError::Watched(watched) => {
                userfault::tell(watched, address, origin).map(|()| false)
            }
            error => Err(error),
        }
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
                let done = self.keeps_off_stacks(new) && self.map(request).is_ok();
                if done {
                    // It stands, as on Linux, whether or not all of it can be brought in now.
                    let _ = self.bring_wired(old, new - old);
                }
                done
            }
            _ if new < old => userfault::unmap(self, new, old - new).is_ok(),
            _ => true,
        };
        if done {
            self.brk.lock().end = to;
        }
        self.brk.lock().end
    }

    /// Whether the heap may end here: a page and the guard's room below what grows towards it.
    fn keeps_off_stacks(&self, end: usize) -> bool {
        let above = self.map.query(end).filter(|region| region.grows);
        above.is_none_or(|region| region.start.saturating_sub(end) >= layout::GUARD + PAGE_SIZE)
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
