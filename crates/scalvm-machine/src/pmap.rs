//! [`EmulatedPmap`]: the machine's page tables, in one of two formats.

use std::ops::Range;

use scalvm::{
    Clear, CpuSet, Debt, Enter, Frame, Mapping, OutOfMemory, Pmap, PmapCounts, Prot, TableFrames,
};
use scalvm_pmap::{RadixPmap, X86, X86Pmap};

use crate::machine::Emulated;
use crate::walk::Shape;

/// Levels of narrow tables.
const NARROW_LEVELS: usize = 5;
/// log2 of the entries of a narrow table of leaves.
const NARROW_BITS: u32 = 3;

/// The format of a machine's page tables.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Tables {
    /// That of x86_64 with four levels, where a large leaf maps 512 pages.
    #[default]
    X86_64,
    /// The same entries, but tables of leaves have only eight, so that a large leaf maps eight pages;
    /// with five levels.
    Narrow,
}

impl Tables {
    pub(crate) fn shape(self) -> Shape {
        match self {
            Tables::X86_64 => Shape {
                levels: 4,
                leaf_bits: 9,
            },
            Tables::Narrow => Shape {
                levels: NARROW_LEVELS as u32,
                leaf_bits: NARROW_BITS,
            },
        }
    }
}

/// Page tables in the format of the machine that they are for.
pub enum EmulatedPmap {
    /// [`Tables::X86_64`].
    X86_64(X86Pmap),
    /// [`Tables::Narrow`].
    Narrow(RadixPmap<X86<NARROW_LEVELS, NARROW_BITS>>),
}

/// Calls a function of the tables in whatever format.
macro_rules! either {
    ($pmap:expr, $inner:ident => $call:expr) => {
        match $pmap {
            EmulatedPmap::X86_64($inner) => $call,
            EmulatedPmap::Narrow($inner) => $call,
        }
    };
}

// SAFETY: the tables that it calls keep the contract, and the machine's MMU reads their format.
unsafe impl Pmap<Emulated> for EmulatedPmap {
    fn new(machine: &Emulated, tables: &impl TableFrames) -> Result<Self, OutOfMemory> {
        Ok(match machine.hardware.tables {
            Tables::X86_64 => EmulatedPmap::X86_64(Pmap::<Emulated>::new(machine, tables)?),
            Tables::Narrow => EmulatedPmap::Narrow(Pmap::<Emulated>::new(machine, tables)?),
        })
    }

    fn new_kernel(
        machine: &Emulated,
        tables: &impl TableFrames,
        range: Range<usize>,
    ) -> Result<Self, OutOfMemory> {
        Ok(match machine.hardware.tables {
            Tables::X86_64 => {
                EmulatedPmap::X86_64(Pmap::<Emulated>::new_kernel(machine, tables, range)?)
            }
            Tables::Narrow => {
                EmulatedPmap::Narrow(Pmap::<Emulated>::new_kernel(machine, tables, range)?)
            }
        })
    }

    fn destroy(&mut self, machine: &Emulated, tables: &impl TableFrames) {
        either!(self, inner => inner.destroy(machine, tables));
    }

    fn root(&self) -> Frame {
        either!(self, inner => Pmap::<Emulated>::root(inner))
    }

    fn cpus(&self) -> CpuSet {
        either!(self, inner => Pmap::<Emulated>::cpus(inner))
    }

    fn activate(&self, machine: &Emulated) {
        either!(self, inner => inner.activate(machine));
    }

    fn deactivate(&self, machine: &Emulated) {
        either!(self, inner => inner.deactivate(machine));
    }

    fn enter(
        &self,
        machine: &Emulated,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<(Option<Mapping>, Debt), OutOfMemory> {
        either!(self, inner => inner.enter(machine, tables, va, how))
    }

    fn fill(
        &self,
        machine: &Emulated,
        tables: &impl TableFrames,
        va: usize,
        frames: &[Frame],
        prot: Prot,
    ) -> u64 {
        either!(self, inner => inner.fill(machine, tables, va, frames, prot))
    }

    fn large_pages(&self) -> usize {
        either!(self, inner => Pmap::<Emulated>::large_pages(inner))
    }

    fn enter_large(
        &self,
        machine: &Emulated,
        tables: &impl TableFrames,
        va: usize,
        how: Enter,
    ) -> Result<bool, OutOfMemory> {
        either!(self, inner => inner.enter_large(machine, tables, va, how))
    }

    fn remove(
        &self,
        machine: &Emulated,
        tables: &impl TableFrames,
        range: Range<usize>,
        gone: impl FnMut(Mapping),
    ) -> Debt {
        either!(self, inner => inner.remove(machine, tables, range, gone))
    }

    fn protect(
        &self,
        machine: &Emulated,
        tables: &impl TableFrames,
        range: Range<usize>,
        prot: Prot,
    ) -> Debt {
        either!(self, inner => inner.protect(machine, tables, range, prot))
    }

    fn write_protect_all(&self, machine: &Emulated, tables: &impl TableFrames) -> Debt {
        either!(self, inner => inner.write_protect_all(machine, tables))
    }

    fn query(&self, machine: &Emulated, va: usize) -> Option<Mapping> {
        either!(self, inner => inner.query(machine, va))
    }

    fn harvest(
        &self,
        machine: &Emulated,
        tables: &impl TableFrames,
        range: Range<usize>,
        clear: Clear,
        seen: impl FnMut(Mapping),
    ) -> Debt {
        either!(self, inner => inner.harvest(machine, tables, range, clear, seen))
    }

    fn counts(&self) -> PmapCounts {
        either!(self, inner => Pmap::<Emulated>::counts(inner))
    }

    fn check_invariants(&self, machine: &Emulated, tables: &impl TableFrames) {
        either!(self, inner => inner.check_invariants(machine, tables));
    }
}
