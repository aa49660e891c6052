//! [`TypedAlloc`]: memory of one type, for collections.

use core::alloc::Layout;
use core::fmt;
use core::ptr::{NonNull, without_provenance_mut};

use allocator_api2::alloc::{AllocError, Allocator};
use scalvm::{Machine, MallocError, MallocFlags, MallocType, Vm};

/// An allocator whose memory is charged to one malloc type.
///
/// Copies are the same allocator. The type is a static one, or attached as long as memory of it is
/// asked for.
pub struct TypedAlloc<'v, M: Machine> {
    vm: &'v Vm<M>,
    ty: &'static MallocType,
    flags: MallocFlags,
}

impl<'v, M: Machine> TypedAlloc<'v, M> {
    /// Memory of this type from this manager. Never waits.
    pub const fn new(vm: &'v Vm<M>, ty: &'static MallocType) -> TypedAlloc<'v, M> {
        let flags = MallocFlags::NOWAIT;
        TypedAlloc { vm, ty, flags }
    }

    /// The same that waits for memory, and at the type's limit: for who may block whenever a
    /// collection grows.
    pub const fn waiting(self) -> TypedAlloc<'v, M> {
        let flags = MallocFlags::WAIT;
        TypedAlloc { flags, ..self }
    }

    /// The type.
    pub const fn ty(&self) -> &'static MallocType {
        self.ty
    }

    #[inline]
    #[track_caller]
    fn take(&self, layout: Layout, flags: MallocFlags) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            let nowhere = NonNull::new(without_provenance_mut(layout.align()));
            return Ok(block(nowhere.ok_or(AllocError)?, 0));
        }
        let memory = self.vm.malloc_aligned(self.ty, layout, self.flags | flags);
        told(memory, layout.size())
    }

    /// Makes memory larger or smaller.
    ///
    /// # Safety
    ///
    /// As for `grow` and `shrink`.
    #[inline]
    #[track_caller]
    unsafe fn resize(
        &self,
        memory: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.align() == new.align() && old.size() != 0 && new.size() != 0 {
            // SAFETY: the caller's word: from here, with this layout.
            let moved = unsafe {
                self.vm
                    .realloc_sized(self.ty, memory, old, new.size(), self.flags)
            };
            return told(moved, new.size());
        }
        let moved = self.take(new, MallocFlags::NOWAIT)?;
        // SAFETY: both have so many bytes, and are different memory, or there are none to copy.
        unsafe {
            let bytes = old.size().min(new.size());
            moved.cast().copy_from_nonoverlapping(memory, bytes);
            self.deallocate(memory, old);
        }
        Ok(moved)
    }
}

// SAFETY: the manager outlives the borrow, and each piece of it stays where it is until it is freed,
// whichever copy of the allocator that is done through.
unsafe impl<M: Machine> Allocator for TypedAlloc<'_, M> {
    #[inline]
    #[track_caller]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.take(layout, MallocFlags::NOWAIT)
    }

    #[inline]
    #[track_caller]
    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.take(layout, MallocFlags::ZERO)
    }

    #[inline]
    #[track_caller]
    unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller's word: from here, with this layout.
            unsafe { self.vm.free_sized(self.ty, memory, layout) }
        }
    }

    #[inline]
    #[track_caller]
    unsafe fn grow(
        &self,
        memory: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's word.
        unsafe { self.resize(memory, old, new) }
    }

    #[inline]
    #[track_caller]
    unsafe fn grow_zeroed(
        &self,
        memory: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's word; the new bytes are within the memory.
        unsafe {
            let grown = self.resize(memory, old, new)?;
            let tail = grown.cast::<u8>().add(old.size());
            tail.write_bytes(0, new.size() - old.size());
            Ok(grown)
        }
    }

    #[inline]
    #[track_caller]
    unsafe fn shrink(
        &self,
        memory: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's word.
        unsafe { self.resize(memory, old, new) }
    }
}

impl<M: Machine> Clone for TypedAlloc<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for TypedAlloc<'_, M> {}

