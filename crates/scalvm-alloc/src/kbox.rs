//! [`KBox`]: one value in memory of its own.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::{self, NonNull};

use allocator_api2::alloc::{AllocError, Allocator};

/// Owns a value in memory of an allocator, as `Box` does, but says so when there is none.
///
/// ```
/// # use scalvm::{Vm, malloc_type};
/// # use scalvm_alloc::{KBox, TypedAlloc};
/// # use scalvm_machine::Emulated;
/// # malloc_type!(M_NODE, "node", "nodes of a tree");
/// # let vm = Vm::new(Emulated::with_frames(200));
/// # let frames = vm.machine().segment(0);
/// # unsafe { vm.add_segment(frames.start, frames.end) }.unwrap();
/// let nodes = TypedAlloc::new(&vm, &M_NODE);
/// let mut node = KBox::try_new(nodes, 7)?;
/// *node += 1;
/// assert_eq!(node.into_inner(), 8);
/// # Ok::<(), allocator_api2::alloc::AllocError>(())
/// ```
pub struct KBox<T: ?Sized, A: Allocator> {
    /// Initialised, aligned, and the box's alone; of the allocator, with the value's layout.
    value: NonNull<T>,
    allocator: A,
    _owns: PhantomData<T>,
}

// SAFETY: it is the value and the allocator, no more.
unsafe impl<T: ?Sized + Send, A: Allocator + Send> Send for KBox<T, A> {}
// SAFETY: as for Send.
unsafe impl<T: ?Sized + Sync, A: Allocator + Sync> Sync for KBox<T, A> {}

/// The value can be pinned whatever the box does: it does not move with the box.
impl<T: ?Sized, A: Allocator> Unpin for KBox<T, A> {}

impl<T, A: Allocator> KBox<T, A> {
    /// Puts a value in new memory; it is dropped if there is none.
    #[inline]
    #[track_caller]
    pub fn try_new(allocator: A, value: T) -> Result<KBox<T, A>, AllocError> {
        KBox::try_new_with(allocator, || value)
    }

    /// Makes a value in new memory, if there is some: a large one need not be moved there, and one
    /// that must not be lost is not made in vain.
    #[inline]
    #[track_caller]
    pub fn try_new_with(allocator: A, make: impl FnOnce() -> T) -> Result<KBox<T, A>, AllocError> {
        let memory = allocator.allocate(Layout::new::<T>())?.cast::<T>();
        /// Frees the memory if `make` panics.
        struct Memory<'a, A: Allocator>(NonNull<u8>, Layout, &'a A);
        impl<A: Allocator> Drop for Memory<'_, A> {
            fn drop(&mut self) {
                // SAFETY: it came from there, and nobody else has it.
                unsafe { self.2.deallocate(self.0, self.1) }
            }
        }
        let guard = Memory(memory.cast(), Layout::new::<T>(), &allocator);
        // SAFETY: new memory of a T's layout.
        unsafe { memory.write(make()) };
        core::mem::forget(guard);
        Ok(KBox {
            value: memory,
            allocator,
            _owns: PhantomData,
        })
    }

    /// Puts a value in new memory that it will not leave.
    #[inline]
    #[track_caller]
    pub fn try_pin(allocator: A, value: T) -> Result<Pin<KBox<T, A>>, AllocError>
    where
        A: 'static,
    {
        KBox::try_new(allocator, value).map(KBox::into_pin)
    }

    /// Takes the value out, and frees the memory.
    #[inline]
    #[track_caller]
    pub fn into_inner(self) -> T {
        let (value, allocator) = KBox::into_raw(self);
        // SAFETY: the box was the value's owner; it is not used again. The memory is the
        // allocator's, with this layout.
        unsafe {
            let moved = value.read();
            allocator.deallocate(value.cast(), Layout::new::<T>());
            moved
        }
    }
}

impl<T: ?Sized, A: Allocator> KBox<T, A> {
    /// The value's address and the allocator; [`from_raw`](KBox::from_raw) makes a box of them again.
    #[inline]
    pub fn into_raw(this: KBox<T, A>) -> (NonNull<T>, A) {
        let this = ManuallyDrop::new(this);
        // SAFETY: read once, since the box is not dropped.
        (this.value, unsafe { ptr::read(&this.allocator) })
    }

    /// A box again. The pointer may have become one to something unsized meanwhile.
    ///
    /// # Safety
    ///
    /// Both came from [`into_raw`](KBox::into_raw) of one box, and no other box was made of them.
    #[inline]
    pub unsafe fn from_raw(value: NonNull<T>, allocator: A) -> KBox<T, A> {
        KBox {
            value,
            allocator,
            _owns: PhantomData,
        }
    }

    /// The same box, whose value will not leave its memory. The allocator must be one for ever, since
    /// pinned memory must stay as long as the value may be waited for.
    #[inline]
    pub fn into_pin(this: KBox<T, A>) -> Pin<KBox<T, A>>
    where
        A: 'static,
    {
        // SAFETY: the value does not move with the box, and nothing takes it out of a pinned one.
        unsafe { Pin::new_unchecked(this) }
    }

    /// The allocator.
    #[inline]
    pub fn allocator(this: &KBox<T, A>) -> &A {
        &this.allocator
    }
}

impl<T: ?Sized, A: Allocator> Drop for KBox<T, A> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the box owns the value and its memory, which came from the allocator with this
        // layout, and ends here.
        unsafe {
            let layout = Layout::for_value(self.value.as_ref());
            self.value.drop_in_place();
            self.allocator.deallocate(self.value.cast(), layout);
        }
    }
}

impl<T: ?Sized, A: Allocator> Deref for KBox<T, A> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: initialised, and the box's alone.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, A: Allocator> DerefMut for KBox<T, A> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the same.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug, A: Allocator> fmt::Debug for KBox<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display, A: Allocator> fmt::Display for KBox<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
