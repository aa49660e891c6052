//! What is known of a piece by its address.

use core::alloc::Layout;
use core::sync::atomic::Ordering::Relaxed;

use super::classes::{CLASSES, From, class_of};
use super::{Heap, runs};
use crate::addr::PAGE_SIZE;
use crate::kmem::slab::{Geometry, SlabTag, Use};
use crate::page::{Frames, State};

/// A piece of the heap that is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// Its size class, below [`Heap::BUCKETS`].
    pub bucket: usize,
    /// The bytes in it, all of which its user may use.
    pub bytes: usize,
}

/// How the slots of each class lie in their slabs.
const FORMS: [Geometry; CLASSES.len()] = {
    let mut forms = [Geometry::of(CLASSES[0]); CLASSES.len()];
    let mut class = 0;
    while class < CLASSES.len() {
        forms[class] = Geometry::of(CLASSES[class]);
        class += 1;
    }
    forms
};

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
    pub fn piece_at(&self, frames: &Frames, address: usize) -> Option<Piece> {
        let page = frames.page_at(address)?;
        let first = match page.state() {
            State::Slab | State::Kernel => page,
            _ => frames.first_of(page)?,
        };
        let before = (page.frame().0 - first.frame().0) as usize * PAGE_SIZE;
        let offset = before + address % PAGE_SIZE;
        match first.state() {
            State::Slab => {
                let tag = SlabTag::of(first);
                let bytes = tag.size();
                let bucket = class_of(bytes)?;
                let is_slot = FORMS[bucket].is_slot(offset.checked_sub(tag.start())?);
                (tag.is_for(Use::Heap) && is_slot).then_some(Piece { bucket, bytes })
            }
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
}
