//! What is known of a piece by its address.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

use super::classes::{CLASSES, From};
use super::{Account, Heap, runs};
use crate::addr::PAGE_SIZE;
use crate::kmem::Ptr;
use crate::kmem::slab::{Geometry, SlabTag};
use crate::machine::Machine;
use crate::page::{Frames, Page, State};

/// A piece of the heap that is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Its size class, below [`Heap::BUCKETS`].
    pub bucket: usize,
    /// The bytes in it, all of which its user may use.
    pub bytes: usize,
}

/// Where slots of a class may begin, told without a division.
#[derive(Clone, Copy)]
struct Slots {
    /// Bytes of all slots of a slab.
    end: u64,
    /// What a multiple of the size is told by: 2^64 divided by it, rounded up.
    inverse: u64,
}

impl Slots {
    const fn of(size: usize) -> Slots {
        Slots {
            end: size as u64 * Geometry::of(size).capacity as u64,
            inverse: u64::MAX / size as u64 + 1,
        }
    }

    /// Whether a slot begins so many bytes behind the first. Multiples of the size, and no other
    /// numbers below 2^32, times `inverse` are less than that in 64 bits (Lemire, Kaser and Kurz,
    /// Faster remainder by direct computation, 2019, for numbers and divisors below 2^32).
    #[inline(always)]
    const fn begin_at(&self, offset: u64) -> bool {
        offset < self.end && offset.wrapping_mul(self.inverse) < self.inverse
    }
}

/// Those of each class.
const SLOTS: [Slots; CLASSES.len()] = {
    let mut slots = [Slots::of(CLASSES[0]); CLASSES.len()];
    let mut class = 0;
    while class < CLASSES.len() {
        slots[class] = Slots::of(CLASSES[class]);
        class += 1;
    }
    slots
};

/// The class of the slot that begins `offset` bytes behind the beginning of a slab, if the slab is
/// one of the heap's and a slot can begin there.
#[inline(always)]
fn class_at(slab: Ptr<Page>, offset: usize) -> Option<usize> {
    let tag = SlabTag::of(slab);
    let class = tag.class();
    // Before the first slot this wraps, to beyond all.
    let offset = (offset as u64).wrapping_sub(tag.start() as u64);
    SLOTS.get(class)?.begin_at(offset).then_some(class)
}

impl Heap {
    /// What a piece for this layout will be; none if there is none so large.
    #[inline(always)]
    pub fn piece_for(layout: Layout) -> Option<Piece> {
        Some(match From::of(layout) {
            From::Pool(class) => Piece {
                bucket: class,
                bytes: CLASSES[class],
            },
            From::Frames(count) => Piece {
                bucket: Heap::BUCKETS - 1,
                bytes: PAGE_SIZE * runs::length(count)? as usize,
            },
        })
    }

    /// The piece that begins at this address, by the page descriptor; none if no piece of the heap
    /// can begin there. Whether that piece is in use is the caller's word: a free slot is not told
    /// from one in use. Takes no lock; neither may the piece be freed meanwhile.
    #[inline]
    pub fn piece_at(&self, frames: &Frames, address: usize) -> Option<Piece> {
        let page = frames.page_at(address)?;
        let first = match page.state() {
            State::Slab | State::Kernel => page,
            _ => frames.first_of(page)?,
        };
        let before = (page.frame().0 - first.frame().0) as usize * PAGE_SIZE;
        let offset = before + address % PAGE_SIZE;
        match first.state() {
            State::Slab => class_at(first, offset).map(|class| Piece {
                bucket: class,
                bytes: CLASSES[class],
            }),
            State::Kernel if offset == 0 => {
                // Zero in frames that are nobody's piece.
                let count = first.mapped.load(Relaxed) as usize;
                (count != 0).then_some(Piece {
                    bucket: Heap::BUCKETS - 1,
                    bytes: count * PAGE_SIZE,
                })
            }
            _ => None,
        }
    }
    /// Takes back the piece that begins at an address, whose layout is not known, where that is
    /// simple: the processor has room for it, `account` agrees, and it begins in the first frame of
    /// its slab, in the segment that was added first. Tells whether it did: it does nothing where no
    /// piece of the heap can begin. No call is made on the way but to the machine.
    ///
    /// # Safety
    ///
    /// If a piece of this heap begins there, it is in use, and used no more.
    #[inline(always)]
    pub unsafe fn free_at_quickly<M: Machine, A: Account>(
        &self,
        machine: &M,
        frames: &Frames,
        bytes: NonNull<u8>,
        account: &A,
    ) -> bool {
        let address = bytes.addr().get();
        let Some(page) = frames.page_at_quickly(address) else {
            return false;
        };
        if page.state() != State::Slab {
            return false;
        }
        let Some(class) = class_at(page, address % PAGE_SIZE) else {
            return false;
        };
        // SAFETY: the caller's word; the slab is one of this pool.
        unsafe { self.free_in_class(machine, frames, bytes, class, account) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_begin_at_multiples_and_nowhere_else() {
        for (class, slots) in SLOTS.iter().enumerate() {
            let form = Geometry::of(CLASSES[class]);
            let end = form.frames as usize * PAGE_SIZE;
            for offset in (0..2 * end).chain((0..end).map(|n| usize::MAX - n)) {
                let begins = slots.begin_at(offset as u64);
                assert_eq!(begins, form.is_slot(offset), "{offset} in {form:?}");
            }
        }
    }
}
