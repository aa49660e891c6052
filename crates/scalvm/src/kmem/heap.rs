//! The heap offered to the kernel: untyped pools for small sizes, blocks of frames for large ones.

use core::alloc::Layout;
use core::ptr::{NonNull, null_mut};

use super::RawPool;
use crate::addr::PAGE_SIZE;
use crate::machine::Machine;
use crate::page::{Frames, State};

/// The sizes of slots. Each is aligned to the largest power of two that divides it.
const CLASSES: [usize; 13] = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048];
/// The largest of them.
const SMALL: usize = CLASSES[CLASSES.len() - 1];
/// The finest step between classes, and the alignment that all have.
const GRAIN: usize = CLASSES[0];

/// For each number of grains the class that has room for them.
const CLASS_OF: [u8; SMALL / GRAIN + 1] = {
    let mut table = [0; SMALL / GRAIN + 1];
    let (mut grains, mut class) = (0, 0);
    while grains < table.len() {
        if grains * GRAIN > CLASSES[class] {
            class += 1;
        }
        table[grains] = class as u8;
        grains += 1;
    }
    table
};

/// Memory for the kernel, by layout.
pub(crate) struct Heap {
    pools: [RawPool; CLASSES.len()],
}

/// Where memory of a layout comes from.
enum From {
    /// A pool, by its number.
    Pool(usize),
    /// A block of frames of this order.
    Block(u32),
}

impl Heap {
    /// A heap that has allocated nothing.
    pub const fn new() -> Heap {
        let mut pools = [const { RawPool::new(GRAIN) }; CLASSES.len()];
        let mut class = 0;
        while class < CLASSES.len() {
            pools[class] = RawPool::new(CLASSES[class]);
            class += 1;
        }
        Heap { pools }
    }

    /// Allocates; null when memory has run out, for more than the largest block of frames, and for
    /// an alignment above a page that the direct map does not have.
    #[inline]
    pub fn alloc<M: Machine>(&self, machine: &M, frames: &Frames, layout: Layout) -> *mut u8 {
        let bytes = match from(layout) {
            From::Pool(class) => self.pools[class].alloc(machine, frames).map(NonNull::cast),
            From::Block(order) => alloc_block(machine, frames, order, layout.align()),
        };
        bytes.map_or(null_mut(), NonNull::as_ptr)
    }

    /// Frees.
    ///
    /// # Safety
    ///
    /// `bytes` came from [`alloc`](Heap::alloc) of this heap for the same layout, and is used no
    /// more.
    #[inline]
    pub unsafe fn free<M: Machine>(
        &self,
        machine: &M,
        frames: &Frames,
        bytes: *mut u8,
        layout: Layout,
    ) {
        let Some(bytes) = NonNull::new(bytes) else {
            return;
        };
        match from(layout) {
            // SAFETY: the caller's word; the layout leads to the same pool.
            From::Pool(class) => unsafe {
                self.pools[class].free(machine, frames, bytes.cast());
            },
            From::Block(order) => free_block(machine, frames, bytes, order),
        }
    }

    /// Pieces in use that came from pools. Exact while nobody allocates or frees.
    #[cfg(test)]
    pub fn in_use(&self) -> u64 {
        self.pools.iter().map(RawPool::in_use).sum()
    }

    /// Panics where a pool contradicts itself.
    pub fn check_invariants<M: Machine>(&self, machine: &M, frames: &Frames) {
        for pool in &self.pools {
            pool.check_invariants(machine, frames);
        }
    }
}

#[inline]
fn from(layout: Layout) -> From {
    let size = match layout.align() {
        ..=GRAIN => layout.size(),
        // A power of two is aligned to itself. Sizes and alignments are at most isize::MAX, so this
        // cannot wrap.
        align => layout.size().max(align).next_power_of_two(),
    };
    match CLASS_OF.get(size.div_ceil(GRAIN)) {
        Some(&class) => From::Pool(usize::from(class)),
        None => From::Block(
            size.div_ceil(PAGE_SIZE)
                .next_power_of_two()
                .trailing_zeros(),
        ),
    }
}

#[cold]
fn alloc_block<M: Machine>(
    machine: &M,
    frames: &Frames,
    order: u32,
    align: usize,
) -> Option<NonNull<u8>> {
    let page = frames.alloc_block(machine, order, None, State::Kernel)?;
    let bytes = NonNull::new(machine.frame_ptr(page.frame()))?;
    if bytes.addr().get() % align != 0 {
        // The frames are aligned, but the direct map need not be, beyond a page.
        frames.free_block(machine, page);
        return None;
    }
    Some(bytes)
}

#[cold]
fn free_block<M: Machine>(machine: &M, frames: &Frames, bytes: NonNull<u8>, order: u32) {
    let page = frames
        .page_at(bytes.addr().get())
        .expect("freed a pointer outside of all segments");
    debug_assert!(
        page.state() == State::Kernel && page.order() == order,
        "{bytes:?} freed wrongly"
    );
    frames.free_block(machine, page);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_room_and_alignment() {
        for shift in 0..13 {
            for size in 0..20_000 {
                let layout = Layout::from_size_align(size, 1 << shift).unwrap();
                match from(layout) {
                    From::Pool(class) => {
                        assert!(CLASSES[class] >= size);
                        assert_eq!(CLASSES[class] % layout.align(), 0);
                        let tight = class == 0
                            || CLASSES[class - 1] < size
                            || !CLASSES[class - 1].is_multiple_of(layout.align())
                            || layout.align() > GRAIN;
                        assert!(tight, "{layout:?} in class {class}");
                    }
                    From::Block(order) => {
                        let bytes = PAGE_SIZE << order;
                        assert!(bytes >= size && bytes >= layout.align());
                        assert!(size > SMALL || layout.align() > SMALL);
                        assert!(order == 0 || bytes / 2 < size.max(layout.align()));
                    }
                }
            }
        }
        let most = Layout::from_size_align(isize::MAX as usize - 15, 16).unwrap();
        assert!(matches!(from(most), From::Block(51)));
    }
}
