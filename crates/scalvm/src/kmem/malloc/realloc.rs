//! Making pieces larger or smaller.

use core::alloc::Layout;
use core::panic::Location;
use core::ptr::NonNull;

use super::mapped::charge_for;
use super::{MALLOC_ALIGN, MallocError, MallocFlags};
use crate::kmem::{Heap, MallocType};
use crate::machine::Machine;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Memory with the same bytes and another size, up to the smaller of both: the same memory if a
    /// piece of its size is right for that, else another piece, aligned to 16. Blocks as
    /// [`malloc`](Vm::malloc) does. [`MallocFlags::ZERO`] does not count: nobody knows where the old
    /// bytes end.
    ///
    /// On an error the old memory stays as it was. To make memory smaller always succeeds.
    ///
    /// # Safety
    ///
    /// As for [`free`](Vm::free), but on an error.
    #[inline]
    #[track_caller]
    pub unsafe fn realloc(
        &self,
        ty: &'static MallocType,
        memory: NonNull<u8>,
        size: usize,
        flags: MallocFlags,
    ) -> Result<NonNull<u8>, MallocError> {
        let layout = Layout::from_size_align(size, MALLOC_ALIGN).or(Err(MallocError::TooLarge))?;
        let old = match self.debug.watch() {
            // It moves always, so that who still uses the old memory is found.
            Some(watch) => self.watched_size(watch, ty, memory, Location::caller()),
            None => match self.heap.piece_at(&self.frames, memory.addr().get()) {
                piece if piece.is_some() && piece == Heap::piece_for(layout) => return Ok(memory),
                piece => piece.map(|piece| piece.bytes),
            },
        };
        let old = match old.or_else(|| self.mapped_size(memory)) {
            Some(old) if Heap::piece_for(layout).is_none() && old == charge_for(layout) => {
                return Ok(memory);
            }
            old => old.ok_or(MallocError::BadPointer)?,
        };
        let flags = flags.difference(MallocFlags::ZERO);
        match self.malloc_aligned(ty, layout, flags) {
            Ok(new) => {
                // SAFETY: both are ours and have so many bytes; the rest is the caller's word.
                unsafe {
                    new.copy_from_nonoverlapping(memory, old.min(size));
                    self.free(ty, memory);
                }
                Ok(new)
            }
            Err(_) if size <= old => Ok(memory),
            Err(error) => Err(error),
        }
    }

    /// The same where the old layout is known, which is quicker. The alignment stays.
    ///
    /// # Safety
    ///
    /// As for [`free_sized`](Vm::free_sized), but on an error.
    #[inline]
    #[track_caller]
    pub unsafe fn realloc_sized(
        &self,
        ty: &'static MallocType,
        memory: NonNull<u8>,
        old: Layout,
        size: usize,
        flags: MallocFlags,
    ) -> Result<NonNull<u8>, MallocError> {
        let new = Layout::from_size_align(size, old.align()).or(Err(MallocError::TooLarge))?;
        let (piece, before) = (Heap::piece_for(new), Heap::piece_for(old));
        let same = match piece {
            Some(_) => self.debug.watch().is_none() && piece == before,
            None => before.is_none() && charge_for(new) == charge_for(old),
        };
        if same {
            return Ok(memory);
        }
        let flags = flags.difference(MallocFlags::ZERO);
        let moved = self.malloc_aligned(ty, new, flags)?;
        // SAFETY: both are ours and have so many bytes; the rest is the caller's word.
        unsafe {
            moved.copy_from_nonoverlapping(memory, old.size().min(size));
            self.free_sized(ty, memory, old);
        }
        Ok(moved)
    }
}
