//! Allocating.

use core::alloc::Layout;
use core::panic::Location;
use core::ptr::NonNull;

use super::account::{Drawn, Quick};
use super::{MALLOC_ALIGN, MallocError, MallocFlags};
use crate::kmem::types::Attached;
use crate::kmem::{Heap, HeapError, MallocType};
use crate::machine::Machine;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Kernel memory of a type: `size` bytes or more, aligned to 16, wired, and physically
    /// contiguous. Sizes are rounded up to a class, above 64 KiB to frames in a row, above 4 MiB to
    /// pages of the kernel map ([`set_kernel_map`](Vm::set_kernel_map)), which are contiguous by
    /// their addresses only.
    ///
    /// The bytes are of any value, or zero with [`MallocFlags::ZERO`]. Without
    /// [`MallocFlags::WAIT`] it does not block. With it, it waits where memory is short for what the
    /// page daemon and others free, as [`make_room`](Vm::make_room) does, and at the type's limit
    /// until somebody frees memory of the type; then the caller must hold no lock. It may fail even
    /// so: there may be nothing that could leave memory.
    ///
    /// (The seed, section 1.2; malloc(9) of NetBSD.)
    #[inline]
    #[track_caller]
    pub fn malloc(
        &self,
        ty: &'static MallocType,
        size: usize,
        flags: MallocFlags,
    ) -> Result<NonNull<u8>, MallocError> {
        match Layout::from_size_align(size, MALLOC_ALIGN) {
            Ok(layout) => self.malloc_aligned(ty, layout, flags),
            Err(_) => Err(MallocError::TooLarge),
        }
    }

    /// The same with the alignment of a layout.
    #[inline]
    #[track_caller]
    pub fn malloc_aligned(
        &self,
        ty: &'static MallocType,
        layout: Layout,
        flags: MallocFlags,
    ) -> Result<NonNull<u8>, MallocError> {
        let account = Quick {
            types: &self.types,
            number: ty.known_number(),
        };
        let piece = match self.heap.alloc_quickly(&self.machine, layout, &account) {
            Ok(piece) => piece,
            // Nothing is left to do after this, so that the way above needs no stack.
            Err(error) => return self.malloc_slowly(ty, layout, flags, error, Location::caller()),
        };
        Ok(cleared(piece, layout, flags))
    }

    /// What is left to do when the processor's credit and loaded magazine have not been enough, as
    /// `error` tells.
    #[cold]
    #[inline(never)]
    fn malloc_slowly(
        &self,
        ty: &'static MallocType,
        layout: Layout,
        flags: MallocFlags,
        error: HeapError,
        site: &'static Location<'static>,
    ) -> Result<NonNull<u8>, MallocError> {
        let mut error = error;
        if error == HeapError::Refused {
            let account = Quick {
                types: &self.types,
                number: ty.known_number(),
            };
            let (machine, frames) = (&self.machine, &self.frames);
            match self.heap.alloc(machine, frames, layout, &account) {
                Ok(piece) => return Ok(cleared(piece, layout, flags)),
                Err(now) => error = now,
            }
        }
        let first = match error {
            HeapError::OutOfMemory => MallocError::OutOfMemory,
            HeapError::Refused | HeapError::TooLarge => {
                match self.attempt(ty, layout, flags, site) {
                    Ok(piece) => return Ok(cleared(piece, layout, flags)),
                    Err(error) => error,
                }
            }
        };
        self.malloc_later(ty, layout, flags, first, site)
    }

    /// What is left to do when there has been no memory, or no right to it, as `first` tells: to
    /// wait if that is allowed and of use, or to fail.
    #[cold]
    #[inline(never)]
    fn malloc_later(
        &self,
        ty: &'static MallocType,
        layout: Layout,
        flags: MallocFlags,
        first: MallocError,
        site: &'static Location<'static>,
    ) -> Result<NonNull<u8>, MallocError> {
        let mut first = Some(first);
        let attempt = || match first.take() {
            None => self.attempt(ty, layout, flags, site),
            Some(error) => Err(error),
        };
        let wait = flags.contains(MallocFlags::WAIT);
        let result = self.with_room(attempt, |error| wait && *error == MallocError::OutOfMemory);
        if result.is_err()
            && let Some(attached) = self.types.find(ty)
        {
            attached.state.failed();
        }
        result.map(|piece| cleared(piece, layout, flags))
    }

    fn attempt(
        &self,
        ty: &'static MallocType,
        layout: Layout,
        flags: MallocFlags,
        site: &'static Location<'static>,
    ) -> Result<NonNull<u8>, MallocError> {
        let attached = self.types.get(&self.machine, &self.frames, ty)?;
        if Heap::piece_for(layout).is_none() {
            return self.malloc_mapped(attached, layout, flags);
        }
        if let Some(watch) = self.debug.watch() {
            return self.watched_malloc(watch, attached, layout, flags, site);
        }
        let cpu = self.machine.cpu();
        if self.types.row(cpu, attached.number).is_none() {
            self.types.hook(&self.machine, &self.frames, cpu, attached);
        }
        self.take_piece(attached, layout, flags)
    }

    /// Takes a piece of the heap and charges it to the type's state.
    pub(in crate::kmem) fn take_piece(
        &self,
        attached: Attached,
        layout: Layout,
        flags: MallocFlags,
    ) -> Result<NonNull<u8>, MallocError> {
        let bytes = Heap::piece_for(layout).ok_or(MallocError::TooLarge)?.bytes;
        let account = Drawn::new(self, attached, bytes, flags)?;
        let piece = self
            .heap
            .alloc(&self.machine, &self.frames, layout, &account);
        account.end(&self.machine);
        Ok(piece?)
    }
}

/// A new piece as the flags want it.
#[inline(always)]
fn cleared(piece: NonNull<u8>, layout: Layout, flags: MallocFlags) -> NonNull<u8> {
    if flags.contains(MallocFlags::ZERO) {
        // SAFETY: a piece that is the caller's, with so many bytes.
        unsafe { piece.write_bytes(0, layout.size()) };
    }
    piece
}
