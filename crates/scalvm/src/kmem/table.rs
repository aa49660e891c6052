//! Arrays that grow by whole frames, and in which nothing ever moves: for what is found by a number
//! instead of a pointer, and for bitmaps. What is in them stays until the whole array is given
//! back.
//!
//! Elements lie in *chunks* of one frame each; a tree of up to two levels of frames full of
//! pointers leads to them. No block of frames is needed, so an array can grow under pressure, and
//! whoever lets it grow says where frames come from.
//!
//! Locks: the owner's, for growing and giving back. Elements may be looked up without one, while
//! they are there: a chunk is complete before `len` counts what is in it.
//!
//! 1. The first `len` elements are initialised; `len` is a multiple of what a chunk holds.
//! 2. The chunk of each of them, and the directory that leads to it, are frames of this array.

use core::marker::PhantomData;
use core::mem::{align_of, size_of};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicUsize};

use super::Ptr;
use crate::addr::PAGE_SIZE;
use crate::error::OutOfMemory;
use crate::machine::Machine;
use crate::page::{Frames, Page};

/// Pointers in a directory: a frame full.
const FAN: usize = PAGE_SIZE / size_of::<usize>();

/// A frame full of pointers to the next level.
type Directory = [AtomicPtr<()>; FAN];

/// An array of `T`.
pub(crate) struct Table<T> {
    /// A frame of pointers to directories, of pointers to chunks; null before the first element.
    root: AtomicPtr<()>,
    len: AtomicUsize,
    _elements: PhantomData<fn() -> T>,
}

impl<T> Table<T> {
    /// Elements in a chunk.
    pub const CHUNK: usize = PAGE_SIZE / size_of::<T>();
    /// The most elements.
    pub const MOST: usize = FAN * FAN * Self::CHUNK;

    /// An array without elements.
    pub const fn new() -> Table<T> {
        const { assert!(Self::CHUNK >= 1 && align_of::<T>() <= PAGE_SIZE) };
        Table {
            root: AtomicPtr::new(null_mut()),
            len: AtomicUsize::new(0),
            _elements: PhantomData,
        }
    }

    /// Elements that are there.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// Frames that the array has, directories included.
    pub fn frames(&self) -> usize {
        let chunks = self.len().div_ceil(Self::CHUNK);
        chunks + chunks.div_ceil(FAN) + usize::from(chunks > 0)
    }

    /// One element.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Ptr<T>> {
        if index >= self.len() {
            return None;
        }
        let (chunk, at) = (index / Self::CHUNK, index % Self::CHUNK);
        // SAFETY: invariants 1 and 2: the chunk is there, and the element initialised. It stays
        // while the array has it, by the invariant of Ptr.
        unsafe {
            let root = child(&self.root).cast::<Directory>().as_ref();
            let chunks = child(&root[chunk / FAN]).cast::<Directory>().as_ref();
            let first = child(&chunks[chunk % FAN]).cast::<T>();
            Some(Ptr::new(first.add(at)))
        }
    }

    /// Adds one chunk of elements, which `make` makes by their numbers. `frame` is asked for up to
    /// three frames. What was reached is kept when it has none.
    pub fn grow<M: Machine>(
        &self,
        machine: &M,
        mut frame: impl FnMut() -> Option<Ptr<Page>>,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<(), OutOfMemory> {
        let len = self.len();
        if len >= Self::MOST {
            return Err(OutOfMemory);
        }
        let chunk = len / Self::CHUNK;
        let mut bytes = || {
            let page = frame().ok_or(OutOfMemory)?;
            NonNull::new(machine.frame_ptr(page.frame())).ok_or(OutOfMemory)
        };
        // SAFETY: each frame is new and ours, and as large and aligned as a directory or a chunk;
        // nobody looks for the new elements before `len` counts them.
        unsafe {
            let root = directory(&self.root, &mut bytes)?;
            let chunks = directory(&root[chunk / FAN], &mut bytes)?;
            let place = &chunks[chunk % FAN];
            let first = bytes()?.cast::<T>();
            for n in 0..Self::CHUNK {
                first.add(n).write(make(len + n));
            }
            place.store(first.as_ptr().cast(), Release);
        }
        self.len.store(len + Self::CHUNK, Release);
        Ok(())
    }

    /// Gives all frames back. Nobody looks for elements or uses one any more.
    pub fn clear<M: Machine>(&self, machine: &M, frames: &Frames) {
        const { assert!(!core::mem::needs_drop::<T>()) };
        self.len.store(0, Relaxed);
        let give = |place: &AtomicPtr<()>| {
            let bytes = place.swap(null_mut(), Relaxed);
            let page = frames.page_at(bytes.addr());
            let page = page.expect("a frame of an array lies in a segment");
            frames.free_page(machine, page);
        };
        let Some(root) = NonNull::new(self.root.load(Acquire)) else {
            return;
        };
        // SAFETY: invariant 2; nobody else uses them (the caller's word, kept by the invariant of
        // Ptr).
        unsafe {
            for directory in root.cast::<Directory>().as_ref() {
                let Some(chunks) = NonNull::new(directory.load(Acquire)) else {
                    continue;
                };
                for chunk in chunks.cast::<Directory>().as_ref() {
                    if !chunk.load(Acquire).is_null() {
                        give(chunk);
                    }
                }
                give(directory);
            }
        }
        give(&self.root);
    }
}

/// What a place points to.
///
/// # Safety
///
/// It points to something.
#[inline(always)]
unsafe fn child(place: &AtomicPtr<()>) -> NonNull<()> {
    // SAFETY: the caller's word.
    unsafe { NonNull::new_unchecked(place.load(Acquire)) }
}

/// The directory that a place points to, made where there is none.
///
/// # Safety
///
/// `place` is null or points to a directory; `bytes` gives frames that are the caller's.
unsafe fn directory<'a>(
    place: &AtomicPtr<()>,
    bytes: &mut impl FnMut() -> Result<NonNull<u8>, OutOfMemory>,
) -> Result<&'a Directory, OutOfMemory> {
    let directory = match NonNull::new(place.load(Acquire)) {
        Some(directory) => directory.cast::<Directory>(),
        None => {
            let new = bytes()?.cast::<Directory>();
            // SAFETY: a frame of the caller's; null pointers are zeros.
            unsafe { new.as_ptr().cast::<u8>().write_bytes(0, PAGE_SIZE) };
            place.store(new.as_ptr().cast(), Release);
            new
        }
    };
    // SAFETY: it has been made so, and stays while the array has it.
    Ok(unsafe { directory.as_ref() })
}
