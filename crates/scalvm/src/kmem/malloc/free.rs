//! Freeing.

use core::alloc::Layout;
use core::cell::Cell;
use core::panic::Location;
use core::ptr::NonNull;

use super::account::Back;
use crate::kmem::{Heap, MallocType};
use crate::machine::Machine;
use crate::vm::Vm;

impl<M: Machine> Vm<M> {
    /// Takes memory back. Does not block.
    ///
    /// A pointer where no piece begins is ignored; debug mode ([`set_debug`](Vm::set_debug)) tells
    /// of it, and of memory freed twice or under another type.
    ///
    /// # Safety
    ///
    /// The memory came from this manager's [`malloc`](Vm::malloc) or one of its like, of this type,
    /// or one that is detached by now; and nobody uses it any more.
    #[inline]
    #[track_caller]
    pub unsafe fn free(&self, ty: &'static MallocType, memory: NonNull<u8>) {
        let (heap, machine, frames) = (&self.heap, &self.machine, &self.frames);
        // SAFETY: the caller's word. In debug mode there is no row, so that the account refuses.
        unsafe {
            if !heap.free_at_quickly(machine, frames, memory, &self.back(ty)) {
                self.free_at_slowly(ty, memory, Location::caller());
            }
        }
    }

    /// The same where that was not simple.
    ///
    /// # Safety
    ///
    /// As for [`free`](Vm::free).
    #[cold]
    #[inline(never)]
    unsafe fn free_at_slowly(
        &self,
        ty: &'static MallocType,
        memory: NonNull<u8>,
        site: &'static Location<'static>,
    ) {
        if let Some(watch) = self.debug.watch() {
            return self.watched_free(watch, ty, memory, None, site);
        }
        let Some(piece) = self.heap.piece_at(&self.frames, memory.addr().get()) else {
            self.free_mapped(ty, memory);
            return;
        };
        let account = self.back(ty);
        let (heap, machine, frames) = (&self.heap, &self.machine, &self.frames);
        // SAFETY: the caller's word.
        unsafe {
            let in_class = piece.bucket < Heap::BUCKETS - 1;
            if in_class && heap.free_in_class(machine, frames, memory, piece.bucket, &account) {
                return;
            }
            heap.free_piece(machine, frames, memory, piece, &account);
        }
        self.freed(account);
    }

    /// Takes memory back whose layout is known, which is quicker.
    ///
    /// # Safety
    ///
    /// As for [`free`](Vm::free), and the memory was allocated with this layout, by anything but
    /// [`realloc`](Vm::realloc).
    #[inline]
    #[track_caller]
    pub unsafe fn free_sized(&self, ty: &'static MallocType, memory: NonNull<u8>, layout: Layout) {
        let (heap, machine, frames) = (&self.heap, &self.machine, &self.frames);
        // SAFETY: the caller's word. In debug mode there is no row, so that the account refuses.
        unsafe {
            if !heap.free_quickly(machine, frames, memory, layout, &self.back(ty)) {
                self.free_slowly(ty, memory, layout, Location::caller());
            }
        }
    }

    /// The same where the processor's magazine has no room, or the account is not simple.
    ///
    /// # Safety
    ///
    /// As for [`free_sized`](Vm::free_sized).
    #[cold]
    #[inline(never)]
    unsafe fn free_slowly(
        &self,
        ty: &'static MallocType,
        memory: NonNull<u8>,
        layout: Layout,
        site: &'static Location<'static>,
    ) {
        let Some(piece) = Heap::piece_for(layout) else {
            self.free_mapped(ty, memory);
            return;
        };
        if let Some(watch) = self.debug.watch() {
            return self.watched_free(watch, ty, memory, Some(layout), site);
        }
        let account = self.back(ty);
        // SAFETY: the caller's word.
        unsafe {
            self.heap
                .free_piece(&self.machine, &self.frames, memory, piece, &account);
        }
        self.freed(account);
    }

    #[inline(always)]
    pub(super) fn back(&self, ty: &'static MallocType) -> Back<'_, M> {
        Back {
            vm: self,
            ty,
            missed: Cell::new(None),
        }
    }

    #[inline(always)]
    pub(super) fn freed(&self, account: Back<'_, M>) {
        if let Some((bucket, bytes)) = account.missed.get() {
            self.credit_slowly(account.ty, bucket, bytes);
            self.find_row(account.ty);
        }
    }

    /// Sees to it that the next piece is freed more quickly.
    #[cold]
    fn find_row(&self, ty: &'static MallocType) {
        if self.debug.watch().is_some() {
            // Nobody has a row (D4).
            return;
        }
        if let Some(attached) = self.types.find(ty) {
            self.types
                .hook(&self.machine, &self.frames, self.machine.cpu(), attached);
        }
    }
}