impl<M: Machine> fmt::Debug for TypedAlloc<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedAlloc").field(self.ty).finish()
    }
}

fn told(
    memory: Result<NonNull<u8>, MallocError>,
    size: usize,
) -> Result<NonNull<[u8]>, AllocError> {
    memory.map(|it| block(it, size)).map_err(|_| AllocError)
}

fn block(memory: NonNull<u8>, size: usize) -> NonNull<[u8]> {
    NonNull::slice_from_raw_parts(memory, size)
}

/// Makes an allocator of no size for a manager that lives in a static, charged to one type: a
/// [`KBox`](crate::KBox) of it is one pointer, and it is its own `Default`.
///
/// ```
/// # use scalvm_machine::Emulated;
/// # use std::sync::LazyLock;
/// use allocator_api2::vec::Vec;
/// use scalvm::{Vm, malloc_type};
/// use scalvm_alloc::{KBox, typed_alloc};
///
/// # fn with_memory() -> Vm<Emulated> {
/// #     let vm = Vm::new(Emulated::with_frames(200));
/// #     let frames = vm.machine().segment(0);
/// #     unsafe { vm.add_segment(frames.start, frames.end) }.unwrap();
/// #     vm
/// # }
/// # static VM: LazyLock<Vm<Emulated>> = LazyLock::new(with_memory);
/// malloc_type!(M_FILE, "file", "open files");
/// typed_alloc!(
///     /// Memory for open files.
///     pub FileAlloc, VM, M_FILE
/// );
///
/// let file = KBox::try_new_with(FileAlloc, || [0u64; 8]).unwrap();
/// assert_eq!(size_of_val(&file), size_of::<usize>());
/// let mut files = Vec::new_in(FileAlloc);
/// files.try_reserve(1).unwrap();
/// files.push(file);
/// assert_eq!(VM.type_stats(&M_FILE).unwrap().in_use, 2);
/// ```
#[macro_export]
macro_rules! typed_alloc {
    ($(#[$attribute:meta])* $vis:vis $name:ident, $vm:path, $ty:path $(,)?) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        $vis struct $name;

        const _: () = {
            use ::core::{alloc::Layout, ptr::NonNull, result::Result};
            use $crate::allocator_api2::alloc::{AllocError, Allocator};
            type Block = Result<NonNull<[u8]>, AllocError>;

            // SAFETY: each method is that of one allocator, which this stands for.
            unsafe impl Allocator for $name {
                #[inline]
                #[track_caller]
                fn allocate(&self, layout: Layout) -> Block {
                    $crate::TypedAlloc::new(&$vm, &$ty).allocate(layout)
                }
                #[inline]
                #[track_caller]
                fn allocate_zeroed(&self, layout: Layout) -> Block {
                    $crate::TypedAlloc::new(&$vm, &$ty).allocate_zeroed(layout)
                }
                #[inline]
                #[track_caller]
                unsafe fn deallocate(&self, memory: NonNull<u8>, layout: Layout) {
                    // SAFETY: the caller's word.
                    unsafe { $crate::TypedAlloc::new(&$vm, &$ty).deallocate(memory, layout) }
                }
                #[inline]
                #[track_caller]
                unsafe fn grow(&self, memory: NonNull<u8>, old: Layout, new: Layout) -> Block {
                    // SAFETY: the caller's word.
                    unsafe { $crate::TypedAlloc::new(&$vm, &$ty).grow(memory, old, new) }
                }
                #[inline]
                #[track_caller]
                unsafe fn grow_zeroed(&self, memory: NonNull<u8>, old: Layout, new: Layout) -> Block {
                    // SAFETY: the caller's word.
                    unsafe { $crate::TypedAlloc::new(&$vm, &$ty).grow_zeroed(memory, old, new) }
                }
                #[inline]
                #[track_caller]
                unsafe fn shrink(&self, memory: NonNull<u8>, old: Layout, new: Layout) -> Block {
                    // SAFETY: the caller's word.
                    unsafe { $crate::TypedAlloc::new(&$vm, &$ty).shrink(memory, old, new) }
                }
            }
        };
    };
}
