//! The static types: those that the linker has put together.
//!
//! [`malloc_type!`](crate::malloc_type) puts a pointer to each in one section, whose name is a C
//! identifier: so the linker defines where it begins and ends. The manager's own types are there, so
//! the section always is.

use core::slice;

use super::MallocType;

unsafe extern "C" {
    #[link_name = "__start_scalvm_malloc_types"]
    static START: usize;
    #[link_name = "__stop_scalvm_malloc_types"]
    static STOP: usize;
}

/// All static types, in the order in which they were linked, which says nothing.
pub(super) fn all() -> &'static [&'static MallocType] {
    let (start, stop) = (&raw const START, &raw const STOP);
    let start = start.cast::<&MallocType>();
    let len = (stop.addr() - start.addr()) / size_of::<&MallocType>();
    // SAFETY: only the macro puts anything in the section: pointers to statics. Of one size and
    // alignment, they follow one another without a gap.
    unsafe { slice::from_raw_parts(start, len) }
}

/// The place of a type among them, if it is static.
pub(super) fn place(ty: &'static MallocType) -> Option<usize> {
    all().iter().position(|&other| core::ptr::eq(other, ty))
}
