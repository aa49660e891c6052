//! [`Pinned`]: staying on a processor.

use core::hint::assert_unchecked;

use crate::machine::{MAX_CPUS, Machine};

/// The processor is the caller's; dropping this ends it.
#[must_use]
pub(crate) struct Pinned<'a, M: Machine> {
    machine: &'a M,
    cpu: usize,
}

impl<'a, M: Machine> Pinned<'a, M> {
    /// Stays on the processor this runs on. Nobody is pinned twice.
    #[inline(always)]
    pub fn new(machine: &'a M) -> Pinned<'a, M> {
        let cpu = machine.pin();
        debug_assert!(cpu < MAX_CPUS);
        // SAFETY: the machine's word (`pin`).
        unsafe { assert_unchecked(cpu < MAX_CPUS) };
        Pinned { machine, cpu }
    }

    /// The machine.
    #[inline(always)]
    pub fn machine(&self) -> &'a M {
        self.machine
    }

    /// The processor's number, below [`MAX_CPUS`](crate::MAX_CPUS).
    #[inline(always)]
    pub fn cpu(&self) -> usize {
        self.cpu
    }
}

impl<M: Machine> Drop for Pinned<'_, M> {
    #[inline(always)]
    fn drop(&mut self) {
        self.machine.unpin();
    }
}
