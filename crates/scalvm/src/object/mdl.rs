//! Memory descriptor lists: the pages of a range, held so that a device may use them.
//!
//! After SCAL/UX, whose lists keep pages busy during I/O. Here they are held ([`HeldPage`]): faults on
//! them go on, and who unmaps, truncates, forks or ends what had them does not wait for the device.
//!
//! Room for all pages is set aside before the first is held, in blocks from a pool; a list that could not
//! be made has let go of all again. Locks: none of its own. A list has one owner.

use crate::addr::{Access, Frame, PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, page_floor};
use crate::error::FaultError;
use crate::family::Family;
use crate::kmem::Ptr;
use crate::machine::Machine;
use crate::map::Map;
use crate::object::HeldPage;
use crate::page::Page;
use crate::sync::Field;
use crate::vm::Vm;

/// Pages that a block names: with its link it takes no more than 512 bytes.
const PAGES: usize = 31;

/// A part of a list.
pub(crate) struct MdlBlock<M: Machine> {
    pages: [Field<Option<Ptr<Page>>>; PAGES],
    families: [Field<Option<Ptr<Family<M>>>>; PAGES],
    next: Field<Option<Ptr<MdlBlock<M>>>>,
}

/// The pages of a range, held until it is dropped. They keep their frames whatever becomes of the range.
///
/// What is held for writing stays the memory that it was held in, as long as that has it at all: a child
/// that is forked meanwhile gets a copy at once. What is held for reading may be replaced there by a
/// copy, and is then what it was.
pub struct Mdl<'v, M: Machine> {
    vm: &'v Vm<M>,
    first: Option<Ptr<MdlBlock<M>>>,
    /// Pages held so far.
    held: usize,
    /// Where the range begins in its first page.
    offset: usize,
    len: usize,
    write: bool,
}

/// A part of a range that lies in one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MdlPiece {
    /// The frame.
    pub frame: Frame,
    /// Where it begins in it.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
}

impl<'v, M: Machine> Map<'v, M> {
    /// Holds the pages of `len` bytes, brought in first and made writable if need be, as far as the
    /// address space may access them like that itself. Fails with no page held. Blocks for I/O.
    pub fn describe(
        &self,
        addr: usize,
        len: usize,
        access: Access,
    ) -> Result<Mdl<'v, M>, FaultError> {
        let end = addr.checked_add(len).ok_or(FaultError::NoMapping)?;
        let first = page_floor(addr);
        let count = (end - first).div_ceil(PAGE_SIZE) * usize::from(len > 0);
        let mut mdl = Mdl {
            vm: self.vm,
            first: None,
            held: 0,
            offset: addr & PAGE_MASK,
            len,
            write: access == Access::Write,
        };
        for _ in 0..count.div_ceil(PAGES) {
            mdl.add_block()?;
        }
        let mut block = mdl.first;
        for n in 0..count {
            if n > 0 && n % PAGES == 0 {
                block = block.and_then(|block| block.next.get());
            }
            let Some(block) = block else { break };
            let page = self.hold(first + (n << PAGE_SHIFT), access)?;
            let (page, family) = page.into_parts();
            block.pages[n % PAGES].set(Some(page));
            block.families[n % PAGES].set(family);
            mdl.held += 1;
        }
        Ok(mdl)
    }
}

impl<'v, M: Machine> Mdl<'v, M> {
    /// Sets room aside for some pages.
    fn add_block(&mut self) -> Result<(), FaultError> {
        let vm = self.vm;
        let block = vm
            .mdl_blocks
            .alloc_with(&vm.machine, &vm.frames, || MdlBlock {
                pages: [const { Field::nothing() }; PAGES],
                families: [const { Field::nothing() }; PAGES],
                next: Field::new(self.first),
            })?;
        self.first = Some(block);
        Ok(())
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The range, piece by piece, in the order of its addresses: what a device is told.
    pub fn pieces(&self) -> impl Iterator<Item = MdlPiece> {
        let (mut offset, mut left) = (self.offset, self.len);
        self.pages().map(move |(page, _)| {
            let piece = MdlPiece {
                frame: page.frame(),
                offset,
                len: left.min(PAGE_SIZE - offset),
            };
            offset = 0;
            left -= piece.len;
            piece
        })
    }

    /// The pages that are held, with what a [`HeldPage`] has besides.
    fn pages(&self) -> impl Iterator<Item = (Ptr<Page>, Option<Ptr<Family<M>>>)> {
        let mut block = self.first;
        (0..self.held).filter_map(move |n| {
            if n > 0 && n % PAGES == 0 {
                block = block.and_then(|block| block.next.get());
            }
            let block = block?;
            let page = block.pages[n % PAGES].get()?;
            Some((page, block.families[n % PAGES].get()))
        })
    }
}

impl<M: Machine> Drop for Mdl<'_, M> {
    fn drop(&mut self) {
        for (page, family) in self.pages() {
            drop(HeldPage::from_parts(self.vm, page, self.write, family));
        }
        let mut next = self.first;
        while let Some(block) = next {
            next = block.next.get();
            let vm = self.vm;
            vm.mdl_blocks.free(&vm.machine, &vm.frames, block);
        }
    }
}
