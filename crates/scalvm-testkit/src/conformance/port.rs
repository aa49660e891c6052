//! What a port brings to be examined.

use std::ops::Range;

use scalvm::{Frame, Machine, Prot, TableFrames};

/// What a port brings to be examined: a machine of its own, frames, and perhaps an MMU.
pub trait Port: Sync {
    /// The machine whose `Pmap` is examined.
    type Machine: Machine;
    /// Where tables get their frames. The suite makes allocations fail and watches what is freed.
    type Tables: TableFrames + Sync;

    /// The machine.
    fn machine(&self) -> &Self::Machine;
    /// Where tables get their frames; at least 200 can be had.
    fn tables(&self) -> &Self::Tables;
    /// At least 64 frames to be mapped, which nobody else uses.
    fn frames(&self) -> Vec<Frame>;
    /// Rows of as many frames as a large leaf maps, aligned to it, which nobody else uses; none if there
    /// are no large leaves.
    fn rows(&self) -> Vec<Range<Frame>> {
        Vec::new()
    }
    /// For how many pages, from the start of a GiB, one table of leaves does.
    fn of_one_table(&self) -> usize {
        512
    }
    /// The addresses that a space can map, at least 512 GiB of them.
    fn addresses(&self) -> Range<usize>;
    /// The rights that the MMU grants where these are asked for: some cannot withhold the right to
    /// read.
    fn granted(&self, prot: Prot) -> Prot {
        prot
    }
    /// Addresses for the kernel's own space, if the machine's spaces share a kernel half: at least two
    /// pages, no one of which is used before.
    fn kernel(&self) -> Option<Range<usize>> {
        None
    }
    /// How to use the page tables, if there is an MMU that does.
    fn mmu(&self) -> Option<&dyn Mmu> {
        None
    }
}

/// An MMU with at least two processors, 0 and 1, which translate by the space that is active there,
/// and cache as they like.
pub trait Mmu: Sync {
    /// Calls `act` so that [`Machine::cpu`] tells this processor.
    fn run_on(&self, cpu: usize, act: &mut dyn FnMut());
    /// Loads 8 aligned bytes on a processor; nothing where that faults.
    fn load(&self, cpu: usize, va: usize) -> Option<u64>;
    /// Stores 8 aligned bytes on a processor; false where that faults.
    fn store(&self, cpu: usize, va: usize, value: u64) -> bool;
    /// Fetches an instruction on a processor; false where that faults.
    fn fetch(&self, cpu: usize, va: usize) -> bool;
    /// Loads 8 aligned bytes as the kernel would, from its own space, whatever space is active;
    /// nothing where that faults. Never asked of ports without [`Port::kernel`].
    fn load_as_kernel(&self, _cpu: usize, _va: usize) -> Option<u64> {
        None
    }
    /// What a processor has cached of the space with this root that grants more than the tables do.
    /// It need not be found.
    fn stale(&self, _root: Frame) -> Option<String> {
        None
    }
}
