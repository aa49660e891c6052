//! [`Field`]: what a lock protects.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize,
};

use crate::kmem::Ptr;

/// What fits in a [`Field`].
pub(crate) trait Word: Copy {
    /// The atomic that holds it.
    type Cell;
    fn cell(self) -> Self::Cell;
    fn load(cell: &Self::Cell) -> Self;
    fn store(cell: &Self::Cell, value: Self);
}

macro_rules! word {
    ($($t:ty: $cell:ty),*) => {$(
        impl Word for $t {
            type Cell = $cell;
            #[inline(always)]
            fn cell(self) -> $cell { <$cell>::new(self) }
            #[inline(always)]
            fn load(cell: &$cell) -> $t { cell.load(Relaxed) }
            #[inline(always)]
            fn store(cell: &$cell, value: $t) { cell.store(value, Relaxed) }
        }
    )*};
}

word!(bool: AtomicBool, u8: AtomicU8, u16: AtomicU16, u32: AtomicU32, u64: AtomicU64, usize: AtomicUsize);

impl<T> Word for Option<Ptr<T>> {
    type Cell = AtomicPtr<T>;
    #[inline(always)]
    fn cell(self) -> AtomicPtr<T> {
        AtomicPtr::new(Ptr::into_raw(self))
    }
    #[inline(always)]
    fn load(cell: &AtomicPtr<T>) -> Self {
        Ptr::from_raw(cell.load(Acquire))
    }
    #[inline(always)]
    fn store(cell: &AtomicPtr<T>, value: Self) {
        cell.store(Ptr::into_raw(value), Release);
    }
}

/// A value that a lock protects, or that is written once before it is shared.
pub(crate) struct Field<T: Word> {
    cell: T::Cell,
    _value: PhantomData<T>,
}

impl<T: Word> Field<T> {
    #[inline(always)]
    pub fn new(value: T) -> Field<T> {
        Field {
            cell: value.cell(),
            _value: PhantomData,
        }
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        T::load(&self.cell)
    }

    #[inline(always)]
    pub fn set(&self, value: T) {
        T::store(&self.cell, value);
    }
}

impl<T> Field<Option<Ptr<T>>> {
    /// Nothing, for what is made before the program runs.
    pub const fn nothing() -> Field<Option<Ptr<T>>> {
        Field {
            cell: AtomicPtr::new(core::ptr::null_mut()),
            _value: PhantomData,
        }
    }

    /// Sets the value if it is `old`; tells whether it did.
    pub fn replace(&self, old: Option<Ptr<T>>, new: Option<Ptr<T>>) -> bool {
        let (old, new) = (Ptr::into_raw(old), Ptr::into_raw(new));
        self.cell
            .compare_exchange(old, new, AcqRel, Acquire)
            .is_ok()
    }
}

macro_rules! constant {
    ($($t:ty: $cell:ty),*) => {$(
        impl Field<$t> {
            /// A value, for what is made before the program runs.
            pub const fn constant(value: $t) -> Field<$t> {
                Field { cell: <$cell>::new(value), _value: PhantomData }
            }
        }
    )*};
}

constant!(bool: AtomicBool, u8: AtomicU8, u32: AtomicU32, u64: AtomicU64);

impl Field<u64> {
    /// Sets the value if it is `old`; tells whether it did.
    pub fn replace(&self, old: u64, new: u64) -> bool {
        self.cell
            .compare_exchange(old, new, AcqRel, Acquire)
            .is_ok()
    }
}

impl Field<u32> {
    /// The counter itself, where several holders of different locks change it.
    #[inline(always)]
    pub fn atomic(&self) -> &AtomicU32 {
        &self.cell
    }
}
