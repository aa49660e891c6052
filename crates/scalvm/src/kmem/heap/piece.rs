//! What is known of a piece by its address.

use core::alloc::Layout;
use core::sync::atomic::Ordering::Relaxed;

use super::classes::{CLASSES, From, class_of};
use super::{Heap, blocks};
use crate::addr::PAGE_SIZE;
use crate::kmem::slabs::SlabTag;
use crate::page::{Frames, State};

/// A piece of the heap that is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Its size class, below [`Heap::BUCKETS`].
    pub bucket: usize,
    /// The bytes in it, all of which its user may use.
    pub bytes: usize,
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
                bytes: PAGE_SIZE << blocks::order(count)?,
            },
        })
    }

    /// The piece that begins at this address, by the page descriptor; none if no piece of the heap
    /// can begin there. Whether that piece is in use is the caller's word: a free slot is not told
    /// from one in use. Takes no lock; neither may the piece be freed meanwhile.
    pub fn piece_at(&self, frames: &Frames, address: usize) -> Option<Piece> {
        let page = frames.page_at(address)?;
        let offset = address % PAGE_SIZE;
        match page.state() {
            State::Slab => {
                let bytes = SlabTag::of(page).heap_slot()?;
                let is_slot = offset.is_multiple_of(bytes) && offset + bytes <= PAGE_SIZE;
                is_slot.then_some(Piece {
                    bucket: class_of(bytes)?,
                    bytes,
                })
            }
            State::Kernel if offset == 0 => {
                // Zero in frames that are nobody's piece.
                let count = page.mapped.load(Relaxed) as usize;
                (count != 0).then_some(Piece {
                    bucket: Heap::BUCKETS - 1,
                    bytes: count * PAGE_SIZE,
                })
            }
            _ => None,
        }
    }
}
