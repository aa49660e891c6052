//! How pieces are charged to types.

use core::cell::Cell;

use super::{MallocError, MallocFlags};
use crate::kmem::types::{AtLimit, Attached, Draw};
use crate::kmem::{Account, MallocType, Types};
use crate::machine::Machine;
use crate::vm::Vm;

/// Charges a piece to the credit that the processor has, or not at all.
pub(super) struct Quick<'a> {
    pub types: &'a Types,
    /// The type's number; any is safe.
    pub number: usize,
}

impl Account for Quick<'_> {
    #[inline(always)]
    fn charge(&self, cpu: usize, bucket: usize, bytes: usize) -> bool {
        let row = self.types.row_or_none(cpu, self.number);
        row.charge(bucket, bytes)
    }

    fn credit(&self, cpu: usize, bucket: usize, bytes: usize) {
        if let Some(row) = self.types.row(cpu, self.number) {
            row.untake(bucket, bytes as u64);
        }
    }
}

/// Counts a piece whose bytes the type is charged with already.
pub(super) struct Drawn<'a> {
    types: &'a Types,
    attached: Attached,
    /// What was drawn beyond the piece's bytes.
    draw: Draw,
    /// Bytes drawn that nothing has.
    spare: Cell<u64>,
}

impl<'a> Drawn<'a> {
    /// Draws so many bytes from a type, waiting for them if that is allowed.
    #[inline]
    pub fn new<M: Machine>(
        vm: &'a Vm<M>,
        attached: Attached,
        bytes: usize,
        flags: MallocFlags,
    ) -> Result<Drawn<'a>, MallocError> {
        let (state, bytes) = (attached.state, bytes as u64);
        let draw = if flags.contains(MallocFlags::WAIT) {
            state.draw_waiting(&vm.machine, bytes)
        } else {
            state.draw(bytes)
        };
        Ok(Drawn {
            types: &vm.types,
            attached,
            draw: draw.map_err(|AtLimit| MallocError::Limit)?,
            spare: Cell::new(0),
        })
    }

    /// The piece has been had, or not. What nothing has goes back to the type; the rest, a piece or
    /// credit, counts for the high-water mark.
    pub fn end<M: Machine>(self, machine: &M) {
        let (state, spare) = (self.attached.state, self.spare.get());
        state.had(self.draw.held - spare);
        if spare != 0 {
            state.refund(machine, spare);
        }
    }
}

impl Account for Drawn<'_> {
    #[inline]
    fn charge(&self, cpu: usize, bucket: usize, _bytes: usize) -> bool {
        match self.types.row(cpu, self.attached.number) {
            Some(row) => self.spare.set(row.take_charged(bucket, self.draw.credit)),
            None => {
                self.attached.state.shared().shared_taken(bucket, 1);
                self.spare.set(self.draw.credit);
            }
        }
        true
    }

    fn credit(&self, cpu: usize, bucket: usize, bytes: usize) {
        match self.types.row(cpu, self.attached.number) {
            Some(row) => row.untake(bucket, 0),
            None => self.attached.state.shared().shared_untaken(bucket),
        }
        self.spare.set(self.spare.get() + bytes as u64);
    }
}

/// Takes a piece off its type.
pub(super) struct Back<'a, M: Machine> {
    pub vm: &'a Vm<M>,
    pub ty: &'static MallocType,
    /// The piece's bucket and bytes, if the processor had no row: to be taken off when it is not
    /// pinned any more.
    pub missed: Cell<Option<(usize, usize)>>,
}

impl<M: Machine> Account for Back<'_, M> {
    fn charge(&self, _cpu: usize, _bucket: usize, _bytes: usize) -> bool {
        false
    }

    #[inline(always)]
    fn credit(&self, cpu: usize, bucket: usize, bytes: usize) {
        let number = self.ty.known_number();
        let _inside = self.vm.types.enter(&self.vm.machine, cpu);
        match self.vm.types.row(cpu, number) {
            Some(row) => {
                let excess = row.give(bucket, bytes);
                if excess != 0 {
                    self.vm.give_excess(number, excess);
                }
            }
            None => self.missed.set(Some((bucket, bytes))),
        }
    }

    #[inline(always)]
    fn credit_quickly(&self, cpu: usize, bucket: usize, bytes: usize) -> bool {
        let row = self.vm.types.row_or_none(cpu, self.ty.known_number());
        row.give_within_cap(bucket, bytes)
    }
}

impl<M: Machine> Vm<M> {
    /// Gives credit back to a type.
    #[cold]
    fn give_excess(&self, number: usize, bytes: u64) {
        if let Some(state) = self.types.state_at(number) {
            state.refund(&self.machine, bytes);
        }
    }

    /// Takes a piece off a type of which the processor has no row, or off the orphans if the type
    /// has left it behind.
    #[cold]
    pub(in crate::kmem) fn credit_slowly(
        &self,
        ty: &'static MallocType,
        bucket: usize,
        bytes: usize,
    ) {
        let _held = self.types.lock(&self.machine);
        let number = self.types.number_freed(ty);
        if let Some(state) = self.types.state_at(number) {
            state.shared().shared_given(bucket);
            state.refund(&self.machine, bytes as u64);
        }
    }
}
